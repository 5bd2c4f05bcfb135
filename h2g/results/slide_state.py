"""A slide on its way through a model's networks, and what was found on it in the end."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from h2g.results.labels import labels_at, patchwise_labels
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import Plane, SlideInfo
from h2g.slides.tissue import TissueMask
from h2g.slides.tissue_patches import Located, PatchBatches


@dataclass(frozen=True)
class Seconds:
    """Where a slide's time went: wall time but for ``read``. The parts without ``read`` sum up to
    ``total``; waiting for other slides is in none.

    Attributes:
        tissue: finding tissue and its patches, and reading the low-resolution picture.
        read: reading patches, all reading threads added up; they work while the network does.
        waiting: the part of reading that the network did not hide.
        stitching: filling the heatmap.
        networks: each network's own, by name; the last one's with drawing the labels.
        writing: all files.
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
    """A slide, and what the networks so far have found on it.

    Attributes:
        plane: its low-resolution picture.
        class_names: background first.
        located: its tissue and the patches that hold it; None where no network takes patches.
        batches: the patches, being read; None where no network takes them, or after it did.
        heatmap: None before a network made one.
        field: (P, P, C) float32, class probabilities of the slide's whole field; None before a
            network gave them.
    """

    plane: Plane
    class_names: tuple[str, ...]
    located: Located | None = None
    batches: PatchBatches | None = None
    heatmap: Heatmap | None = None
    field: np.ndarray | None = None
    seconds: Seconds = Seconds()

    def labels(self, size_px: tuple[int, int]) -> np.ndarray:
        """What was found so far.

        Args:
            size_px: (width, height) of a picture of the slide's whole field.
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
        """Ends the reading of patches."""
        if self.batches is not None:
            self.batches.close()


@dataclass(frozen=True)
class Segmented:
    """A slide with what was found on it.

    Attributes:
        plane: the low-resolution picture.
        class_names: background first.
        heatmap: None of a model that classifies no patches.
        labels: (h, w) uint8 of the size of ``plane``, 0 is background.
        seconds: before writing.
    """

    located: Located
    plane: Plane
    class_names: tuple[str, ...]
    heatmap: Heatmap | None
    labels: np.ndarray
    seconds: Seconds


@dataclass(frozen=True)
class Failure:
    """Why a slide has no outputs, and what is known of it."""

    reason: str
    info: SlideInfo | None = None
    tissue: TissueMask | None = None
