"""Refinement of one slide: its image and heatmap in, class probabilities of the whole field out."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from h2g.engines.engine import HEATMAP_INPUT, IMAGE_INPUT, Feed, Network
from h2g.errors import RunError
from h2g.results.slide_state import SlideState


def refine(state: SlideState, network: Network) -> SlideState:
    """Adds the class probabilities of the whole field to the state of a slide.

    The image and the heatmap are passed unchanged; the deployed network scales and resizes them.
    """
    return state.with_field(network.run(refinement_feed(state, network.inputs))[0])


def refinement_feed(state: SlideState, names: Collection[str]) -> Feed:
    """Inputs of a refinement network for a slide.

    Args:
        names: names of the network's inputs.
    """
    inputs = {IMAGE_INPUT: state.plane.rgb[np.newaxis]}
    if HEATMAP_INPUT in names:
        if state.heatmap is None:
            raise RunError("This refinement network needs a heatmap, but no network makes one.")
        values = state.heatmap.values[np.newaxis, ..., 1:]
        inputs[HEATMAP_INPUT] = np.ascontiguousarray(values, np.float32)
    return {name: values for name, values in inputs.items() if name in names}
