"""Which of the H2G-Net paper's designs are trained, at which scale, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from h2g.errors import WrongUseError
from h2g.recipes.reading import load_recipe, shipped_recipes
from h2g.recipes.recipe import Recipe

SCALES = ("paper", "small")
# The small scale: what recipe 'demo' changes of design VI, for each stage that a design has.
SMALL_PATCHES = ("preprocessing.patch.mpp=2.0", "preprocessing.patch.size_px=128")
SMALL_STAGES = {
    "clustering": ("clustering.batches=25",),
    "patch": (
        *("patch.weights=none", "patch.batch_size=32", "patch.workers=2"),
        *("patch.steps_per_epoch=50", "patch.validation_steps=20", "patch.epochs=7"),
        *("patch.learning_rate=3.0e-3", "patch.schedule=cosine"),
    ),
    "refinement": (
        *("refinement.input_px=256", "refinement.accumulation_steps=1"),
        *("refinement.steps_per_epoch=20", "refinement.epochs=15", "refinement.patience=null"),
        *("refinement.batch_norm_momentum=0.9", "refinement.jit_compile=true"),
    ),
}
# By network; each refinement network has four poolings.
SMALL_NETWORKS = {
    "mobilenet_v2": ("patch.options={alpha: 0.35}",),
    "inception_v3": ("patch.epochs=3",),  # a step takes six times that of the small MobileNetV2
    "unet": ("refinement.options={filters: [8, 16, 32, 64, 128]}",),
    "agu_net": ("refinement.options={filters: [8, 16, 32, 64, 128]}",),
    "dagu_net": ("refinement.options={filters: [8, 16, 32, 64, 128]}",),
    # Its ASPP stands below the last width.
    "doubleu_net": ("refinement.options={filters: [8, 16, 32, 64], aspp_filters: 32}",),
}
# Folders of a run that another one can take over, and the sections of the recipe they follow from.
SHARED = ("seed", "preprocessing", "annotation", "labels", "sampler")
STAGE_OF_FOLDER = {"clusters": "cluster", "patch": "patch", "heatmaps": "heatmaps"}
CLASSIFIER = "mob-pw"  # whose features the small scale clusters


@dataclass(frozen=True)
class Planned:
    """A design as it is trained here.

    Attributes:
        folder: its run folder.
        sources: run folders of earlier designs, by the folder in them that they make in the same
            way.
        jobs: processes or threads that read slides at once.
    """

    recipe: Recipe
    folder: Path
    sources: dict[str, tuple[Path, ...]]
    jobs: int

    @property
    def name(self) -> str:
        return self.recipe.name


def design_names() -> list[str]:
    """The recipes of H2G-Net's designs, in the paper's order."""
    return [each.name for each in shipped_recipes() if each.paper and each.paper.design]


def plan_designs(
    names: Sequence[str], out: Path, *, overrides: Callable[[Recipe], tuple[str, ...]], jobs: int
) -> list[Planned]:
    """The designs in the paper's order, each with what it can take over from those before it.

    Raises:
        WrongUseError: a name that is no design, or a design that needs another one.
    """
    known = design_names()
    if unknown := [name for name in names if name not in known]:
        raise WrongUseError(f"No design '{unknown[0]}'. Designs: {', '.join(known)}.")
    planned: list[Planned] = []
    for name in sorted(set(names), key=known.index):
        recipe = load_recipe(name, overrides(load_recipe(name)))
        sources = {
            folder: tuple(
                earlier.folder
                for earlier in planned
                if folder in reusable_folders(earlier.recipe)
                and all(getattr(earlier.recipe, key) == getattr(recipe, key) for key in sections)
            )
            for folder, sections in reusable_folders(recipe).items()
        }
        planned.append(Planned(recipe, out / name, sources, jobs))
    _refuse_missing_classifier(planned, out)
    return planned


def first_choice(sources: Mapping[str, Sequence[Path]]) -> dict[str, Path]:
    """The run folder that each folder is taken from; heatmaps with the classifier they are of."""
    chosen = {folder: paths[0] for folder, paths in sources.items() if paths}
    if "heatmaps" in chosen:
        chosen["patch"] = chosen["heatmaps"]
    return chosen


def reusable_folders(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """The folders that a run of the recipe makes and another could take over, each with the
    sections that it follows from."""
    folders: dict[str, tuple[str, ...]] = {}
    if recipe.clustering is not None:
        folders["clusters"] = (*SHARED, "clustering")
    if recipe.patch is not None:
        guided = ("clustering",) if recipe.patch.is_cluster_guided else ()
        folders["patch"] = (*SHARED, "patch", *guided)
        if recipe.refinement is not None:
            folders["heatmaps"] = folders["patch"]
    return folders


def scale_overrides(
    scale: str, out: Path, *, seed: int, more: Sequence[str] = ()
) -> Callable[[Recipe], tuple[str, ...]]:
    """From a shipped recipe to what is changed in it.

    Args:
        more: further changes, made in every design that has the section.
    """

    def changes(recipe: Recipe) -> tuple[str, ...]:
        given = [text for text in more if getattr(recipe, text.partition(".")[0], "") is not None]
        small = _small_overrides(recipe, out) if scale == "small" else ()
        return (f"seed={seed}", *small, *given)

    return changes


def _small_overrides(recipe: Recipe, out: Path) -> tuple[str, ...]:
    # Design I learns nothing: it stays the paper's.
    networks = [stage.model for stage in (recipe.patch, recipe.refinement) if stage is not None]
    if networks == ["otsu"]:
        return ()
    changes: tuple[str, ...] = SMALL_PATCHES if recipe.patch is not None else ()
    for section, settings in SMALL_STAGES.items():
        if getattr(recipe, section) is not None:
            changes += settings
    if recipe.clustering is not None:
        changes += (f"clustering.features='{_clustered_model(out)}'",)
    return changes + tuple(text for network in networks for text in SMALL_NETWORKS[network])


def _clustered_model(out: Path) -> Path:
    """The classifier whose features are clustered at the small scale."""
    return out.resolve() / CLASSIFIER / "patch" / "model.keras"


def _refuse_missing_classifier(planned: Sequence[Planned], out: Path) -> None:
    file = _clustered_model(out)
    for design in planned:
        clustering = design.recipe.clustering
        needs = clustering is not None and clustering.features == str(file)
        if needs and not file.is_file() and CLASSIFIER not in [each.name for each in planned]:
            raise WrongUseError(
                f"{design.name} clusters the features of {CLASSIFIER} at the small scale. Name "
                f"that design too: --designs {CLASSIFIER} {design.name}."
            )


def plan_lines(planned: Sequence[Planned]) -> list[str]:
    """A line a design: its stages, and where those come from that it does not make itself."""
    lines = []
    for design in planned:
        recipe, stages = design.recipe, ["prepare"]
        stages += ["cluster"] * (recipe.clustering is not None)
        stages += ["patch"] * (recipe.patch is not None)
        stages += ["heatmaps"] * ("heatmaps" in design.sources)
        stages += ["refinement"] * (recipe.refinement is not None)
        for folder, source in first_choice(design.sources).items():
            stage = STAGE_OF_FOLDER[folder]
            stages[stages.index(stage)] = f"{stage} (of {source.name})"
        assert recipe.paper is not None
        lines.append(f"{recipe.paper.design:>4} {design.name:<18} {', '.join(stages)}")
    return lines
