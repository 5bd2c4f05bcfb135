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
    rotate: Share = 0.5
    zoom: Share = 0.5
    zoom_range: tuple[float, float] = (0.8, 1.2)
    stain: Share = 0.5
    stain_sigma: tuple[float, float] = (0.1, 0.1)
    heatmap: Share = 0.5
    heatmap_noise: Annotated[float, Field(ge=0)] = 0.0
    heatmap_shift: Annotated[float, Field(ge=0)] = 0.0


class RefinementStage(TrainingSettings):
    """Stage 2, the refinement network on low-resolution slide and heatmap.

    ``inputs`` other than ``both`` build the network of that input alone: the two controls
    that say what each input is worth. A recipe without a patch stage has only the ``image``.

    Not the paper's, and off by default: ``loss`` ``dice-crossentropy`` and ``class_weights``, by
    class name, 1 where not named (h2g.training.losses). ``cross_fit`` is the number of further
    classifiers, each trained without one fold of the training slides. They make the heatmaps that
    are trained on, so that no heatmap comes from a classifier that has seen its slide
    (h2g.training.folds).

    There is no label smoothing here: the soft Dice is at its best on labels of 0 and 1, and a
    cross-entropy on others would pull against it.
    """

    model: str = "unet"
    options: Options = {}
    input_px: int = 1024
    inputs: RefinementInputs = "both"
    batch_size: int = 4
    accumulation_steps: Annotated[int, Field(ge=1)] = 6
    # An epoch passes every training slide once when this is None.
    steps_per_epoch: int | None = None  # type: ignore[assignment]
    epochs: int = 1000
    patience: int | None = 100
    learning_rate: Positive = 1e-3
    batch_norm_momentum: Share = 0.99
    loss: Literal["dice", "dice-crossentropy"] = "dice"
    class_weights: Literal["none"] | dict[str, Positive] = "none"
    cross_fit: Annotated[int, Field(ge=2)] | None = None
    augmentation: RefinementAugmentation = RefinementAugmentation()

    @model_validator(mode="after")
    def _cross_fit_where_heatmaps_are_seen(self) -> RefinementStage:
        if self.cross_fit and self.inputs == "image":
            raise ValueError(
                "cross_fit makes heatmaps, which a network with inputs image does not see; leave "
                "one of the two out"
            )
        return self
