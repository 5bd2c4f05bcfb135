"""The refinement stage: its network, its loss and its augmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from h2g.recipes.base import Frozen, Options, Positive, Share
from h2g.recipes.training import TrainingSettings

RefinementInputs = Literal["both", "heatmap", "image"]


class RefinementAugmentation(Frozen):
    """Probabilities of the changes, and their sizes (H2G-Net section 3.4).

    ``heatmap`` is not the paper's, and off while both its sizes are 0: with that probability the
    logits of a slide's heatmap get noise of standard deviation ``heatmap_noise`` in every cell and
    one shift of standard deviation ``heatmap_shift`` for the slide (h2g.data.heatmap_noise).
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
    """Probability of a change of the stains."""
    stain_sigma: tuple[float, float] = (0.1, 0.1)
    """Largest changes of the stains: factor and offset."""
    heatmap: Share = 0.5
    """Probability of noise on the heatmap."""
    heatmap_noise: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of the noise on the logits of each cell."""
    heatmap_shift: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of the shift of a slide's logits."""


class RefinementStage(TrainingSettings):
    """Stage 2, the refinement network on low-resolution slide and heatmap.

    ``inputs`` other than ``both`` build the network of that input alone: the two controls
    that say what each input is worth. A recipe without a patch stage has only the ``image``.

    Not the paper's, and off by default: ``loss`` ``dice-crossentropy`` and ``class_weights``, by
    class name, 1 where not named (h2g.training.losses). ``cross_fit`` is the number of further
    classifiers, each trained without one fold of the training slides. They make the heatmaps that
    are trained on, so that no heatmap comes from a classifier that has seen its slide
    (h2g.stages.folds.train_folds).

    There is no label smoothing here: the soft Dice is at its best on labels of 0 and 1, and a
    cross-entropy on others would pull against it.
    """

    model: str = "unet"
    """Network; 'h2g models' lists them."""
    options: Options = {}
    """What the network's builder takes, by name."""
    input_px: int = 1024
    """Side of the square that image and heatmap are resized to."""
    inputs: RefinementInputs = "both"
    """What the network sees."""
    batch_size: int = 4
    """Slides in a batch."""
    accumulation_steps: Annotated[int, Field(ge=1)] = 6
    """Batches whose gradients are added up for one step of the optimiser."""
    steps_per_epoch: int | None = None  # type: ignore[assignment]
    """Batches in an epoch; null passes every training slide once."""
    epochs: int = 1000
    """Most epochs that are trained."""
    patience: int | None = 100
    """Epochs without a better validation score before training stops; null trains all."""
    learning_rate: Positive = 1e-3
    """Learning rate at the first step."""
    batch_norm_momentum: Share = 0.99
    """Momentum of the moving averages in batch norm."""
    loss: Literal["dice", "dice-crossentropy"] = "dice"
    """Soft Dice, or its sum with the cross-entropy."""
    class_weights: Literal["none"] | dict[str, Positive] = "none"
    """Weights of classes in the loss: none, or numbers by class name."""
    cross_fit: Annotated[int, Field(ge=2)] | None = None
    """Number of folds of the training slides, each with a classifier that makes its heatmaps."""
    augmentation: RefinementAugmentation = RefinementAugmentation()
    """Random changes of a slide."""

    @model_validator(mode="after")
    def _cross_fit_where_heatmaps_are_seen(self) -> RefinementStage:
        if self.cross_fit and self.inputs == "image":
            raise ValueError(
                "cross_fit makes heatmaps, which a network with inputs image does not see; leave "
                "one of the two out"
            )
        return self
