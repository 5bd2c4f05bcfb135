from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from h2g.reporting.runtimes import COLOURS, TimedRow, draw_runtimes


def row(label: str, *seconds: float) -> TimedRow:
    parts = dict(zip(("tissue", "waiting", "network"), seconds, strict=True))
    return TimedRow(label, parts, sum(seconds), 0.1)


def columns_of(picture: np.ndarray, colour: str) -> int:
    """Number of columns of the figure that have the colour over a bar's height."""
    rgb = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    same = (np.abs(picture.astype(int) - rgb[::-1]) <= 3).all(axis=-1)
    return int((same.sum(axis=0) > 20).sum())


def test_parts_are_as_long_as_their_seconds(tmp_path: Path) -> None:
    png = tmp_path / "new" / "chart.png"
    draw_runtimes(png, [row("keras", 10, 20, 70)])
    picture = cv2.imread(str(png))
    tissue, waiting, network = (columns_of(picture, colour) for colour in COLOURS[:3])
    assert 1.8 < waiting / tissue < 2.2
    # The seconds written in the network's part hide no column, because they are lower than it.
    assert 6.3 < network / tissue < 7.7


def test_more_rows_make_a_higher_figure(tmp_path: Path) -> None:
    heights = []
    for count in (1, 4):
        draw_runtimes(tmp_path / "chart.png", [row(f"engine {n}", 1, 2, 3) for n in range(count)])
        heights.append(cv2.imread(str(tmp_path / "chart.png")).shape[0])
    assert heights[1] > 1.5 * heights[0]


def test_no_rows_write_no_file(tmp_path: Path) -> None:
    draw_runtimes(tmp_path / "chart.png", [])
    assert not (tmp_path / "chart.png").exists()
