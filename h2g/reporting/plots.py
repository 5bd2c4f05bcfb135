"""Plots and composed figures; matplotlib is used without a display and imported on first use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from h2g.annotations.colours import class_colour
from h2g.files import replacing
from h2g.reporting.overlay import (
    draw_heatmap_overlay,
    draw_overlay,
    heatmap_colours,
    shrink,
)
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import Plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_PX = 900
COLUMNS = ("slide", "heatmap", "segmentation", "annotation")
PANEL_INCHES, GAP_INCHES, NOTE_INCHES = 3.1, 0.12, 0.36
LEFT_INCHES, TOP_INCHES, LEGEND_INCHES = 0.4, 0.4, 0.65
# Columns of history.csv that are not drawn.
NO_CURVES = frozenset({"epoch", "seconds", "learning_rate"})


@dataclass(frozen=True)
class PanelRow:
    """One slide of the four-panel figure.

    Attributes:
        title: text to the left of the row.
        plane: the slide's whole field.
        segmentation, truth: (rows, cols) uint8 labels of the whole field, of any size.
        notes: text below a panel, by the panel's name in COLUMNS.
    """

    title: str
    plane: Plane
    heatmap: Heatmap
    segmentation: np.ndarray
    truth: np.ndarray
    notes: dict[str, str]


def draw_history(
    history_csv: Path,
    png: Path,
    *,
    title: str = "",
    monitor: str = "val_loss",
    better: Literal["lower", "higher"] = "lower",
) -> None:
    """Draws training curves: losses left, other metrics right, the best epoch marked.

    Args:
        history_csv: one row per epoch; columns ``epoch``, ``NAME`` and ``val_NAME``.
        monitor: column that decides the best epoch.
        better: whether lower or higher values of it are better.
    """
    history = pd.read_csv(history_csv)
    names = [c for c in history.columns if not c.startswith("val_") and c not in NO_CURVES]
    losses = [name for name in names if "loss" in name]
    metrics = [name for name in names if "loss" not in name]
    groups = [group for group in (losses, metrics) if group]
    figure = new_figure((5.2 * len(groups), 3.6), layout="constrained")
    best = _best_epoch(history, monitor, better)
    for axes, group in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups, strict=True):
        _draw_curves(axes, history, group)
        if best is not None:
            axes.axvline(best, color="0.6", linestyle=":", label=f"best epoch, {best}")
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=11)
    save_figure(figure, png)


def draw_panels(path: Path, rows: Sequence[PanelRow], *, class_names: Sequence[str]) -> None:
    """Draws slide, heatmap, segmentation and annotation with scale bars, one row per slide.

    Args:
        class_names: background first.
    """
    fields = [row.plane.frame.field_level0 for row in rows]
    heights = [PANEL_INCHES * height / width for width, height in fields]
    width = LEFT_INCHES + len(COLUMNS) * (PANEL_INCHES + GAP_INCHES)
    height = TOP_INCHES + sum(heights) + len(rows) * NOTE_INCHES + LEGEND_INCHES
    figure = new_figure((width, height))

    def add_panel(column: float, top: float, size: tuple[float, float]) -> Axes:
        """Adds axes at a position in inches, so that rows of different heights are aligned."""
        left = LEFT_INCHES + column * (PANEL_INCHES + GAP_INCHES)
        box = (left / width, 1 - (top + size[1]) / height, size[0] / width, size[1] / height)
        return figure.add_axes(box)

    top = TOP_INCHES
    for number, (row, row_height) in enumerate(zip(rows, heights, strict=True)):
        axes = [add_panel(c, top, (PANEL_INCHES, row_height)) for c in range(len(COLUMNS))]
        _draw_row(axes, row)
        if number == 0:
            for panel, name in zip(axes, COLUMNS, strict=True):
                panel.set_title(name, fontsize=13)
        top += row_height + NOTE_INCHES
    _draw_colour_bar(add_panel(1, top + 0.08, (PANEL_INCHES, 0.12)))
    _draw_legend(add_panel(2, top, (PANEL_INCHES, 0.3)), class_names)
    save_figure(figure, path)


def scale_bar_mm(field_mm: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is at most a quarter of the field's width."""
    power = 10.0 ** np.floor(np.log10(field_mm / 4))
    return float(max(step * power for step in (1, 2, 5) if step * power <= field_mm / 4))


