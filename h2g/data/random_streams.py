"""Random streams: one number per purpose, so that one seed serves for all of them."""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class RandomStream(IntEnum):
    """What random numbers are drawn for.

    Results depend on the numbers: a new purpose takes the next one, at most 15, and none is changed
    or used again. Which patches or fields a batch holds is drawn from the seed and the batch's or
    epoch's number alone, without a stream.
    """

    PATCH_AUGMENTATION = 1
    FIELD_MOVES = 2
    FIELD_ZOOM = 3
    LAB_SHIFT = 4
    STAIN_SHIFT = 5
    HEATMAP_NOISE = 6
    FOLDS = 7
