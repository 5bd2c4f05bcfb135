"""Numbered batches of patches, read from the slides on demand; threads may share a source."""

from __future__ import annotations

import contextlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from h2g.data.masks import Masks
from h2g.data.patch_index import PatchIndex, read_patch_index
from h2g.data.sampler import LEVELS, Draw, Node, SlidePatches, build_tree, draw, without_slide
from h2g.data.source import Source
from h2g.errors import AnnotationError, H2GError, RunError, SlideError, TrainingError
from h2g.folders.cohort import CohortSlide, Split
from h2g.folders.run import Run
from h2g.slides.reading import SlidePool

logger = logging.getLogger(__name__)

# TensorFlow uses an array without a copy only if its address is a multiple of this.
ALIGNMENT = 64


@dataclass(frozen=True)
class BatchSettings:
    """Settings of batches.

    Attributes:
        class_count: number of classes including background.
        first_batch: number of the first batch; a resumed training continues with it.
        workers: number of batches read at the same time.
        max_open: limit of open slides; at least ``workers`` are open during reading.
    """

    batch_size: int
    class_count: int
    seed: int
    first_batch: int = 0
    workers: int = 2
    max_open: int = 64


class PatchSource(Source):
    """Draws and reads batches of labelled patches.

    A batch depends only on the seed, its number and the slides dropped so far. It does not depend
    on the thread that reads it, or on interruptions of the training. A slide that cannot be read is
    reported once and dropped. Unfinished batches are drawn again from the tree without it.

    Attributes:
        size_px: side of the patches.
    """

    def __init__(
        self,
        slides: Sequence[SlidePatches],
        settings: BatchSettings,
        order: Sequence[str] = LEVELS,
        masks: Masks | None = None,
        *,
        rates: Sequence[float] | None = None,
    ) -> None:
        """
        Args:
            order, rates: see h2g.data.sampler.build_tree.
            masks: draws the truth of patches if it is more than a label per patch.
        """
        tree = build_tree(slides, order, rates)
        if tree is None:
            raise TrainingError(
                "The slides have no labelled patches to draw. Check their annotations."
            )
        sizes = {slide.plan.size_px for slide in slides}
        if len(sizes) > 1:
            raise ValueError(f"patches of one source need equal sizes, not {sorted(sizes)}")
        super().__init__()
        self.settings = settings
        self.size_px = sizes.pop()
        self._slides = tuple(slides)
        self._masks = masks
        self._pool = SlidePool(max_open=settings.max_open)
        self._tree = tree
        self._left = {number for number, slide in enumerate(slides) if len(slide.labels)}

    def read(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch ``number``: (B, S, S, 3) uint8 pixels and int32 labels of ``truth_shape``.

        Raises:
            TrainingError: no readable slide is left, or none with one of the classes.
        """
        while True:
            draws = self.draws(number)
            with contextlib.suppress(_SlideDroppedError):
                return self._pixels(draws), self._truth(draws)

    def draws(self, number: int) -> list[Draw]:
        """The patches of batch ``number``, given the slides dropped so far."""
        with self._lock:
            if self.failure is not None:
                raise self.failure
            tree = self._tree
        rng = np.random.default_rng([self.settings.seed, number])
        return draw(tree, rng, self.settings.batch_size)

    def close(self) -> None:
        super().close()
        self._pool.close()

    @property
    def truth_shape(self) -> tuple[int, ...]:
        """Shape of a batch's truth: (B,), or (B, S, S) with masks."""
        sides = () if self._masks is None else (self.size_px, self.size_px)
        return (self.settings.batch_size, *sides)

    def _truth(self, draws: list[Draw]) -> np.ndarray:
        if self._masks is None:
            return self._labels(draws)
        truth = np.empty((len(draws), self.size_px, self.size_px), np.int32)
        for place, item in enumerate(draws):
            try:
                truth[place] = self._masks.draw(self._slides[item.slide], item.patch)
            except (SlideError, AnnotationError) as error:
                self._drop(item.slide, error)
                raise _SlideDroppedError from error
        return truth

    def _labels(self, draws: list[Draw]) -> np.ndarray:
        return np.array([self._slides[d.slide].labels[d.patch] for d in draws], np.int32)

    def _pixels(self, draws: list[Draw]) -> np.ndarray:
        places = defaultdict(list)
        for place, item in enumerate(draws):
            places[item.slide].append((place, item.patch))
        pixels = aligned_empty((len(draws), self.size_px, self.size_px, 3))
        for number, patches in places.items():
            slide = self._slides[number]
            try:
                with self._pool.lease(slide.path, slide.mpp) as reader:
                    for place, patch in patches:
                        x, y = slide.xy_level0[patch]
                        pixels[place] = slide.plan.read(reader, (int(x), int(y)))
            except SlideError as error:
                self._drop(number, error)
                raise _SlideDroppedError from error
        return pixels

    def _drop(self, number: int, error: H2GError) -> None:
        with self._lock:
            if number not in self._left or self.failure is not None:
                return  # another thread has dropped it
            self._left.remove(number)
            logger.warning(
                "%s Training continues without this slide (%d left).", error, len(self._left)
            )
            tree: Node | None = without_slide(self._tree, number)
            lost = self._classes(range(len(self._slides))) - self._classes(self._left)
            if tree is None:
                self.failure = TrainingError(
                    f"None of the {len(self._slides)} slides can be read any more; the last "
                    f"error: {error}"
                )
            elif lost:
                self.failure = TrainingError(
                    "No readable slide is left with patches of class "
                    f"{', '.join(map(str, sorted(lost)))}; the last error: {error}"
                )
            else:
                self._tree = tree

    def _classes(self, numbers: Iterable[int]) -> set[int]:
        labels = [np.unique(self._slides[number].labels) for number in numbers]
        return {int(label) for unique_labels in labels for label in unique_labels}


def labelled_slides(run: Run, split: Split) -> list[SlidePatches]:
    """The labelled patches of a split's indexed slides.

    Raises:
        RunError: no slide of the split is indexed.
    """
    slides = []
    for row in run.cohort.split(split):
        # A slide that could not be indexed has already been reported.
        if not run.index_file(row.name).exists():
            continue
        slides.append(slide_patches(row, read_patch_index(run.index_file(row.name))))
    if not slides:
        raise RunError(f"{run.path}: no {split} slide is indexed. Run 'h2g prepare' first.")
    return slides


def slide_patches(row: CohortSlide, index: PatchIndex) -> SlidePatches:
    """The patches of a slide's index, in its order."""
    return SlidePatches(
        name=row.name,
        path=row.slide,
        mpp=row.mpp,
        grade=row.grade,
        plan=index.plan,
        xy_level0=index.table[["x_level0", "y_level0"]].to_numpy(),
        labels=index.table["label"].to_numpy(),
    )


class _SlideDroppedError(Exception):
    """A slide of the unfinished batch has just been dropped."""


def aligned_empty(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialised uint8 array that TensorFlow uses without a copy."""
    size = int(np.prod(shape))
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].reshape(shape)
