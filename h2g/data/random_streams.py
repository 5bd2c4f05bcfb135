"""Random streams: one number per purpose, so that all purposes can share a seed."""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class RandomStream(IntEnum):
    """One random stream per purpose.

    Results depend on the numbers. A new purpose takes the next one, at most 15; never change or
    reuse a number. The patches or fields of a batch are drawn without a stream, from the seed and
    the batch's or epoch's number alone.
    """

    PATCH_AUGMENTATION = 1
    FIELD_MOVES = 2
    FIELD_ZOOM = 3
    LAB_SHIFT = 4
    STAIN_SHIFT = 5
    HEATMAP_NOISE = 6
    FOLDS = 7
    WINDOWS = 8
