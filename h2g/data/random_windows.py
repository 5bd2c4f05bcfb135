"""Random windows of slides, from which a refinement network learns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from h2g.annotations.raster import UNKNOWN
from h2g.data.random_streams import RandomStream
from h2g.data.refinement_dataset import Arrays, RefinementExample, read_picture
from h2g.slides.tiff_files import read_heatmap
from h2g.slides.windows import Corner, cut_heatmap, cut_image

WHITE, BACKGROUND = 255, 0


class RandomWindows:
    """Loads a random window of an example, in place of the whole."""

    def __init__(self, *, side_px: int, tumour_share: float, seed: int) -> None:
        """
        Args:
            side_px: side of the windows, in pixels of the images.
            tumour_share: probability that a window is placed on annotated tumour.
        """
        self._side_px = side_px
        self._tumour_share = tumour_share
        self._seed = seed

    def load(
        self,
        example: RefinementExample,
        change: Callable[[np.ndarray], np.ndarray] | None,
        number: int,
    ) -> Arrays:
        """A window as image, heatmap and truth, in the shapes of load_example.

        Args:
            change: applied to the whole heatmap with all its classes.
            number: number of the window in a training's sequence. The random numbers depend only
                on it and on the seed.
        Raises:
            TrainingError, SlideError: a file is missing or damaged.
        """
        rng = np.random.default_rng([self._seed, RandomStream.WINDOWS, number])
        side = self._side_px
        image, truth = read_picture(example.image_file), read_picture(example.truth_file)
        wanted = None
        if rng.random() < self._tumour_share:
            wanted = (truth != BACKGROUND) & (truth != UNKNOWN)
        corner = draw_corner(truth, side, rng, wanted=wanted)
        values = np.zeros((1, 1, 1), np.float32)
        if example.heatmap_file is not None:
            heatmap = read_heatmap(example.heatmap_file)
            if change is not None:
                heatmap = dataclasses.replace(heatmap, values=change(heatmap.values))
            values = cut_heatmap(heatmap, (image.shape[1], image.shape[0]), corner, side)[..., 1:]
        return (
            cut_image(image, corner, side, fill=WHITE),
            np.ascontiguousarray(values, np.float32),
            cut_image(truth, corner, side, fill=BACKGROUND),
        )


def draw_corner(
    image: np.ndarray, side_px: int, rng: np.random.Generator, *, wanted: np.ndarray | None
) -> Corner:
    """A random corner of a window that lies within the image, or holds all of a smaller one.

    Args:
        image: (height, width, ...).
        wanted: (height, width) bool; the window holds one of these pixels, each of them equally
            often. None, or no such pixel, leaves the place open.
    """
    places = np.flatnonzero(wanted) if wanted is not None else np.empty(0, int)
    at = divmod(int(rng.choice(places)), image.shape[1]) if len(places) else None
    corner = []
    for axis in (1, 0):
        room = image.shape[axis] - side_px
        low, high = min(0, room), max(0, room)
        if at is not None and room > 0:
            low, high = max(low, at[axis] - side_px + 1), min(high, at[axis])
        corner.append(int(rng.integers(low, high + 1)))
    return corner[0], corner[1]
