"""The scores that a paper reports for what a recipe reproduces."""

from __future__ import annotations

from typing import Literal

from h2g.recipes.base import Frozen, Share

MeanSD = tuple[Share, Share]


class PaperRow(Frozen):
    """What the H2G-Net paper reports for a design, on 90 test slides: mean and standard deviation
    of its Table 1, and Dice by histological grade of its Table 2. For reference only."""

    design: Literal["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"]
    label: str
    recall: MeanSD
    precision: MeanSD
    dice: MeanSD
    dice_by_grade: dict[Literal["I", "II", "III"], MeanSD] = {}
