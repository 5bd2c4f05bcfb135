"""Settings of the refinement stage: its network, its loss and its augmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from h2g.recipes.base import Frozen, Options, Positive, Share
from h2g.recipes.preprocessing import WindowSettings
from h2g.recipes.training import TrainingSettings

RefinementInputs = Literal["both", "heatmap", "image"]


class RefinementAugmentation(Frozen):
    """Probabilities of the changes, and their sizes (H2G-Net section 3.4).

    ``heatmap`` is not in the paper, and off while both its sizes are 0. With this probability, the
    logits of a slide's heatmap get noise with standard deviation ``heatmap_noise`` in each cell,
    and one shift with standard deviation ``heatmap_shift`` (h2g.data.heatmap_noise).
    """

    flip: Share = 0.5
    """Probability of a flip, for each of the two axes."""
    rotate: Share = 0.5
    """Probability of a rotation by a multiple of 90 degrees."""
    zoom: Share = 0.5
    """Probability of a zoom."""
    zoom_range: tuple[float, float] = (0.8, 1.2)
    """Smallest and largest factor of the zoom."""
    stain: Share = 0.5
    """Probability of a stain change."""
    stain_sigma: tuple[float, float] = (0.1, 0.1)
    """Largest stain changes: factor and offset."""
    heatmap: Share = 0.5
    """Probability of noise on the heatmap."""
    heatmap_noise: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of the noise on the logits of each cell."""
    heatmap_shift: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of the shift of a slide's logits."""


class RefinementStage(TrainingSettings):
    """Stage 2, the refinement network on low-resolution slide and heatmap.

    The paper stretches the ``whole`` slide onto a square, so the scale that the network sees
    depends on the slide's size. ``field: windows`` is not in the paper: the network sees windows of
    ``window_mm`` at one scale, and their overlapping results are blended (h2g.slides.windows).
    A slide smaller than a window gets a white margin. ``overlap``, ``windows_per_slide`` and
    ``tumour_share`` matter with windows only.

    ``inputs`` other than ``both`` build the network with that input alone. These two controls
    measure the value of each input. A recipe without a patch stage has only the ``image``.

    Three more settings are not in the paper and off by default. ``loss`` can be
    ``dice-crossentropy``. ``class_weights`` are by class name, and 1 for a class without a number
    (h2g.training.losses). ``cross_fit`` is the number of further classifiers, each trained without
    one fold of the training slides. They make the heatmaps for training, so that no heatmap comes
    from a classifier that has seen its slide (h2g.stages.folds.train_folds).

    There is no label smoothing, because the soft Dice is best on labels of 0 and 1. A cross-entropy
    on other labels would pull against it.
    """

    model: str = "unet"
    """Network, one of those that 'h2g models' lists."""
    options: Options = {}
    """Options of the network's builder, by name."""
    field: Literal["whole", "windows"] = "whole"
    """Part of the slide that the network sees: the whole, or windows of one size."""
    input_px: int = 1024
    """Side of the square that image and heatmap are resized to, or of a window."""
    window_mm: Positive = 8.0
    """Side of a window; with input_px it sets the um/px that the network sees."""
    overlap: Annotated[float, Field(ge=0, le=0.75)] = 0.5
    """Least share of a side that neighbouring windows have in common in prediction."""
    windows_per_slide: Annotated[int, Field(ge=1)] = 4
    """Random windows per training slide and epoch."""
    tumour_share: Share = 0.5
    """Share of the training windows that are placed on annotated tumour; others anywhere."""
    inputs: RefinementInputs = "both"
    """Inputs of the network."""
    batch_size: int = 4
    """Slides per batch."""
    accumulation_steps: Annotated[int, Field(ge=1)] = 6
    """Batches whose gradients are added up for one step of the optimiser."""
    steps_per_epoch: int | None = None  # type: ignore[assignment]
    """Batches per epoch; null takes every training slide once."""
    epochs: int = 1000
    """Largest number of epochs."""
    patience: int | None = 100
    """Epochs without a better validation score before training stops; null never stops early."""
    learning_rate: Positive = 1e-3
    """Learning rate at the first step."""
    batch_norm_momentum: Share = 0.99
    """Momentum of the moving averages in batch norm."""
    loss: Literal["dice", "dice-crossentropy"] = "dice"
    """Soft Dice, or its sum with the cross-entropy."""
    class_weights: Literal["none"] | dict[str, Positive] = "none"
    """Weights of classes in the loss: none, or numbers by class name."""
    cross_fit: Annotated[int, Field(ge=2)] | None = None
    """Number of folds of the training slides, each with a classifier for its heatmaps."""
    augmentation: RefinementAugmentation = RefinementAugmentation()
    """Random changes of slides."""

    @property
    def windows(self) -> WindowSettings | None:
        """The windows that the network sees; None if it sees whole slides."""
        if self.field == "whole":
            return None
        mpp = 1000 * self.window_mm / self.input_px
        return WindowSettings(side_px=self.input_px, mpp=mpp, overlap=self.overlap)

    @model_validator(mode="after")
    def _check_cross_fit(self) -> RefinementStage:
        if self.cross_fit and self.inputs == "image":
            raise ValueError(
                "cross_fit makes heatmaps, but a network with inputs image takes none; leave out "
                "one of the two"
            )
        return self
