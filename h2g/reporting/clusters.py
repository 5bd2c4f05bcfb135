"""Figures of clusters of patches: their patches, their positions and their slides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from h2g.annotations.colours import class_colour
from h2g.reporting.plots import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PATCH_INCHES, TITLE_INCHES = 1.05, 1.6
CELL_INCHES, NAME_INCHES = (0.55, 0.24), 2.2
# With more rows, names and numbers are left out to keep the figure readable.
NAMED_ROWS = 60
POINTS = 5000


@dataclass(frozen=True, eq=False)
class ContactRow:
    """One row of the contact sheet.

    Attributes:
        title: text to the left of the row.
        patches: (S, S, 3) uint8 patches of the cluster, nearest to its centre first.
    """

    title: str
    patches: Sequence[np.ndarray]


def draw_contact_sheet(png: Path, rows: Sequence[ContactRow]) -> None:
    """Draws one row of patches per cluster."""
    columns = max(1, *(len(row.patches) for row in rows))
    size = (TITLE_INCHES + columns * PATCH_INCHES, len(rows) * PATCH_INCHES)
    figure = new_figure(size)
    grid = figure.subplots(
        len(rows),
        columns,
        squeeze=False,
        gridspec_kw={
            "left": TITLE_INCHES / size[0], "right": 1, "bottom": 0, "top": 1,
            "wspace": 0.04, "hspace": 0.06,
        },
    )  # fmt: skip
    for row, panels in zip(rows, grid, strict=True):
        for axes in panels:
            axes.axis("off")
        for axes, patch in zip(panels, row.patches, strict=False):
            axes.imshow(patch, interpolation="antialiased")
        panels[0].text(
            -0.08, 0.5, row.title, transform=panels[0].transAxes,
            ha="right", va="center", fontsize=9, linespacing=1.4,
        )  # fmt: skip
    save_figure(figure, png)


def draw_projection(
    png: Path,
    patches: pd.DataFrame,
    *,
    class_names: Sequence[str],
    variance: Sequence[float],
) -> None:
    """Draws the patches on their first two principal components, by cluster and by class.

    Args:
        patches: columns component_0, component_1, cluster, label.
        variance: share of the variance of each component; one value if there is one component.
    """
    sample = patches.sample(min(len(patches), POINTS), random_state=0)
    figure = new_figure((11, 5), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    clusters = sorted(patches["cluster"].unique())
    colours = cluster_colours(clusters)
    _scatter(left, sample, [colours[number] for number in sample["cluster"]])
    for number in clusters:
        mean = patches.loc[patches["cluster"] == number, ["component_0", "component_1"]].mean()
        left.text(
            mean.iloc[0], mean.iloc[1], str(number), ha="center", va="center", fontsize=9,
            bbox={"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": colours[number]},
        )  # fmt: skip
    left.set_title("by cluster; numbers at the clusters' means", fontsize=10)
    _scatter(right, sample, [_hex(class_colour(int(label))) for label in sample["label"]])
    for label, name in enumerate(class_names):
        right.scatter([], [], color=_hex(class_colour(label)), s=20, label=name)
    right.legend(frameon=False, fontsize=9)
    right.set_title("by class", fontsize=10)
    names = [f"component {i + 1} ({share:.0%} of variance)" for i, share in enumerate(variance)]
    for axes in (left, right):
        axes.set_xlabel(names[0])
    if len(names) > 1:
        left.set_ylabel(names[1])
    save_figure(figure, png)


def draw_slide_shares(png: Path, shares: pd.DataFrame) -> None:
    """Draws the shares of the clusters in the patches of each slide.

    Args:
        shares: one row per slide, one column per cluster; each row sums to 1.
    """
    rows, columns = shares.shape
    has_names = rows <= NAMED_ROWS
    height = CELL_INCHES[1] * min(rows, 3 * NAMED_ROWS)
    size = (NAME_INCHES + CELL_INCHES[0] * columns + 0.8, height + 1.0)
    figure = new_figure(size, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares.to_numpy(), cmap="Blues", vmin=0, aspect="auto")
    axes.set_xticks(range(columns), [str(number) for number in shares.columns])
    axes.xaxis.tick_top()
    axes.set_xlabel("cluster")
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0)
    if has_names:
        axes.set_yticks(range(rows), [str(name) for name in shares.index])
        _write_shares(axes, shares.to_numpy())
    else:
        axes.set_ylabel(f"{rows} slides")
        axes.set_yticks([])
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, format="{x:.0%}", label="share of the slide's patches")
    save_figure(figure, png)


def cluster_colours(clusters: Sequence[int]) -> dict[int, str]:
    """One colour per cluster."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    few = len(clusters) <= 10
    shades = colormaps["tab10"](range(10)) if few else colormaps["turbo"](
        np.linspace(0.05, 0.95, len(clusters))
    )  # fmt: skip
    return {number: to_hex(shade) for number, shade in zip(clusters, shades, strict=False)}


def _scatter(axes: Axes, points: pd.DataFrame, colours: Sequence[str]) -> None:
    axes.scatter(
        points["component_0"], points["component_1"], c=colours, s=7, alpha=0.6, linewidths=0
    )
    axes.spines[["top", "right"]].set_visible(False)


def _write_shares(axes: Axes, shares: np.ndarray) -> None:
    for row, column in np.argwhere(shares >= 0.005):
        share = shares[row, column]
        dark = share > 0.6 * shares.max()
        axes.text(
            column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8,
            color="white" if dark else "black",
        )  # fmt: skip


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)
