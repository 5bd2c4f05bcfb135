"""The plan of an ablation: designs of the H2G-Net paper and the stages they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from h2g.ablation.scales import CLASSIFIER, clustered_model
from h2g.errors import WrongUseError
from h2g.recipes.reading import load_recipe, shipped_recipes
from h2g.recipes.recipe import Recipe
from h2g.stages.chain import chain
from h2g.stages.run_chain import made_by


@dataclass(frozen=True)
class Planned:
    """A design as it is trained here.

    Attributes:
        folder: its run folder.
        sources: run folders of earlier designs with an equal stage, by the folder of each reusable
            stage, in the order of the stages.
        jobs: number of processes or threads that read slides.
    """

    recipe: Recipe
    folder: Path
    sources: dict[str, tuple[Path, ...]]
    jobs: int

    @property
    def name(self) -> str:
        return self.recipe.name


def design_names() -> list[str]:
    """Names of the recipes of the paper's designs, in the paper's order."""
    return [recipe.name for recipe in shipped_recipes() if recipe.paper and recipe.paper.design]


def plan_designs(
    names: Sequence[str], out: Path, *, overrides: Callable[[Recipe], tuple[str, ...]], jobs: int
) -> list[Planned]:
    """The designs in the paper's order, each with the stages it can reuse from earlier ones.

    Raises:
        WrongUseError: a name is no design, or a design needs another one.
    """
    known = design_names()
    if unknown := [name for name in names if name not in known]:
        raise WrongUseError(f"There is no design '{unknown[0]}'. Designs: {', '.join(known)}.")
    planned: list[Planned] = []
    for name in sorted(set(names), key=known.index):
        recipe = load_recipe(name, overrides(load_recipe(name)))
        sources = {
            kind.folder: tuple(
                earlier.folder
                for earlier in planned
                if kind.folder in earlier.sources
                and _have_equal_sections(earlier.recipe, recipe, made_by(recipe, kind))
            )
            for kind in chain(recipe)
            if kind.reusable
        }
        planned.append(Planned(recipe, out / name, sources, jobs))
    _check_classifier(planned, out)
    return planned


def choose_sources(sources: Mapping[str, Sequence[Path]]) -> dict[str, Path]:
    """The run folder from which each stage is reused.

    It is that of the following stage if possible, because that stage was made from this one.
    Otherwise it is the first.

    Args:
        sources: run folders by the stage's folder, in the order of the stages.
    """
    chosen: dict[str, Path] = {}
    next_source: Path | None = None
    for folder, paths in reversed(list(sources.items())):
        if paths:
            if next_source is None or next_source not in paths:
                next_source = paths[0]
            chosen[folder] = next_source
    return dict(reversed(chosen.items()))


def plan_lines(planned: Sequence[Planned]) -> list[str]:
    """One line per design: its stages, and the designs from which some are reused."""
    lines = []
    for design in planned:
        reused = choose_sources(design.sources)
        stages = [
            f"{kind.name} (of {reused[kind.folder].name})" if kind.folder in reused else kind.name
            for kind in chain(design.recipe)
        ]
        assert design.recipe.paper is not None
        lines.append(f"{design.recipe.paper.design:>4} {design.name:<18} {', '.join(stages)}")
    return lines


def _have_equal_sections(one: Recipe, other: Recipe, sections: tuple[str, ...]) -> bool:
    return all(getattr(one, section) == getattr(other, section) for section in sections)


def _check_classifier(planned: Sequence[Planned], out: Path) -> None:
    file = clustered_model(out)
    for design in planned:
        clustering = design.recipe.clustering
        needs_classifier = clustering is not None and clustering.features == str(file)
        is_planned = CLASSIFIER in [each.name for each in planned]
        if needs_classifier and not file.is_file() and not is_planned:
            raise WrongUseError(
                f"{design.name} clusters the features of {CLASSIFIER} at the small scale. Add that "
                f"design: --design {CLASSIFIER} --design {design.name}."
            )
