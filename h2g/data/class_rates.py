"""How often the sampling tree draws each class: its law, not a count of patches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from h2g.data.sampler import Branch, Node, SlidePatches


def class_rates(tree: Node, slides: Sequence[SlidePatches], class_count: int) -> np.ndarray:
    """The probability that a draw from ``tree`` is of a class.

    Args:
        slides: that the tree was built from.
        class_count: with background.
    Returns:
        (C,) float64 of sum 1; 0 for a class of which there is no patch.
    """
    starts = np.cumsum([0, *(len(slide.labels) for slide in slides)])
    labels = np.concatenate([slide.labels for slide in slides])

    def rates(node: Node) -> np.ndarray:
        if isinstance(node, Branch):
            return np.mean([rates(child) for child in node.children], axis=0)
        own = labels[starts[node.slides] + node.patches]
        return np.bincount(own, minlength=class_count) / len(own)

    return rates(tree)
