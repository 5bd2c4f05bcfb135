"""A recipe: all choices of one system, as validated values read from YAML.

Each section has its own module. This module holds the recipe and the checks between sections.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from h2g.recipes.annotation import AnnotationSettings, LabelSettings, SamplerSettings
from h2g.recipes.base import Frozen
from h2g.recipes.clustering import ClusteringSettings
from h2g.recipes.paper import PaperRow
from h2g.recipes.patch import PatchStage
from h2g.recipes.preprocessing import LowResolutionSettings, Preprocessing
from h2g.recipes.refinement import RefinementStage


class Recipe(Frozen):
    """One system, from preprocessing to its trained stages."""

    name: str
    """Name of the recipe."""
    description: str
    """Summary of what the recipe trains, in one line."""
    paper: PaperRow | None = None
    """Scores that a paper reports for it, for reference only."""
    # Every library that draws random numbers accepts seeds in this range.
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of every random choice."""
    preprocessing: Preprocessing = Preprocessing()
    """Processing of a slide before the networks."""
    annotation: AnnotationSettings = AnnotationSettings()
    """Mapping of names in annotation files to classes."""
    labels: LabelSettings = LabelSettings()
    """Rule for the class of a patch."""
    sampler: SamplerSettings = SamplerSettings()
    """Order in which patches are drawn for training."""
    clustering: ClusteringSettings | None = None
    """Clusters of tissue types for the cwce losses; null for none."""
    patch: PatchStage | None = PatchStage()
    """Stage 1, the patch classifier; null for the low-resolution slide alone (designs I, II)."""
    refinement: RefinementStage | None = None
    """Stage 2, the network that refines the heatmap; null for none."""

    @model_validator(mode="after")
    def _check_stages(self) -> Recipe:
        if self.patch is not None:
            return self
        if self.refinement is None:
            raise ValueError("patch and refinement are both null; a recipe needs at least one")
        if self.refinement.inputs != "image":
            raise ValueError(
                f"refinement.inputs {self.refinement.inputs} needs heatmaps, but patch: null makes "
                "none; set refinement.inputs: image"
            )
        if self.preprocessing.patch.adaptive is not None:
            raise ValueError(
                "preprocessing.patch.adaptive chooses patches, but patch: null reads none; leave "
                "out one of the two"
            )
        if self.clustering is not None:
            raise ValueError("clustering guides the patch stage, which is null; leave it out")
        return self

    @model_validator(mode="after")
    def _check_cells(self) -> Recipe:
        step = self.preprocessing.patch.step_px
        if self.patch is not None and step % self.patch.cells:
            raise ValueError(
                f"patch.cells {self.patch.cells} does not divide the {step} px of a patch without "
                "its margins"
            )
        return self

    @model_validator(mode="after")
    def _check_clustering(self) -> Recipe:
        if self.patch is None or not self.patch.is_cluster_guided:
            return self
        if self.clustering is None:
            raise ValueError(
                f"patch.loss {self.patch.loss} needs a section 'clustering'; clustering: {{}} "
                "takes the paper's values"
            )
        if self.clustering.features == "patch":
            raise ValueError(
                f"clustering.features patch needs the trained classifier, but patch.loss "
                f"{self.patch.loss} needs the clusters to train it; give another run's "
                "patch/model.keras"
            )
        return self

    @model_validator(mode="after")
    def _check_class_weights(self) -> Recipe:
        by_class = {
            "patch.class_weights": getattr(self.patch, "class_weights", "none"),
            "refinement.class_weights": getattr(self.refinement, "class_weights", "none"),
            "sampler.rates": self.sampler.rates or "none",
        }
        for setting, values in by_class.items():
            unknown = [] if isinstance(values, str) else [*{*values} - {*self.class_names}]
            if unknown:
                raise ValueError(
                    f"{setting}: no class {', '.join(sorted(unknown))}; the classes "
                    f"are {', '.join(self.class_names)}"
                )
        return self

    @model_validator(mode="after")
    def _check_dice_weights(self) -> Recipe:
        settings = self.refinement
        if settings is None or settings.class_weights == "none" or settings.loss != "dice":
            return self
        if self.class_names[0] in settings.class_weights or len(self.class_names) == 2:
            raise ValueError(
                "refinement.class_weights: the loss dice is a mean over the tumour classes alone; "
                "weigh two or more of them, or set refinement.loss: dice-crossentropy"
            )
        return self

    @model_validator(mode="after")
    def _check_windows(self) -> Recipe:
        if self.preprocessing.low_resolution.windows is not None:
            raise ValueError(
                "preprocessing.low_resolution.windows follows from the section refinement; set "
                "refinement.field: windows and refinement.window_mm instead"
            )
        return self

    @property
    def deployed_preprocessing(self) -> Preprocessing:
        """The preprocessing, with the windows of the refinement stage."""
        windows = self.refinement.windows if self.refinement else None
        low_resolution = self.preprocessing.low_resolution.model_copy(update={"windows": windows})
        return self.preprocessing.model_copy(update={"low_resolution": low_resolution})

    @property
    def low_resolution(self) -> LowResolutionSettings:
        """The low-resolution image, with the windows of the refinement stage."""
        return self.deployed_preprocessing.low_resolution

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.annotation.class_names
