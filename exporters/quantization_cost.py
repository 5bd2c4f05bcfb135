"""What int8 costs: float32 and int8 side by side on the run's validation slides."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from h2g.bundle import QuantisationCost
from h2g.cohort import CohortSlide
from h2g.data.index_file import read_patch_index
from h2g.errors import AnnotationError, SlideError
from h2g.evaluation.evaluate import SIDE_PX
from h2g.evaluation.patches import labelled_patches
from h2g.evaluation.rasters import true_labels
from h2g.evaluation.scores import count_classes, mean_score
from h2g.inference.engine import Engine
from h2g.inference.patchwise import Patchwise, classify_slide
from h2g.inference.refinement import labels_of, patchwise_labels, refine_slide
from h2g.runs import Run
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import open_slide
from h2g.slides.tissue import TissueMask

# Mean Dice that int8 may lose on validation slides and still be exported.
LARGEST_DICE_LOSS = 0.01
# Each is classified twice, and a slide of full size takes a minute or more.
MOST_SLIDES = 20

Compared = Literal["float32", "int8"]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MeasuredCost:
    """What both engines reach on the same validation slides.

    Attributes:
        patch_accuracy: share of the indexed patches whose likeliest class is their label; None
            where no slide has such patches.
        dice: macro mean over slides, refined where there are two stages, else of the heatmap above
            0.5; None where no slide could be scored.
    """

    patch_accuracy: dict[Compared, float] | None
    dice: dict[Compared, float] | None


@dataclass(frozen=True)
class _SlideScore:
    """Whether each indexed patch was classified rightly, (n,) bool, and the slide's Dice."""

    right: np.ndarray
    dice: float


def measure_cost(run: Run, *, float_engine: Engine, int8_engine: Engine) -> MeasuredCost:
    """Scores two engines on the run's validation slides, ``MOST_SLIDES`` of them at most.

    A slide that cannot be scored is left out, with a warning.
    """
    engines: dict[Compared, Engine] = {"float32": float_engine, "int8": int8_engine}
    rows = _some(run.cohort.split("val"))
    slides: list[dict[Compared, _SlideScore]] = []
    for number, row in enumerate(rows, start=1):
        logger.info("What int8 costs: %s in float32 and int8 (%d/%d).", row.name, number, len(rows))
        try:
            slides.append(_score_slide(run, row, engines))
        except (SlideError, AnnotationError) as error:
            logger.warning("What int8 costs is measured without %s: %s", row.name, error)
    if not slides:
        return MeasuredCost(None, None)
    right = {name: np.concatenate([slide[name].right for slide in slides]) for name in engines}
    return MeasuredCost(
        patch_accuracy={name: float(patches.mean()) for name, patches in right.items()}
        if right["float32"].size
        else None,
        dice={name: float(np.mean([slide[name].dice for slide in slides])) for name in engines},
    )


def why_refused(cost: QuantisationCost) -> str | None:
    """Why an int8 export must not be kept, with the figures and without a full stop; None when it
    may, or when nothing was measured."""
    if cost.dice is None:
        return None
    loss = cost.dice["float32"] - cost.dice["int8"]
    # "Not within" and not "above": NaN is neither. 0.92 - 0.91 is a little more than 0.01.
    if round(loss, 9) <= LARGEST_DICE_LOSS:
        return None
    patches = ""
    if cost.patch_accuracy is not None:
        before, after = cost.patch_accuracy["float32"], cost.patch_accuracy["int8"]
        patches = f", and patch accuracy falls from {before:.3f} to {after:.3f}"
    return (
        f"int8 loses {loss:.3f} of the mean Dice on the validation slides, where "
        f"{LARGEST_DICE_LOSS:g} is allowed: {cost.dice['float32']:.3f} in float32, "
        f"{cost.dice['int8']:.3f} in int8{patches} (ranges from {cost.calibration_patches} "
        "patches)"
    )


def _some(rows: Sequence[CohortSlide]) -> list[CohortSlide]:
    """At most ``MOST_SLIDES``, evenly over the grades and always the same."""
    ordered = sorted(rows, key=lambda row: (row.grade, row.name))
    count = min(len(ordered), MOST_SLIDES)
    # The middle one of each of ``count`` parts.
    return [ordered[(2 * part + 1) * len(ordered) // (2 * count)] for part in range(count)]


def _score_slide(
    run: Run, row: CohortSlide, engines: Mapping[Compared, Engine]
) -> dict[Compared, _SlideScore]:
    recipe = run.recipe
    side_px = recipe.refinement.input_px if recipe.refinement else SIDE_PX
    # First what fails at once.
    truth = true_labels(row, recipe, (side_px, side_px))
    index = _patch_index(run, row)
    scores: dict[Compared, _SlideScore] = {}
    tissue = None
    for name, engine in engines.items():
        found = _classified(run, row, engine, tissue)
        heatmap = None
        if found is not None:
            heatmap, tissue = found.heatmap, found.tissue
        labels = _labels(run, row, heatmap, engine, (side_px, side_px))
        counts = count_classes(labels, truth, recipe.class_names)
        scores[name] = _SlideScore(
            right=_right_patches(row, heatmap, index),
            dice=mean_score([each.score for each in counts.values()]).dice,
        )
    return scores


def _classified(
    run: Run, row: CohortSlide, engine: Engine, tissue: TissueMask | None
) -> Patchwise | None:
    """None of a design without patch stage; the tissue is found once for all engines."""
    recipe = run.recipe
    if recipe.patch is None:
        return None
    return classify_slide(
        row.slide,
        row.mpp,
        engine,
        recipe.preprocessing,
        len(recipe.class_names),
        threads=os.cpu_count() or 1,
        tissue=tissue,
    )


def _right_patches(row: CohortSlide, heatmap: Heatmap | None, index: pd.DataFrame) -> np.ndarray:
    """Whether each indexed patch was classified rightly, (n,) bool."""
    if heatmap is None:
        return np.empty(0, bool)
    patches = labelled_patches(row.name, heatmap, index)
    return patches.probabilities.argmax(axis=-1) == patches.labels


def _patch_index(run: Run, row: CohortSlide) -> pd.DataFrame:
    """No rows where the slide is not indexed."""
    file = run.index_file(row.name)
    if not file.is_file():
        return pd.DataFrame({"row": [], "col": [], "label": []}, dtype=np.int32)
    return read_patch_index(file).table


def _labels(
    run: Run, row: CohortSlide, heatmap: Heatmap | None, engine: Engine, size_px: tuple[int, int]
) -> np.ndarray:
    """(height, width) uint8, as h2g.evaluation scores them."""
    if run.recipe.refinement is None and heatmap is not None:
        return patchwise_labels(heatmap, size_px)
    with open_slide(row.slide, mpp=row.mpp) as slide:
        return labels_of(refine_slide(slide, heatmap, engine, run.recipe.preprocessing))
