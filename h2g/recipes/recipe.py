"""A recipe: every choice of one system, as validated values read from YAML.

Lengths are in um, resolutions in um/px (mpp), shares in [0, 1]. All models are frozen and refuse
unknown keys; the error names the nearest right one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from h2g.fast_versions import FastName

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Profile = Literal["paper", "fast", "fast-4.15"]
PatchRule = Literal["mpp", "fast-4.9", "fast-4.15"]
# The coarsest level there is; or FAST 4.9's (h2g.slides.fast_levels).
CoarsestLevel = Literal["coarsest", "fast-4.9"]
RefinementInputs = Literal["both", "heatmap", "image"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TissueSettings(Section):
    """Which pixels are tissue: one rule, one threshold, closings, at one resolution.

    Rules: ``saturation`` (8-bit HSV saturation > threshold; H2G-Net section 2.2),
    ``white-distance`` (Euclidean RGB distance to white > threshold, and not black; FAST's
    TissueSegmentation),
    ``otsu`` (saturation above Otsu's threshold; ``threshold`` unused).
    ``level`` says what counts as the coarsest level where ``mpp`` is null.
    """

    rule: Literal["saturation", "white-distance", "otsu"] = "saturation"
    threshold: float = 20
    closing_px: tuple[int, ...] = (5, 3)
    mpp: Positive | None = 8.0  # None: the slide's coarsest level as it is
    level: CoarsestLevel = "coarsest"


class PatchSettings(Section):
    """Patches of ``size_px`` at ``mpp``; levels within ``tolerance`` of it are not resampled.

    A patch is kept when its share of tissue is above ``min_tissue``. Rules ``fast-4.9`` and
    ``fast-4.15`` choose the level, read and test patches as those versions of FAST do
    (h2g.slides.fast_patches).
    """

    rule: PatchRule = "mpp"
    mpp: Positive = 1.0
    size_px: Annotated[int, Field(ge=16)] = 256
    tolerance: Share = 0.1
    min_tissue: Share = 0.25


class LowResolutionSettings(Section):
    """The refinement network's picture of the slide.

    ``at-least`` takes the coarsest level with both sides >= ``min_side_px``, reduced by a whole
    factor when it has more than ``max_side_px`` a side; ``coarsest`` takes the last level as it is,
    ``fast-4.9`` the last one that FAST 4.9 knows.
    """

    level: Literal["at-least"] | CoarsestLevel = "at-least"
    min_side_px: int = 1024
    max_side_px: int = 8192


class Preprocessing(Section):
    """The one way from slide to networks that preparing, training, prediction and export share."""

    profile: Profile = "paper"
    tissue: TissueSettings = TissueSettings()
    patch: PatchSettings = PatchSettings()
    low_resolution: LowResolutionSettings = LowResolutionSettings()

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, values: Any) -> Any:
        return with_fast_named(values)

    @property
    def fast_version(self) -> FastName | None:
        """The versions of FAST that choose patches in this way (h2g.fast_versions)."""
        names: dict[PatchRule, FastName] = {"fast-4.9": "4.9", "fast-4.15": "4.15"}
        return names.get(self.patch.rule)


def with_fast_named(section: Any) -> Any:
    """A preprocessing section from before FAST's versions were told apart, when ``fast`` was 4.15;
    any other comes back as it is."""
    patch = section.get("patch") if isinstance(section, dict) else None
    if not isinstance(patch, dict) or patch.get("rule") != "fast":
        return section
    return {**section, "profile": "fast-4.15", "patch": {**patch, "rule": "fast-4.15"}}


def _fast_profile(profile: Profile, rule: PatchRule, level: CoarsestLevel) -> Preprocessing:
    return Preprocessing(
        profile=profile,
        tissue=TissueSettings(
            rule="white-distance", threshold=85, closing_px=(9,), mpp=None, level=level
        ),
        patch=PatchSettings(rule=rule, min_tissue=0.5),
        low_resolution=LowResolutionSettings(level=level),
    )


# ``fast`` is what FastPathology does, which is built on FAST 4.9.
PROFILES: dict[str, Preprocessing] = {
    "paper": Preprocessing(),
    "fast": _fast_profile("fast", "fast-4.9", "fast-4.9"),
    "fast-4.15": _fast_profile("fast-4.15", "fast-4.15", "coarsest"),
}


class AnnotationSettings(Section):
    """How names in annotation files become classes; background is class 0 and is not listed.

    ``classes`` maps a class of ours to the names it has in annotation files (compared without
    case); mask files hold the class's number (1, 2, ...) or, with one class, any non-zero value.
    Later classes are drawn over earlier ones. Names in ``ignored`` are skipped; any other name
    stops reading unless ``unlisted`` is ``ignore``.
    """

    classes: dict[str, tuple[str, ...]] = {"tumour": ("tumour", "tumor")}
    ignored: tuple[str, ...] = ()
    unlisted: Literal["error", "ignore"] = "error"

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("background", *self.classes)


class LabelSettings(Section):
    """A patch gets a class when more than ``min_class`` of it is that class, background when
    nothing of it is annotated; patches between are left out (H2G-Net section 2.2)."""

    min_class: Share = 0.25


class SamplerSettings(Section):
    """Levels of the sampling tree, root first; each is drawn uniformly (H2G-Net section 2.3)."""

    order: tuple[Literal["grade", "slide", "label"], ...] = ("grade", "slide", "label")


class PatchAugmentation(Section):
    """Each with its probability; shifts in 8-bit units, as in H2G-Net section 3.4.

    ``lab`` is not the paper's: shifts of L, a and b in CIE Lab, up to ``lab_shift`` either way, as
    between two stainings; ``lab_with`` says which library converts (h2g.data.lab).
    """

    flip: Probability = 0.5
    rotate: Probability = 0.5
    colour: Probability = 0.5
    hue_shift: float = 20
    saturation_shift: float = 20
    brightness: Probability = 0.5
    brightness_range: tuple[float, float] = (0.8, 1.2)
    lab: Probability = 0.0
    lab_shift: tuple[float, float, float] = (10.0, 8.0, 8.0)
    lab_with: Literal["opencv", "tensorflow-io"] = "opencv"


class RefinementAugmentation(Section):
    """Each with its probability, as in H2G-Net section 3.4.

    ``heatmap`` is not the paper's, and off while both its sizes are 0: with that probability the
    logits of a slide's heatmap get noise of standard deviation ``heatmap_noise`` in every cell and
    one shift of standard deviation ``heatmap_shift`` for the slide (h2g.data.heatmap_noise).
    """

    flip: Probability = 0.5
    rotate: Probability = 0.5
    zoom: Probability = 0.5
    zoom_range: tuple[float, float] = (0.8, 1.2)
    stain: Probability = 0.5
    stain_sigma: tuple[float, float] = (0.1, 0.1)
    heatmap: Probability = 0.5
    heatmap_noise: Annotated[float, Field(ge=0)] = 0.0
    heatmap_shift: Annotated[float, Field(ge=0)] = 0.0


class ClusteringSettings(Section):
    """Which tissue types patches fall into (H2G-Net section 2.3); fitted on the training slides.

    ``features`` are those of a backbone by name, such as ``vgg16``, with ``weights`` as in
    ``patch.weights``; or of a trained patch model: a ``.keras`` file, or ``patch``, the run's own.
    Principal components are kept up to ``variance`` of the whole, each scaled to unit variance
    with ``whiten``. ``batches`` of ``batch_size`` patches are drawn as in training.
    """

    features: str = "vgg16"
    weights: str = "imagenet"
    batches: Annotated[int, Field(ge=1)] = 100
    batch_size: Annotated[int, Field(ge=1)] = 32
    variance: Annotated[float, Field(gt=0, le=1)] = 0.95
    whiten: bool = False
    clusters: Annotated[int, Field(ge=1)] = 10


class TrainingSettings(Section):
    """What both stages share. ``steps`` are batches; ``patience`` counts epochs without a better
    validation score, None trains all epochs.

    ``jit_compile`` lets XLA compile the training step; ``auto`` is Keras's choice: on one GPU, not
    on a CPU. tools/bench_training.py says what it is worth where it runs.
    """

    batch_size: int = 64
    accumulation_steps: Annotated[int, Field(ge=1)] = 1
    steps_per_epoch: int = 500
    epochs: int = 100
    patience: int | None = None
    learning_rate: Positive = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    mixed_precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    jit_compile: Literal["auto"] | bool = "auto"
    tensorboard: bool = False


class PatchStage(TrainingSettings):
    """Stage 1, the patch classifier. ``weights`` is ``imagenet``, ``none`` or a file.

    ``loss`` with ``cwce`` weighs patches by their cluster (h2g.training.cluster_weights):
    ``cwce`` as the text of H2G-Net's section 2.4 has it, ``cwce-literal`` its equation 1 as it is
    printed, ``cwce-per-class`` as its public script.

    Not the paper's, and off by default: ``class_weights`` weighs patches by their class
    (h2g.training.class_weights): ``balanced`` gives every class the same share of the loss,
    whatever ``sampler.order`` draws; numbers by class name weigh them as they say, a class that is
    not named is 1. ``label_smoothing`` moves that share of the label to all classes alike.
    """

    model: str = "mobilenet_v2"
    options: dict[str, Any] = {}
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


class RefinementStage(TrainingSettings):
    """Stage 2, the refinement network on low-resolution slide and heatmap.

    ``inputs`` other than ``both`` build the network of that input alone: the two controls
    that say what each input is worth. A recipe without a patch stage has only the ``image``.

    Not the paper's, and off by default: ``loss`` ``dice-crossentropy`` and ``class_weights``, by
    class name, 1 where not named (h2g.training.losses); ``cross_fit``: so many further classifiers,
    each trained without one fold of the training slides, make the heatmaps that are trained on, so
    that none comes from a classifier that has seen its slide (h2g.training.folds).

    There is no label smoothing here: the soft Dice is at its best on labels of 0 and 1, and a
    cross-entropy on others would pull against it.
    """

    model: str = "unet"
    options: dict[str, Any] = {}
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


MeanSD = tuple[Share, Share]


class PaperRow(Section):
    """What the H2G-Net paper reports for a design, on 90 test slides: mean and standard deviation
    of its Table 1, and Dice by histological grade of its Table 2. It changes nothing."""

    design: Literal["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"]
    label: str
    recall: MeanSD
    precision: MeanSD
    dice: MeanSD
    dice_by_grade: dict[Literal["I", "II", "III"], MeanSD] = {}


class Recipe(Section):
    name: str
    description: str
    paper: PaperRow | None = None
    # What every library that draws numbers takes as a seed.
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    preprocessing: Preprocessing = Preprocessing()
    annotation: AnnotationSettings = AnnotationSettings()
    labels: LabelSettings = LabelSettings()
    sampler: SamplerSettings = SamplerSettings()
    clustering: ClusteringSettings | None = None
    # None: no classifier and no heatmap, the low-resolution slide alone (designs I and II).
    patch: PatchStage | None = PatchStage()
    refinement: RefinementStage | None = None

    @model_validator(mode="after")
    def _stages_that_fit(self) -> Recipe:
        if self.patch is not None:
            return self
        if self.refinement is None:
            raise ValueError("patch and refinement are both null; a recipe has one of the two")
        if self.refinement.inputs != "image":
            raise ValueError(
                f"refinement.inputs {self.refinement.inputs} needs heatmaps, and patch: null makes "
                "none; without a patch stage it is image"
            )
        if self.clustering is not None:
            raise ValueError("clustering guides the patch stage, which is null; leave it out")
        return self

    @model_validator(mode="after")
    def _label_level_in_tree(self) -> Recipe:
        if len(set(self.sampler.order)) != len(self.sampler.order):
            raise ValueError("sampler.order names a level twice")
        return self

    @model_validator(mode="after")
    def _clusters_before_their_loss(self) -> Recipe:
        if self.patch is None or not self.patch.is_cluster_guided:
            return self
        if self.clustering is None:
            raise ValueError(
                f"patch.loss {self.patch.loss} needs a section 'clustering'; clustering: {{}} has "
                "the paper's values"
            )
        if self.clustering.features == "patch":
            raise ValueError(
                f"clustering.features patch needs the trained classifier, which patch.loss "
                f"{self.patch.loss} trains with the clusters; give another run's "
                "patch/model.keras"
            )
        return self

    @model_validator(mode="after")
    def _weights_of_classes_there_are(self) -> Recipe:
        for stage in ("patch", "refinement"):
            weights = getattr(getattr(self, stage), "class_weights", "none")
            unknown = [] if isinstance(weights, str) else [*{*weights} - {*self.class_names}]
            if unknown:
                raise ValueError(
                    f"{stage}.class_weights: no class {', '.join(sorted(unknown))}; the classes "
                    f"are {', '.join(self.class_names)}"
                )
        settings = self.refinement
        if settings is None or settings.class_weights == "none" or settings.loss != "dice":
            return self
        if self.class_names[0] in settings.class_weights or len(self.class_names) == 2:
            raise ValueError(
                "refinement.class_weights: the loss dice is a mean over the tumour classes alone; "
                "weigh two or more of them, or take refinement.loss dice-crossentropy"
            )
        return self

    @model_validator(mode="after")
    def _cross_fit_where_heatmaps_are_seen(self) -> Recipe:
        settings = self.refinement
        if settings is not None and settings.cross_fit and settings.inputs == "image":
            raise ValueError(
                "refinement.cross_fit makes heatmaps, which a network with refinement.inputs "
                "image does not see; leave one of the two out"
            )
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.annotation.class_names

    @property
    def network_stages(self) -> tuple[Literal["patch", "refinement"], ...]:
        """The stages whose networks segment slides, in their order."""
        stages: list[Literal["patch", "refinement"]] = []
        if self.patch is not None:
            stages.append("patch")
        if self.refinement is not None:
            stages.append("refinement")
        return tuple(stages)