def _best_epoch(history: pd.DataFrame, monitor: str, better: str) -> int | None:
    if monitor not in history or history[monitor].isna().all():
        return None
    scores = history[monitor].to_numpy()
    best = np.nanargmin(scores) if better == "lower" else np.nanargmax(scores)
    return int(history["epoch"].to_numpy()[best])


def _draw_curves(axes: Axes, history: pd.DataFrame, names: Sequence[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    # A curve of one epoch needs a marker to be visible.
    marker = "." if len(history) < 30 else ""
    for number, name in enumerate(names):
        curves = {name: ("train", 0.5, 1.5), f"val_{name}": ("validation", 1.0, 2.0)}
        for column, (label, alpha, width) in curves.items():
            if column in history:
                axes.plot(
                    history["epoch"], history[column], color=f"C{number}", alpha=alpha, lw=width,
                    marker=marker, label=f"{name}, {label}",
                )  # fmt: skip
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)


def _draw_row(axes: Sequence[Axes], row: PanelRow) -> None:
    rgb = shrink(row.plane.rgb, PANEL_PX)
    images = {
        "slide": rgb,
        "heatmap": draw_heatmap_overlay(rgb, row.heatmap),
        "segmentation": draw_overlay(rgb, row.segmentation),
        "annotation": draw_overlay(rgb, row.truth),
    }
    for panel, name in zip(axes, COLUMNS, strict=True):
        panel.imshow(images[name], interpolation="antialiased")
        panel.set(xticks=[], yticks=[])
        panel.set_xlabel(row.notes.get(name, ""), fontsize=10)
        for spine in panel.spines.values():
            spine.set_color("0.8")
    axes[0].set_ylabel(row.title, fontsize=11)
    _draw_scale_bar(axes[0], row.plane, (rgb.shape[1], rgb.shape[0]))


def _draw_scale_bar(axes: Axes, plane: Plane, size_px: tuple[int, int]) -> None:
    width_px, height_px = size_px
    field_mm = plane.frame.field_level0[0] * plane.frame.mpp / 1000
    length_mm = scale_bar_mm(field_mm)
    length_px = length_mm / field_mm * width_px
    left, bottom = 0.04 * width_px, height_px - 0.04 * width_px
    box = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1.5}
    axes.plot([left, left + length_px], [bottom, bottom], color="black", lw=3)
    axes.text(
        left + length_px / 2, bottom - 0.02 * width_px, f"{length_mm:g} mm",
        ha="center", va="bottom", fontsize=9, bbox=box,
    )  # fmt: skip


def _draw_colour_bar(axes: Axes) -> None:
    axes.imshow(heatmap_colours(np.linspace(0, 1, 256)[None]), aspect="auto", extent=(0, 1, 0, 1))
    axes.set(yticks=[], xticks=[0, 0.5, 1])
    axes.set_xlabel("tumour probability", fontsize=10)


def _draw_legend(axes: Axes, class_names: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(color="#{:02x}{:02x}{:02x}".format(*class_colour(index)), label=name)
        for index, name in enumerate(class_names)
        if index > 0
    ]
    axes.legend(handles=handles, loc="center", ncols=len(handles), frameon=False, fontsize=10)
    axes.axis("off")


def new_figure(
    size_inches: tuple[float, float], *, layout: Literal["constrained"] | None = None
) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_inches, layout=layout)
    # pyplot is not used, because it keeps figures in memory and chooses a display.
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # names may hold dollar signs
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
