"""Damaged tiles of a slide, which are taken as missing if the user asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

Tile = tuple[int, int, int]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Damage:
    """The tiles of one slide that could not be read; several handles of it share one.

    Attributes:
        tiles: (level, column, row) of each.
    """

    tiles: set[Tile] = field(default_factory=set)

    @property
    def problem(self) -> str | None:
        """A phrase for the user, like those of SlideInfo.problems; None if there is no damage."""
        if not self.tiles:
            return None
        count = len(self.tiles)
        what = "1 damaged tile is" if count == 1 else f"{count} damaged tiles are"
        levels = sorted({level for level, _, _ in self.tiles})
        where = ", ".join(map(str, levels))
        return f"{what} taken as missing (white), on level{'s' if len(levels) > 1 else ''} {where}"


def parts_of(box: Box, tile_px: tuple[int, int]) -> Iterator[Box]:
    """The halves of a box, parted at a border of tiles; nothing if it lies in one tile.

    Args:
        box: (x, y, width, height) in pixels of a level.
        tile_px: (width, height) of a tile.
    """
    x, y, width, height = box
    columns = _middle_border(x, width, tile_px[0])
    rows = _middle_border(y, height, tile_px[1])
    if columns is not None and (rows is None or width >= height):
        yield x, y, columns - x, height
        yield columns, y, x + width - columns, height
    elif rows is not None:
        yield x, y, width, rows - y
        yield x, rows, width, y + height - rows


def _middle_border(start: int, length: int, tile: int) -> int | None:
    """The border of tiles inside the interval that lies nearest to its middle."""
    first, last = start // tile + 1, (start + length - 1) // tile
    if first > last:
        return None
    return min(max(round((start + length / 2) / tile), first), last) * tile
