"""From amounts of stain to light: look-up tables, for nothing is computed per pixel in floats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from h2g.phantom.anatomy import EPITHELIUM, Stain
from h2g.phantom.stamps import LUMEN_LEVEL, NUCLEUS_LEVEL

EOSIN_LEVEL = 255 / 1.2  # 8-bit units of one unit of eosin


@dataclass(frozen=True)
class Scan:
    """How a slide was stained and scanned.

    Attributes:
        gains: of haematoxylin and eosin, around 1.
    """

    stain: Stain
    gains: tuple[float, float]


def transmission_tables(scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """(256, 1, 3) uint8 each: light through an amount of haematoxylin, and through an amount of
    eosin with the colour of empty glass in it."""
    amounts = np.arange(256)[:, None, None]
    tables = []
    for vector, gain, level, lamp in (
        (scan.stain.haematoxylin, scan.gains[0], NUCLEUS_LEVEL, (255, 255, 255)),
        (scan.stain.eosin, scan.gains[1], EOSIN_LEVEL, scan.stain.glass),
    ):
        direction = np.array(vector) / np.linalg.norm(vector)
        light = 10 ** (-amounts * (gain / level) * direction) * lamp
        tables.append(np.round(light).astype(np.uint8))
    return tables[0], tables[1]


@dataclass(frozen=True)
class GlandTables:
    """By the value of a gland's stamp, (256,) uint8 each.

    Attributes:
        haematoxylin, eosin: what the epithelium adds to the ground.
        is_open: 255 but in the lumen, where nothing is left of the tissue.
        between: 255 outside glands, 0 inside.
    """

    haematoxylin: np.ndarray
    eosin: np.ndarray
    is_open: np.ndarray
    between: np.ndarray

    @classmethod
    def make(cls) -> GlandTables:
        value = np.arange(256)
        epithelium = np.clip(value / (LUMEN_LEVEL - 1), 0, 1)
        lumen = np.clip((value - LUMEN_LEVEL) / 127, 0, 1)
        haematoxylin, eosin, is_open, between = (
            np.round(table).astype(np.uint8)
            for table in (
                epithelium * EPITHELIUM[0] * NUCLEUS_LEVEL,
                epithelium * EPITHELIUM[1] * EOSIN_LEVEL,
                255 - 250 * lumen,
                255 * (epithelium < 0.5),
            )
        )
        return cls(haematoxylin, eosin, is_open, between)
