"""The cost of int8: float32 and int8 compared on the run's validation slides."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from h2g.annotations.truth import true_labels
from h2g.engines.engine import Network
from h2g.errors import AnnotationError, SlideError
from h2g.evaluation.scores import count_classes, mean_score
from h2g.folders.bundle import Compared, QuantisationCost
from h2g.folders.cohort import CohortSlide
from h2g.folders.run import Run
from h2g.results.slide_state import SlideState
from h2g.slides.reading import Plane, SlidePool, read_low_resolution
from h2g.slides.tissue_patches import BATCH_SIZE, Located, locate_patches, read_batches
from h2g.stages.chain import NETWORKS
from h2g.stages.evaluate_run import raster_size

# Largest loss of mean Dice on validation slides with which int8 is still exported.
LARGEST_DICE_LOSS = 0.01
# Each slide is segmented twice, and a full-size slide takes a minute or more.
MOST_SLIDES = 20

# Networks by stage, in the order in which they run on a slide.
Networks = Mapping[str, Network]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MeasuredCost:
    """Scores of both precisions on the same validation slides.

    Attributes:
        accuracy: by network, the share of inputs with a known answer that it gets right; only for
            networks that have such inputs.
        dice: macro mean over slides of the networks' final output; None if no slide could be
            scored.
    """

    accuracy: dict[str, dict[Compared, float]]
    dice: dict[Compared, float] | None


@dataclass(frozen=True)
class _SlideScore:
    """The correct answers on one slide, by network, (n,) bool; and the slide's Dice."""

    right: dict[str, np.ndarray]
    dice: float


def measure_cost(run: Run, networks: Mapping[Compared, Networks]) -> MeasuredCost:
    """Scores the networks of both precisions on at most ``MOST_SLIDES`` of the validation slides.

    A slide that cannot be scored is skipped with a warning.
    """
    rows = _sample_evenly(run.cohort.split("val"))
    slides: list[dict[Compared, _SlideScore]] = []
    for number, row in enumerate(rows, start=1):
        logger.info("Cost of int8: %s in float32 and int8 (%d/%d).", row.name, number, len(rows))
        try:
            slides.append(_score_slide(run, row, networks))
        except (SlideError, AnnotationError) as error:
            logger.warning("The cost of int8 is measured without %s: %s", row.name, error)
    if not slides:
        return MeasuredCost({}, None)
    return MeasuredCost(
        accuracy=_accuracy(slides),
        dice={each: float(np.mean([slide[each].dice for slide in slides])) for each in networks},
    )


def why_refused(cost: QuantisationCost) -> str | None:
    """The reason not to keep an int8 export, with figures and without a full stop.

    None if it may be kept, or if nothing was measured.
    """
    if cost.dice is None:
        return None
    loss = cost.dice["float32"] - cost.dice["int8"]
    # "Not within", because NaN is not "above" either. 0.92 - 0.91 is slightly more than 0.01.
    if round(loss, 9) <= LARGEST_DICE_LOSS:
        return None
    falls = "".join(
        f", and {name} accuracy falls from {values['float32']:.3f} to {values['int8']:.3f}"
        for name, values in cost.accuracy.items()
    )
    inputs = " and ".join(f"{count} {name} inputs" for name, count in cost.calibration.items())
    return (
        f"int8 loses {loss:.3f} of the mean Dice on the validation slides, and at most "
        f"{LARGEST_DICE_LOSS:g} is allowed: {cost.dice['float32']:.3f} in float32, "
        f"{cost.dice['int8']:.3f} in int8{falls} (ranges from {inputs})"
    )


def _accuracy(slides: Sequence[dict[Compared, _SlideScore]]) -> dict[str, dict[Compared, float]]:
    accuracy: dict[str, dict[Compared, float]] = {}
    for name in slides[0]["float32"].right:
        right = {
            each: np.concatenate([slide[each].right[name] for slide in slides])
            for each in slides[0]
        }
        if right["float32"].size:
            accuracy[name] = {each: float(values.mean()) for each, values in right.items()}
    return accuracy


def _sample_evenly(rows: Sequence[CohortSlide]) -> list[CohortSlide]:
    """At most ``MOST_SLIDES`` rows, evenly over the grades and always the same."""
    ordered = sorted(rows, key=lambda row: (row.grade, row.name))
    count = min(len(ordered), MOST_SLIDES)
    # The middle one of each of ``count`` parts.
    return [ordered[(2 * part + 1) * len(ordered) // (2 * count)] for part in range(count)]


def _score_slide(
    run: Run, row: CohortSlide, networks: Mapping[Compared, Networks]
) -> dict[Compared, _SlideScore]:
    recipe, size_px = run.recipe, raster_size(run.recipe)
    threads = os.cpu_count() or 1
    wanted = any(NETWORKS[name].many for name in networks["float32"])
    with closing(SlidePool(max_open=threads + 1)) as pool:
        with pool.lease(row.slide, row.mpp) as slide:
            truth = true_labels(row, recipe, slide.info.frame, size_px)  # first: it fails fast
            located = locate_patches(slide, recipe.preprocessing, wanted=wanted)
            reason = located.why_none(recipe.preprocessing)
            if reason:
                raise SlideError(f"{row.slide.name}: {reason}")
            plane = read_low_resolution(slide, recipe.low_resolution)
        scores: dict[Compared, _SlideScore] = {}
        for precision, opened in networks.items():
            state = _prepared(run, row, pool, located, plane, threads)
            right: dict[str, np.ndarray] = {}
            for name, network in opened.items():
                kind = NETWORKS[name]
                state = kind.apply(state, network)
                if kind.right is not None:
                    right[name] = kind.right(run, row, state)
            counts = count_classes(state.labels(size_px), truth, recipe.class_names)
            dice = mean_score([each.score for each in counts.values()]).dice
            scores[precision] = _SlideScore(right, dice)
    return scores


def _prepared(
    run: Run, row: CohortSlide, pool: SlidePool, located: Located, plane: Plane, threads: int
) -> SlideState:
    batches = None
    if located.wanted:
        batches = read_batches(pool, located, row.mpp, threads=threads, batch_size=BATCH_SIZE)
    return SlideState(plane, run.recipe.class_names, located, batches)
