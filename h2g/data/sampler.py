"""Hierarchical sampling: which patch of which slide comes next.

The patches of a cohort hang in a tree whose levels a recipe orders, by default
grade -> slide -> label -> patch. A draw walks from the root to a leaf and takes each branch of a
node with the same probability, so that all grades are seen equally often however many slides they
have, all slides of a grade however large they are, and all labels of a slide however rare.

Source: Pedersen et al. 2022 (H2G-Net), section 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from h2g.slides.reading import PatchPlan

LEVELS = ("grade", "slide", "label")


@dataclass(frozen=True, eq=False)
class SlidePatches:
    """The labelled patches of one slide.

    Attributes:
        mpp: um/px of level 0 as the cohort gives it; None takes the slide's own.
        xy_level0: (n, 2) int64, upper left corners.
        labels: (n,) int8, 0 is background.
    """

    name: str
    path: Path
    mpp: float | None
    grade: str
    plan: PatchPlan
    xy_level0: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Draw:
    """One drawn patch: the index of its slide in the tree's list, and its index in that slide."""

    slide: int
    patch: int


@dataclass(frozen=True, eq=False)
class Leaf:
    """Patches with equal probability: (m,) int32 indices of their slides, and indices in them."""

    slides: np.ndarray
    patches: np.ndarray


@dataclass(frozen=True)
class Branch:
    """A node of one level.

    Attributes:
        shares: the children's probabilities; None draws all with the same.
    """

    children: tuple[Node, ...]
    shares: tuple[float, ...] | None = None


Node = Branch | Leaf


def build_tree(
    slides: Sequence[SlidePatches],
    order: Sequence[str] = LEVELS,
    rates: Sequence[float] | None = None,
) -> Node | None:
    """The sampling tree of ``slides``, without slides and labels that have no patches.

    Args:
        order: levels from the root down, each of LEVELS at most once; the leaves hold patches.
        rates: relative rate of each label on its level; None draws all labels alike.
    Returns:
        The root; None if there are no patches.
    """
    unknown = [level for level in order if level not in LEVELS]
    if unknown or len(set(order)) != len(order):
        raise ValueError(f"order {tuple(order)} must name levels of {LEVELS}, each at most once")
    counts = [len(slide.labels) for slide in slides]
    if sum(counts) == 0:
        return None
    leaf = Leaf(
        slides=np.repeat(np.arange(len(slides), dtype=np.int32), counts),
        patches=np.concatenate([np.arange(count, dtype=np.int32) for count in counts]),
    )
    # Ranks instead of names, because a million strings would take most of the memory.
    _, grade_ranks = np.unique([slide.grade for slide in slides], return_inverse=True)
    keys = {
        "grade": grade_ranks[leaf.slides],
        "slide": leaf.slides,
        "label": np.concatenate([slide.labels for slide in slides]),
    }
    levels = [(keys[level], rates if level == "label" else None) for level in order]
    return _grow(leaf, levels)


def draw(tree: Node, rng: np.random.Generator, count: int) -> list[Draw]:
    """``count`` independent draws."""
    return [_draw_one(tree, rng) for _ in range(count)]


def without_slide(tree: Node, slide: int) -> Node | None:
    """The tree without a slide and without branches that become empty; None if nothing is left."""
    if isinstance(tree, Leaf):
        kept = tree.slides != slide
        if kept.all():
            return tree
        return Leaf(tree.slides[kept], tree.patches[kept]) if kept.any() else None
    pruned = [without_slide(child, slide) for child in tree.children]
    left = [place for place, child in enumerate(pruned) if child is not None]
    shares = None if tree.shares is None else [tree.shares[place] for place in left]
    children = tuple(child for child in pruned if child is not None)
    return _branch(children, shares) if left else None


def _branch(children: tuple[Node, ...], rates: Sequence[float] | None) -> Branch:
    if rates is None:
        return Branch(children)
    return Branch(children, tuple(rate / sum(rates) for rate in rates))


def _grow(leaf: Leaf, levels: list[tuple[np.ndarray, Sequence[float] | None]]) -> Node:
    """Splits ``leaf`` by the first of ``levels``.

    Args:
        levels: by level, an (m,) array with one key per patch, and the rate of each key.
    """
    if not levels:
        return leaf
    (first, rates), *further = levels
    # Children are sorted by key and patches keep their order, so a cohort always gives one tree.
    ranked = np.argsort(first, kind="stable")
    groups = np.split(ranked, np.flatnonzero(np.diff(first[ranked])) + 1)
    children = tuple(
        _grow(
            Leaf(leaf.slides[group], leaf.patches[group]),
            [(keys[group], rates) for keys, rates in further],
        )
        for group in groups
    )
    return _branch(children, rates and [rates[first[group[0]]] for group in groups])


def _draw_one(tree: Node, rng: np.random.Generator) -> Draw:
    node = tree
    while isinstance(node, Branch):
        count = len(node.children)
        child = rng.integers(count) if node.shares is None else rng.choice(count, p=node.shares)
        node = node.children[child]
    position = rng.integers(len(node.slides))
    return Draw(int(node.slides[position]), int(node.patches[position]))


def class_rates(tree: Node, slides: Sequence[SlidePatches], class_count: int) -> np.ndarray:
    """The probability of each class in a draw from ``tree``.

    Args:
        slides: slides that the tree was built from.
        class_count: number of classes including background.
    Returns:
        (C,) float64 with sum 1; 0 for a class without patches.
    """
    starts = np.cumsum([0, *(len(slide.labels) for slide in slides)])
    labels = np.concatenate([slide.labels for slide in slides])

    def rates(node: Node) -> np.ndarray:
        if isinstance(node, Branch):
            return np.average([rates(child) for child in node.children], 0, node.shares)
        own = labels[starts[node.slides] + node.patches]
        return np.bincount(own, minlength=class_count) / len(own)

    return rates(tree)
