"""The patch stage: its classifier, its loss and its augmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from h2g.recipes.base import Frozen, Options, Positive, Share
from h2g.recipes.training import TrainingSettings


class PatchAugmentation(Frozen):
    """Probabilities of the changes, and their sizes in 8-bit units (H2G-Net section 3.4).

    ``lab`` is not the paper's: shifts of L, a and b in CIE Lab, up to ``lab_shift`` either way, as
    between two stainings; ``lab_with`` says which library converts (h2g.data.lab).
    """

    flip: Share = 0.5
    rotate: Share = 0.5
    colour: Share = 0.5
    hue_shift: float = 20
    saturation_shift: float = 20
    brightness: Share = 0.5
    brightness_range: tuple[float, float] = (0.8, 1.2)
    lab: Share = 0.0
    lab_shift: tuple[float, float, float] = (10.0, 8.0, 8.0)
    lab_with: Literal["opencv", "tensorflow-io"] = "opencv"


class PatchStage(TrainingSettings):
    """Stage 1, the patch classifier. ``weights`` is ``imagenet``, ``none`` or a file.

    ``loss`` with ``cwce`` weighs patches by their cluster (h2g.training.cluster_weights):
    ``cwce`` as the text of H2G-Net's section 2.4 has it, ``cwce-literal`` its equation 1 as it is
    printed, ``cwce-per-class`` as its public script.

    Not the paper's, and off by default: ``class_weights`` weighs patches by their class
    (h2g.training.class_weights): ``balanced`` gives every class the same share of the loss,
    whatever ``sampler.order`` draws; numbers by class name are the weights themselves, and a class
    that is not named has 1. ``label_smoothing`` moves that share of the label to all classes alike.
    """

    model: str = "mobilenet_v2"
    options: Options = {}
    weights: str = "imagenet"
    validation_steps: int = 200
    loss: Literal["crossentropy", "cwce", "cwce-literal", "cwce-per-class"] = "crossentropy"
    class_weights: Literal["none", "balanced"] | dict[str, Positive] = "none"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augmentation: PatchAugmentation = PatchAugmentation()
    workers: Annotated[int, Field(ge=1)] = 8

    @property
    def is_cluster_guided(self) -> bool:
        return self.loss != "crossentropy"
