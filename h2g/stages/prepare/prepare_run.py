"""The stage that finds the tissue of the slides and labels their patches."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import cv2
import numpy as np
import pandas as pd

from h2g.annotations.reading import read_annotations
from h2g.data.labelling import DISCARDED, cell_truth, label_cells
from h2g.data.patch_index import PatchIndex, read_patch_index, write_patch_index
from h2g.errors import CohortError, H2GError, RunError
from h2g.folders.cohort import SPLITS, CohortSlide, Split
from h2g.folders.run import Run
from h2g.progress import progress
from h2g.recipes.recipe import Recipe
from h2g.slides.info import warn_of_problems
from h2g.slides.reading import PatchPlan, describe_slide, open_slide, plan_patches
from h2g.slides.tissue import TissueMask, find_tissue, write_tissue

__all__ = [
    "PatchIndex",
    "check_counts",
    "count_patches",
    "index_cohort",
    "index_slide",
    "prepare_run",
    "read_patch_index",
    "write_patch_index",
]

logger = logging.getLogger(__name__)

LEARNED: tuple[Split, ...] = ("train", "val")  # splits that training needs
# Smaller classes are reported, because the sampler draws all classes equally often.
FEW_PATCHES = 20


def prepare_run(run: Run, *, jobs: int) -> pd.DataFrame:
    """Indexes the slides of a run that are not indexed yet, and counts their patches.

    A slide that fails is logged and left out; it gets no file in ``index``.

    Returns:
        See :func:`count_patches`.
    Raises:
        CohortError: training or validation has no slide, or no patch of some class.
    """
    index_cohort(run, jobs=jobs)
    counts = count_patches(run)
    check_counts(run, counts)
    return counts


def index_cohort(run: Run, *, jobs: int) -> dict[str, str]:
    """Writes ``index`` and ``tissue`` of every slide of the run that lacks them.

    Args:
        jobs: number of processes; 1 uses the current process.
    Returns:
        The reason for each failed slide, by name.
    """
    slides = [slide for slide in run.cohort.slides if not _is_indexed(run, slide.name)]
    failed: dict[str, str] = {}
    if not slides:
        return failed
    with progress("Indexing slides", len(slides)) as advance:
        for name, reason in _outcomes(run, slides, min(jobs, len(slides))):
            advance(note=name)
            if reason is not None:
                logger.error("%s is left out: %s", name, reason)
                failed[name] = reason
    return failed


def index_slide(row: CohortSlide, recipe: Recipe) -> tuple[PatchIndex, TissueMask]:
    """The labelled patches and the tissue of one slide.

    Raises:
        SlideError, AnnotationError: a file cannot be read.
    """
    describe_slide(row.slide, mpp=row.mpp)  # finds truncated slides
    settings = recipe.preprocessing
    with open_slide(row.slide, mpp=row.mpp) as slide:
        info = slide.info
        plan = plan_patches(info, settings.patch)
        annotated = read_annotations(row.annotation, recipe.annotation, info.frame)
        tissue = find_tissue(slide, settings.tissue)
    warn_of_problems(info, others=tissue.problems)
    truth = cell_truth(plan, annotated, recipe.class_names)
    labels = label_cells(truth, recipe.labels)
    keep = plan.tissue_cells(tissue, settings.patch.min_tissue) & (labels != DISCARDED)
    if row.split in LEARNED and not annotated.regions:
        logger.warning(
            "%s: nothing is annotated, so its patches count as background.", row.annotation
        )
    if not keep.any():
        logger.warning("%s: no patch has enough tissue and a clear label.", row.name)
    table = _table(plan, keep, tissue=plan.cell_shares(tissue.mask), labels=labels)
    return PatchIndex(row.name, table, plan, recipe.class_names), tissue


def count_patches(run: Run) -> pd.DataFrame:
    """Counts of patches, one row per indexed slide: split, grade, slide, one column per class."""
    rows = [
        {"split": slide.split, "grade": slide.grade, "slide": slide.name, **index.counts()}
        for slide in run.cohort.slides
        if (file := run.index_file(slide.name)).exists()
        for index in [read_patch_index(file)]
    ]
    return pd.DataFrame(rows, columns=["split", "grade", "slide", *run.recipe.class_names])


def check_counts(run: Run, counts: pd.DataFrame) -> None:
    """Checks that training and validation have patches of every class.

    Warns of classes with few patches, and of grades that a split has no slide of.

    Raises:
        CohortError: a split has no slide, or no patch of some class.
    """
    for split in LEARNED:
        slides = counts[counts["split"] == split]
        listed = len(run.cohort.split(split))
        if slides.empty:
            reason = "all failed" if listed else "give some slides this split"
            raise CohortError(
                f"{run.cohort.path}: no usable slide in split '{split}' ({listed} listed: "
                f"{reason})."
            )
        sums = slides[list(run.recipe.class_names)].sum()
        for name in _missing_classes(run.recipe, sums):
            found = ", ".join(f"{count} {other}" for other, count in sums.items())
            raise CohortError(
                f"{run.cohort.path}: split '{split}' has no patch of class '{name}' (its "
                f"{len(slides)} slides have: {found}). Check the annotations' class names, the "
                "tissue masks in the run folder, and the recipe's section labels and "
                "preprocessing.patch."
            )
        if run.recipe.patch is not None:
            _warn_of_few_patches(run, split, sums)
    _warn_of_missing_grades(run, counts)


def _missing_classes(recipe: Recipe, counts: pd.Series) -> list[str]:
    """Classes without a patch. By the rule ``share`` every patch holds some tumour."""
    needed = recipe.class_names[1:] if recipe.labels.rule == "share" else recipe.class_names
    return [name for name in needed if counts[name] == 0]


def _warn_of_few_patches(run: Run, split: Split, sums: pd.Series) -> None:
    effect = "the network may memorise them" if split == "train" else "their scores are unreliable"
    for name, count in sums[(sums > 0) & (sums < FEW_PATCHES)].items():
        logger.warning(
            "%s: split '%s' has only %d patch%s of class '%s'. The sampler repeats them: %s.",
            run.cohort.path,
            split,
            count,
            "" if count == 1 else "es",
            name,
            effect,
        )


def _warn_of_missing_grades(run: Run, counts: pd.DataFrame) -> None:
    """Logs one warning for all gaps: the cohort can be trained on, but its grades not compared."""
    grades = {split: {*counts["grade"][counts["split"] == split]} for split in SPLITS}
    known = set().union(*grades.values())
    gaps = [
        f"{', '.join(repr(grade) for grade in sorted(known - found))} in split '{split}'"
        for split, found in grades.items()
        if found and known - found
    ]
    if gaps:
        logger.warning("%s: no slide of grade %s.", run.cohort.path, "; nor of ".join(gaps))


def _table(
    plan: PatchPlan, keep: np.ndarray, *, tissue: np.ndarray, labels: np.ndarray
) -> pd.DataFrame:
    rows, cols = np.nonzero(keep)
    corners = [plan.xy_level0(row, col) for row, col in np.argwhere(keep).tolist()]
    xy_level0 = np.array(corners, dtype=np.int64).reshape(-1, 2)
    return pd.DataFrame(
        {
            "x_level0": xy_level0[:, 0],
            "y_level0": xy_level0[:, 1],
            "row": rows,
            "col": cols,
            "tissue": tissue[keep],
            "label": labels[keep],
        }
    )


def _is_indexed(run: Run, name: str) -> bool:
    try:
        read_patch_index(run.index_file(name))
    except RunError:
        return False
    return run.tissue_file(name).exists()


def _outcomes(
    run: Run, slides: Sequence[CohortSlide], jobs: int
) -> Iterator[tuple[str, str | None]]:
    """Yields each slide's name and its failure or None, in the order of completion."""
    if jobs == 1:
        for slide in slides:
            yield slide.name, _index_and_write(run, slide)
        return
    level = logging.getLogger("h2g").getEffectiveLevel()
    # spawn, because a fork copies the locks of threads that do not exist in it.
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(level,)
    ) as pool:
        tasks = {pool.submit(_index_and_write, run, slide): slide for slide in slides}
        try:
            for task in as_completed(tasks):
                yield tasks[task].name, task.result()
        except BrokenProcessPool as error:
            raise H2GError(
                "A process that indexed slides was killed, perhaps because memory ran out. "
                "Finished slides are kept; run the same command again with a smaller --jobs."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker(log_level: int) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("h2g").setLevel(log_level)
    cv2.setNumThreads(1)  # the cores already share the slides


def _index_and_write(run: Run, row: CohortSlide) -> str | None:
    """The reason why the slide failed, or None."""
    try:
        index, tissue = index_slide(row, run.recipe)
    except H2GError as error:
        return str(error)
    # The index is written last, so a slide with an index is done.
    write_tissue(tissue, run.tissue_file(row.name))
    write_patch_index(index, run.index_file(row.name))
    return None
