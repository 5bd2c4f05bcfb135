"""Tables that convert amounts of stain to light, so that no pixel is computed in floats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from h2g.phantom.anatomy import EPITHELIUM, Stain
from h2g.phantom.stamps import LUMEN_LEVEL, NUCLEUS_LEVEL

EOSIN_LEVEL = 255 / 1.2  # 8-bit units per unit of eosin


@dataclass(frozen=True)
class Scan:
    """Stain and scanner of a slide.

    Attributes:
        gains: factors of haematoxylin and eosin, around 1.
    """

    stain: Stain
    gains: tuple[float, float]


def transmission_tables(scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Transmitted light by amount of haematoxylin and of eosin, (256, 1, 3) uint8 each.

    The table of eosin includes the colour of empty glass.
    """
    amounts = np.arange(256)[:, None, None]
    tables = []
    for vector, gain, level, lamp_rgb in (
        (scan.stain.haematoxylin, scan.gains[0], NUCLEUS_LEVEL, (255, 255, 255)),
        (scan.stain.eosin, scan.gains[1], EOSIN_LEVEL, scan.stain.glass),
    ):
        direction = np.array(vector) / np.linalg.norm(vector)
        light = 10 ** (-amounts * (gain / level) * direction) * lamp_rgb
        tables.append(np.round(light).astype(np.uint8))
    return tables[0], tables[1]


@dataclass(frozen=True)
class GlandTables:
    """Tables by the value of a gland's stamp, (256,) uint8 each.

    Attributes:
        haematoxylin, eosin: stain that the epithelium adds to the ground.
        is_open: 255 except in the lumen, where no tissue is left.
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
