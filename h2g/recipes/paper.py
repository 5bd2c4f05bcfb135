"""Scores that a paper reports for the system of a recipe."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from h2g.recipes.base import Frozen, Share

# H2G-Net's designs, in the paper's order.
Design = Literal["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"]
# A value, or a mean and a standard deviation.
Score = Share | tuple[Share, Share]


class PaperRow(Frozen):
    """One row of a paper's tables. For reference only: no result depends on it."""

    source: str
    """The paper, e.g. Pedersen et al. 2022."""
    table: str
    """Place of the row in the paper."""
    row: str
    """Name of the row."""
    design: Design | None = None
    """Number of the design, if it is one of H2G-Net's."""
    metrics: dict[str, Score]
    """Scores by name, e.g. dice, miou, f1: a value, or its mean and standard deviation."""
    by_grade: dict[str, dict[str, Score]] = {}
    """Scores by metric, then by histological grade."""

    @model_validator(mode="before")
    @classmethod
    def _name_metrics(cls, values: Any) -> Any:
        """Converts the row of a run from before rows had named metrics; others are unchanged."""
        if not isinstance(values, dict) or "label" not in values:
            return values
        return {
            "source": "Pedersen et al. 2022",
            "table": "Tables 1 and 2",
            "row": values["label"],
            "design": values.get("design"),
            "metrics": {name: values.get(name) for name in ("recall", "precision", "dice")},
            "by_grade": {"dice": values.get("dice_by_grade", {})},
        }


def mean_sd(score: Score) -> tuple[float, float | None]:
    """Mean and standard deviation of a score; the latter is None if the paper gives none."""
    return score if isinstance(score, tuple) else (score, None)
