"""Bar chart of run times: one row per engine, with stacked phases labelled in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from h2g.reporting.plots import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which any colour vision can distinguish, also by lightness.
COLOURS = ("#cc79a7", "#56b4e9", "#0072b2", "#e69f00", "#f0e442", "#bbbbbb")
DARK = frozenset({"#0072b2"})
WIDTH_INCHES, ROW_INCHES, FRAME_INCHES = 9.0, 0.62, 1.3
# Share of the longest bar; shorter parts have no room for their seconds.
SHORTEST_WITH_TEXT = 0.06


@dataclass(frozen=True)
class TimedRow:
    """One bar of the chart.

    Attributes:
        parts: seconds by phase, in order.
        total: seconds of the whole.
        spread: standard deviation of the total; None if there is only one repeat.
    """

    label: str
    parts: Mapping[str, float]
    total: float
    spread: float | None


def draw_runtimes(png: Path, rows: Sequence[TimedRow]) -> None:
    """Draws the rows from top to bottom; writes no file if there are none."""
    if not rows:
        return
    from matplotlib.patches import Patch

    figure = new_figure((WIDTH_INCHES, FRAME_INCHES + ROW_INCHES * len(rows)), layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(name for row in rows for name in row.parts))
    colours = dict(zip(names, COLOURS, strict=False))
    longest = max(row.total for row in rows)
    for position, row in enumerate(rows):
        _draw_bar(axes, position, row, colours, longest)
    axes.set_yticks(range(len(rows)), [row.label for row in rows], fontsize=11)
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.2)
    axes.set_xlabel("seconds for the slide", fontsize=11)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.legend(
        handles=[Patch(color=colour, label=name) for name, colour in colours.items()],
        loc="outside upper center", ncols=len(names), frameon=False, fontsize=11,
        handlelength=1, columnspacing=1.2, handletextpad=0.4,
    )  # fmt: skip
    save_figure(figure, png)


def _draw_bar(
    axes: Axes, position: int, row: TimedRow, colours: Mapping[str, str], longest: float
) -> None:
    left = 0.0
    for name, seconds in row.parts.items():
        colour = colours[name]
        axes.barh(
            position, seconds, left=left, height=0.7, color=colour, edgecolor="white", linewidth=0.8
        )
        if seconds > SHORTEST_WITH_TEXT * longest:
            axes.text(
                left + seconds / 2, position, _digits(seconds), ha="center", va="center",
                fontsize=11, color="white" if colour in DARK else "black",
            )  # fmt: skip
        left += seconds
    spread = f" ± {row.spread:.2f}" if row.spread is not None else ""
    axes.text(
        left + 0.01 * longest, position, f"{_digits(row.total)}{spread} s", va="center",
        fontsize=11, fontweight="bold",
    )  # fmt: skip


def _digits(seconds: float) -> str:
    """Seconds as text: hundredths below 10 s, tenths below 100 s, else whole seconds."""
    return f"{seconds:.{2 if seconds < 10 else 1 if seconds < 100 else 0}f}"
