"""Samples as deployed graphs take them, to measure the ranges of activations on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from h2g.bundle import Stage
from h2g.exporters.samples import Samples
from h2g.inference.engine import HEATMAP_INPUT, IMAGE_INPUT, PATCH_INPUT
from h2g.recipes.recipe import RefinementInputs

# The inputs of a deployed graph by name, of batch size 1.
Feed = dict[str, np.ndarray]


def stage_samples(samples: Samples, stage: Stage) -> Sequence[Any]:
    """The samples of a stage, as small as they are kept: patches, or images with heatmaps."""
    found: Sequence[Any] = list(samples.patches) if stage == "patch" else samples.fields
    if not found:
        raise ValueError(f"no samples for the {stage} network")
    return found


def feed(sample: Any, stage: Stage, *, takes: RefinementInputs = "both") -> Feed:
    """One sample in float32.

    Args:
        takes: what the refinement network has inputs for.
    """
    if stage == "patch":
        return {PATCH_INPUT: sample[np.newaxis].astype(np.float32)}
    image, heatmap = sample
    fed = {}
    if takes != "heatmap":
        fed[IMAGE_INPUT] = image[np.newaxis].astype(np.float32)
    if takes != "image":
        fed[HEATMAP_INPUT] = heatmap[np.newaxis].astype(np.float32)
    return fed


def feeds(samples: Samples, stage: Stage) -> Iterator[Feed]:
    """One at a time: all in float32 would be a gigabyte of large fields."""
    return (
        feed(sample, stage, takes=samples.refinement_inputs)
        for sample in stage_samples(samples, stage)
    )
