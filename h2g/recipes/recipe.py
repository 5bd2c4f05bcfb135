"""A recipe: every choice of one system, as validated values read from YAML.

Each section has a module; here are the recipe and the checks between sections. Errors of unknown
keys name the nearest right one.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from h2g.recipes.annotation import AnnotationSettings, LabelSettings, SamplerSettings
from h2g.recipes.base import Frozen
from h2g.recipes.clustering import ClusteringSettings
from h2g.recipes.paper import PaperRow
from h2g.recipes.patch import PatchStage
from h2g.recipes.preprocessing import Preprocessing
from h2g.recipes.refinement import RefinementStage


class Recipe(Frozen):
    """One system, from preprocessing to its trained stages."""

    name: str
    """Name of the recipe."""
    description: str
    """What the recipe trains, in a line."""
    paper: PaperRow | None = None
    """What a paper reports for it; no result depends on it."""
    # Every library that draws numbers takes seeds of this range.
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of every random choice."""
    preprocessing: Preprocessing = Preprocessing()
    """The way from a slide to what the networks see."""
    annotation: AnnotationSettings = AnnotationSettings()
    """How names in annotation files become classes."""
    labels: LabelSettings = LabelSettings()
    """Which class a patch gets."""
    sampler: SamplerSettings = SamplerSettings()
    """How patches are drawn for training."""
    clustering: ClusteringSettings | None = None
    """Clusters of tissue types for the cwce losses; null has none."""
    patch: PatchStage | None = PatchStage()
    """Stage 1, the patch classifier; null leaves the low-resolution slide alone (designs I, II)."""
    refinement: RefinementStage | None = None
    """Stage 2, the network that refines the heatmap; null has none."""

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
    def _whole_cells(self) -> Recipe:
        step = self.preprocessing.patch.step_px
        if self.patch is not None and step % self.patch.cells:
            raise ValueError(
                f"patch.cells {self.patch.cells} does not divide the {step} px of a patch without "
                "its margins"
            )
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
    def _weights_of_known_classes(self) -> Recipe:
        for stage in ("patch", "refinement"):
            weights = getattr(getattr(self, stage), "class_weights", "none")
            unknown = [] if isinstance(weights, str) else [*{*weights} - {*self.class_names}]
            if unknown:
                raise ValueError(
                    f"{stage}.class_weights: no class {', '.join(sorted(unknown))}; the classes "
                    f"are {', '.join(self.class_names)}"
                )
        return self

    @model_validator(mode="after")
    def _weights_that_the_dice_feels(self) -> Recipe:
        settings = self.refinement
        if settings is None or settings.class_weights == "none" or settings.loss != "dice":
            return self
        if self.class_names[0] in settings.class_weights or len(self.class_names) == 2:
            raise ValueError(
                "refinement.class_weights: the loss dice is a mean over the tumour classes alone; "
                "weigh two or more of them, or take refinement.loss dice-crossentropy"
            )
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.annotation.class_names
