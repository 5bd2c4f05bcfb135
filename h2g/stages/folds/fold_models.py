"""Files of the folds' classifiers, and the slides that each has not seen."""

from __future__ import annotations

from pathlib import Path

from h2g.errors import CohortError
from h2g.folders.run import Run
from h2g.recipes.recipe import Recipe

FOLDER = "patch/folds"


def fold_count(recipe: Recipe) -> int:
    """Number of folds; 0 without cross-fitting."""
    return (recipe.refinement.cross_fit or 0) if recipe.refinement is not None else 0


def fold_models(run: Run) -> list[Path]:
    """Files of the folds' classifiers, fold 1 first."""
    folder = run.path / FOLDER
    return [folder / str(fold) / "model.keras" for fold in range(1, fold_count(run.recipe) + 1)]


def fold_of_slides(run: Run) -> dict[str, int]:
    """The fold of every training slide by name, starting at 1; empty without folds.

    Raises:
        CohortError: there are fewer patients than folds.
    """
    from h2g.data.folds import assign_folds, patients_of

    count, slides = fold_count(run.recipe), run.cohort.split("train")
    if not count:
        return {}
    patients = len(patients_of(slides))
    if patients < count:
        raise CohortError(
            f"{run.cohort.path}: refinement.cross_fit {count} needs as many patients in split "
            f"'train', but there are {patients}. Give a smaller number, or leave it out (null)."
        )
    return assign_folds(slides, count, seed=run.recipe.seed)
