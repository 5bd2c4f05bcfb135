"""Which of the H2G-Net paper's designs are trained, and which stages they share."""

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
        sources: for every stage's folder that can be taken over, in the order of the stages: run
            folders of earlier designs that make it in the same way.
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
    """The recipes of the paper's designs, in its order."""
    return [recipe.name for recipe in shipped_recipes() if recipe.paper and recipe.paper.design]


def plan_designs(
    names: Sequence[str], out: Path, *, overrides: Callable[[Recipe], tuple[str, ...]], jobs: int
) -> list[Planned]:
    """The designs in the paper's order, each with the stages that it can take over from earlier
    ones.

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
            kind.folder: tuple(
                earlier.folder
                for earlier in planned
                if kind.folder in earlier.sources
                and _alike(earlier.recipe, recipe, made_by(recipe, kind))
            )
            for kind in chain(recipe)
            if kind.reusable
        }
        planned.append(Planned(recipe, out / name, sources, jobs))
    _check_classifier(planned, out)
    return planned


def choose_sources(sources: Mapping[str, Sequence[Path]]) -> dict[str, Path]:
    """The run folder that each stage is taken from: that of the stage after it, whose files were
    made from this one's, or else the first.

    Args:
        sources: by the stage's folder, in the order of the stages.
    """
    chosen: dict[str, Path] = {}
    later: Path | None = None
    for folder, paths in reversed(list(sources.items())):
        if paths:
            later = chosen[folder] = later if later is not None and later in paths else paths[0]
    return dict(reversed(chosen.items()))


def plan_lines(planned: Sequence[Planned]) -> list[str]:
    """One line per design: its stages, and the designs that some of them are taken from."""
    lines = []
    for design in planned:
        taken = choose_sources(design.sources)
        stages = [
            f"{kind.name} (of {taken[kind.folder].name})" if kind.folder in taken else kind.name
            for kind in chain(design.recipe)
        ]
        assert design.recipe.paper is not None
        lines.append(f"{design.recipe.paper.design:>4} {design.name:<18} {', '.join(stages)}")
    return lines


def _alike(one: Recipe, other: Recipe, sections: tuple[str, ...]) -> bool:
    return all(getattr(one, section) == getattr(other, section) for section in sections)


def _check_classifier(planned: Sequence[Planned], out: Path) -> None:
    file = clustered_model(out)
    for design in planned:
        clustering = design.recipe.clustering
        needs = clustering is not None and clustering.features == str(file)
        if needs and not file.is_file() and CLASSIFIER not in [each.name for each in planned]:
            raise WrongUseError(
                f"{design.name} clusters the features of {CLASSIFIER} at the small scale. Name "
                f"that design too: --design {CLASSIFIER} --design {design.name}."
            )
