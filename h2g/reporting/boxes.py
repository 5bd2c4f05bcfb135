"""Box plots with one point per slide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from h2g.reporting.plots import new_figure, save_figure

BOX_INCHES, LABEL_INCHES = 0.42, 1.3
# Okabe and Ito's colours, which people with any colour vision can distinguish.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")


def draw_boxes(png: Path, values: pd.DataFrame, *, groups: pd.Series, label: str) -> None:
    """Draws one horizontal box per column: quartiles, whiskers to the extremes, all points.

    Args:
        values: one row per slide, one column per design.
        groups: group of each slide, e.g. its grade; it sets the colour of the points.
        label: label of the axis.
    """
    names = sorted(groups.unique())
    figure = new_figure((7.5, LABEL_INCHES + BOX_INCHES * values.shape[1]), layout="constrained")
    axes = figure.subplots()
    positions = np.arange(values.shape[1])[::-1]
    axes.boxplot(
        [values[column].to_numpy() for column in values.columns],
        positions=positions, orientation="horizontal", whis=(0, 100), widths=0.6, showcaps=False,
        medianprops={"color": "black", "lw": 2}, boxprops={"color": "0.5"},
        whiskerprops={"color": "0.5"},
    )  # fmt: skip
    spread = np.random.default_rng(0).uniform(-0.18, 0.18, len(values))
    for colour, name in zip(np.resize(COLOURS, len(names)), names, strict=True):
        chosen = (groups.loc[values.index] == name).to_numpy()
        for position, column in zip(positions, values.columns, strict=True):
            axes.scatter(
                values.loc[chosen, column], position + spread[chosen], s=16, color=colour,
                alpha=0.8, linewidths=0, zorder=3, label=name if position == 0 else None,
            )  # fmt: skip
    axes.set_yticks(positions, values.columns)
    axes.set_xlabel(f"{label} of a slide")
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if len(names) > 1:
        axes.legend(frameon=False, ncols=len(names), loc="upper center", bbox_to_anchor=(0.5, 1.15))
    save_figure(figure, png)
