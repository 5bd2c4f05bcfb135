"""The scores that a paper reports for what a recipe reproduces."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from h2g.recipes.base import Frozen, Share

# H2G-Net's designs, in the paper's order.
Design = Literal["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"]
# The value, or its mean and standard deviation.
Score = Share | tuple[Share, Share]


class PaperRow(Frozen):
    """One row of a paper's tables. For reference only: no result depends on it."""

    source: str
    """The paper, e.g. Pedersen et al. 2022."""
    table: str
    """Where in the paper the row is printed."""
    row: str
    """Name of the row there."""
    design: Design | None = None
    """Number of the design, for those of H2G-Net."""
    metrics: dict[str, Score]
    """Scores by name, e.g. dice, miou, f1: a value, or its mean and standard deviation."""
    by_grade: dict[str, dict[str, Score]] = {}
    """Scores by metric, then by histological grade."""

    @model_validator(mode="before")
    @classmethod
    def _metrics_are_named(cls, values: Any) -> Any:
        """The row of a run from before other papers' metrics had a place; any other as it is."""
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
    """Mean and standard deviation of a score; None where the paper gives the value alone."""
    return score if isinstance(score, tuple) else (score, None)
