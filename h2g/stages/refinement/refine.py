"""Refinement of one slide: its image and heatmap in, class probabilities of the whole field out."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from h2g.engines.engine import HEATMAP_INPUT, IMAGE_INPUT, Feed, Network
from h2g.errors import RunError
from h2g.results.slide_state import SlideState
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import WindowImage
from h2g.slides.windows import Corner, WindowBlend, cut_heatmap, cut_image, window_corners

WHITE = 255


def refine(state: SlideState, network: Network) -> SlideState:
    """Adds the class probabilities of the whole field to the state of a slide.

    The network sees the whole slide at once, or windows of it one by one.
    """
    image = state.plane.windows
    if image is None:
        return state.with_field(network.run(refinement_feed(state, network.inputs))[0])
    blend = WindowBlend(image.size_px, image.settings)
    for corner, probabilities in network.run_each(window_feeds(state, image, network.inputs)):
        blend.add(corner, probabilities[0])
    return state.with_field(blend.field())


def refinement_feed(state: SlideState, names: Collection[str]) -> Feed:
    """Inputs of a refinement network that sees a whole slide.

    The image and the heatmap are passed unchanged; the deployed network scales and resizes them.

    Args:
        names: names of the network's inputs.
    """
    inputs = {IMAGE_INPUT: state.plane.rgb[np.newaxis]}
    if HEATMAP_INPUT in names:
        values = _heatmap(state).values[np.newaxis, ..., 1:]
        inputs[HEATMAP_INPUT] = np.ascontiguousarray(values, np.float32)
    return {name: values for name, values in inputs.items() if name in names}


def window_feeds(
    state: SlideState, image: WindowImage, names: Collection[str]
) -> Iterator[tuple[Corner, Feed]]:
    """Inputs of a refinement network that sees windows, each with its corner."""
    for corner in window_corners(image.size_px, image.settings):
        yield corner, window_feed(state, image, corner, names)


def window_feed(
    state: SlideState, image: WindowImage, corner: Corner, names: Collection[str]
) -> Feed:
    """Inputs for one window: image and heatmap in the size of the network."""
    inputs: Feed = {}
    side = image.settings.side_px
    if IMAGE_INPUT in names:
        inputs[IMAGE_INPUT] = cut_image(image.rgb, corner, side, fill=WHITE)[np.newaxis]
    if HEATMAP_INPUT in names:
        values = cut_heatmap(_heatmap(state), image.size_px, corner, side)[np.newaxis, ..., 1:]
        inputs[HEATMAP_INPUT] = np.ascontiguousarray(values, np.float32)
    return inputs


def _heatmap(state: SlideState) -> Heatmap:
    if state.heatmap is None:
        raise RunError("This refinement network needs a heatmap, but no network makes one.")
    return state.heatmap
