"""Settings of the patch stage: its network, its loss and its augmentation."""

from __future__ import annotations

from typing import Annotated, Literal, cast, get_args

from pydantic import Field, model_validator

from h2g.recipes.base import Frozen, Options, Positive, Share
from h2g.recipes.training import TrainingSettings

ClusterLoss = Literal["cwce", "cwce-literal", "cwce-per-class"]
MaskLoss = Literal["dice", "dice-crossentropy", "tversky", "focal"]
PatchLoss = Literal["crossentropy"] | ClusterLoss | MaskLoss


class PatchAugmentation(Frozen):
    """Probabilities of the changes, and their sizes in 8-bit units (H2G-Net section 3.4).

    ``lab`` is not in the paper. It shifts L, a and b in CIE Lab by up to ``lab_shift`` either way,
    like a difference in staining. ``lab_with`` names the library for the conversion
    (h2g.data.augmentation).
    """

    flip: Share = 0.5
    """Probability of a flip, for each of the two axes."""
    rotate: Share = 0.5
    """Probability of a rotation by a multiple of 90 degrees."""
    colour: Share = 0.5
    """Probability of a shift of hue and saturation."""
    hue_shift: float = 20
    """Largest shift of the hue, in 8-bit units."""
    saturation_shift: float = 20
    """Largest shift of the saturation, in 8-bit units."""
    brightness: Share = 0.5
    """Probability of a change of brightness."""
    brightness_range: tuple[float, float] = (0.8, 1.2)
    """Smallest and largest factor of the brightness."""
    lab: Share = 0.0
    """Probability of a shift in CIE Lab."""
    lab_shift: tuple[float, float, float] = (10.0, 8.0, 8.0)
    """Largest shifts of L, a and b."""
    lab_with: Literal["opencv", "tensorflow-io"] = "opencv"
    """Library that converts to CIE Lab."""


class PatchStage(TrainingSettings):
    """Stage 1, the patch classifier. ``weights`` is ``imagenet``, ``none`` or a file.

    A ``loss`` with ``cwce`` weighs patches by their cluster (h2g.stages.patch.cluster_weights):
    ``cwce`` follows the text of H2G-Net's section 2.4, ``cwce-literal`` its equation 1 as printed,
    and ``cwce-per-class`` its public script.

    Two settings are not in the paper and off by default. ``class_weights`` weighs patches by their
    class (h2g.training.class_weights). ``balanced`` gives every class the same share of the loss,
    whatever ``sampler.order`` draws. Numbers by class name are the weights themselves; a class
    without a number has 1. ``label_smoothing`` spreads that share of the label over all classes.
    """

    model: str = "mobilenet_v2"
    """Network, one of those that 'h2g models' lists."""
    options: Options = {}
    """Options of the network's builder, by name."""
    weights: str = "imagenet"
    """Initial weights: imagenet, none or a file."""
    validation_steps: int = 200
    """Batches of validation per epoch."""
    answer: Literal["class", "mask"] = "class"
    """Output of the network: the class of a patch, or of each pixel."""
    cells: Annotated[int, Field(ge=1)] = 1
    """Cells of the heatmap along a patch's side, which are means over the pixels of a mask."""
    loss: PatchLoss = "crossentropy"
    """Loss; those with cwce need the section clustering, the last four answer: mask."""
    loss_over: Literal["sample", "batch"] = "sample"
    """Pixels that the losses dice and tversky see together: each tile's, or the whole batch's."""
    auxiliary_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight of each output that only training needs, beside 1 for the one that is kept."""
    class_weights: Literal["none", "balanced"] | dict[str, Positive] = "none"
    """Weights of classes in the loss: none, balanced, or numbers by class name."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a label that is spread evenly over all classes."""
    augmentation: PatchAugmentation = PatchAugmentation()
    """Random changes of patches."""
    workers: Annotated[int, Field(ge=1)] = 8
    """Threads that read patches."""

    @model_validator(mode="after")
    def _check_cells(self) -> PatchStage:
        if self.answer == "mask":
            weightings = ["class_weights"] if self.class_weights != "none" else []
            weightings += [self.loss] if self.is_cluster_guided else []
            if weightings:
                raise ValueError(
                    f"{weightings[0]} weighs whole patches, but a network with answer mask is "
                    "trained on pixels; leave it out"
                )
        elif self.loss in get_args(MaskLoss):
            raise ValueError(
                f"loss {self.loss} is of pixels, but a network with answer class gives one class "
                "per patch; set answer: mask, or loss: crossentropy"
            )
        elif self.cells > 1:
            raise ValueError(
                f"cells {self.cells}: a network with answer class gives one cell per patch; set "
                "answer: mask and a network for masks ('h2g models' lists them)"
            )
        return self

    @property
    def is_cluster_guided(self) -> bool:
        return self.cluster_loss is not None

    @property
    def cluster_loss(self) -> ClusterLoss | None:
        """The loss if it weighs patches by cluster, else None."""
        return cast(ClusterLoss, self.loss) if self.loss in get_args(ClusterLoss) else None
