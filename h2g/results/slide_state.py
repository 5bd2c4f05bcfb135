"""The state of a slide between a model's networks, and its final segmentation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from h2g.results.labels import labels_at, patchwise_labels
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import Plane, SlideInfo
from h2g.slides.tissue import TissueMask
from h2g.slides.tissue_patches import LaterPatches, Located, PatchBatches


@dataclass(frozen=True)
class Seconds:
    """Seconds that the steps of one slide took.

    All are wall time except ``read``. All except ``read`` sum to ``total``. Waiting for other
    slides is not included.

    Attributes:
        tissue: finding tissue and its patches, and reading the low-resolution image.
        read: reading patches, summed over the reading threads, which run beside the network.
        waiting: time that the network waited for patches.
        stitching: filling the heatmap.
        networks: time of each network by name; the last one includes drawing the labels.
        writing: writing all files.
    """

    tissue: float = 0.0
    read: float = 0.0
    waiting: float = 0.0
    stitching: float = 0.0
    networks: dict[str, float] = dataclasses.field(default_factory=dict)
    writing: float = 0.0
    total: float = 0.0


@dataclass(frozen=True)
class SlideState:
    """A slide, and the results of the networks that have run on it.

    Attributes:
        plane: the low-resolution image.
        class_names: background first.
        located: the tissue and the patches that hold it; None if no network takes patches.
        batches: the batches of patches; None if no network takes patches, or after one has.
        later: how further patches are chosen and read; None if ``batches`` holds all of them.
        heatmap: None until a network has made one.
        field: (P, P, C) float32, class probabilities of the slide's whole field; None until a
            network has made them.
        outside: pixels of ``plane`` that lie outside the outlines to predict, (h, w) bool; None if
            the whole slide is predicted.
    """

    plane: Plane
    class_names: tuple[str, ...]
    located: Located | None = None
    batches: PatchBatches | None = None
    later: LaterPatches | None = None
    heatmap: Heatmap | None = None
    field: np.ndarray | None = None
    outside: np.ndarray | None = None
    seconds: Seconds = Seconds()

    def labels(self, size_px: tuple[int, int]) -> np.ndarray:
        """Labels from the latest results.

        Args:
            size_px: (width, height) of an image of the slide's whole field.
        Returns:
            (height, width) uint8, 0 is background.
        """
        if self.field is not None:
            return labels_at(self.field, size_px)
        if self.heatmap is None:
            raise ValueError("no network has run on this slide yet")
        return patchwise_labels(self.heatmap, size_px)

    def with_heatmap(self, heatmap: Heatmap) -> SlideState:
        return dataclasses.replace(self, heatmap=heatmap)

    def with_field(self, field: np.ndarray) -> SlideState:
        return dataclasses.replace(self, field=field)

    def close(self) -> None:
        """Stops reading patches."""
        if self.batches is not None:
            self.batches.close()


@dataclass(frozen=True)
class Segmented:
    """A segmented slide.

    Attributes:
        plane: the low-resolution image.
        class_names: background first.
        heatmap: None if the model classifies no patches.
        labels: (h, w) uint8, with the size of ``plane``; 0 is background.
        seconds: times of the steps before writing.
        outside: as in SlideState.
    """

    located: Located
    plane: Plane
    class_names: tuple[str, ...]
    heatmap: Heatmap | None
    labels: np.ndarray
    seconds: Seconds
    outside: np.ndarray | None = None


@dataclass(frozen=True)
class Failure:
    """The reason why a slide has no outputs, and the known facts of the slide."""

    reason: str
    info: SlideInfo | None = None
    tissue: TissueMask | None = None
