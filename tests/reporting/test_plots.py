"""Plots are drawn without a display, and their contents read back from the pixels."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from h2g.reporting.plots import (
    PanelRow,
    draw_history,
    draw_panels,
    new_figure,
    save_figure,
    scale_bar_mm,
)
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import Plane


def picture(path: Path) -> np.ndarray:
    rgb = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert rgb is not None
    return rgb


def write_history(path: Path, epochs: int) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    history = pd.DataFrame(
        {
            "epoch": epoch,
            "loss": 1 / epoch,
            "val_loss": 1 / epoch + 0.01 * epoch,
            "accuracy": 1 - 0.5 / epoch,
            "val_accuracy": 0.9 - 0.5 / epoch,
            "learning_rate": 1e-3,
            "seconds": 2.0,
        }
    )
    history.to_csv(path, index=False)
    return history


@pytest.mark.parametrize("epochs", [1, 20])
def test_history_is_drawn(tmp_path: Path, epochs: int) -> None:
    write_history(tmp_path / "history.csv", epochs)
    draw_history(tmp_path / "history.csv", tmp_path / "curves.png", title="patch")
    rgb = picture(tmp_path / "curves.png")
    assert rgb.shape[1] > 2 * rgb.shape[0]
    assert not list(tmp_path.glob(".*"))
    # Matplotlib's first blue shows curves in both halves.
    blue = np.abs(rgb.astype(int) - (31, 119, 180)).max(axis=-1) < 10
    middle = rgb.shape[1] // 2
    assert blue[:, :middle].sum() > 20
    assert blue[:, middle:].sum() > 20


def test_the_best_epoch_is_that_of_the_monitor(tmp_path: Path) -> None:
    def dotted_column(monitor: str, better: str) -> float:
        draw_history(
            tmp_path / "history.csv", tmp_path / "curves.png", monitor=monitor, better=better
        )
        rgb = picture(tmp_path / "curves.png").astype(int)
        left = rgb[:, : rgb.shape[1] // 2]
        grey = (np.abs(left - 153).max(axis=-1) < 25).sum(axis=0)
        return float(grey.argmax()) / left.shape[1]

    write_history(tmp_path / "history.csv", 40)
    # 1 / e + .01 e is smallest at 10, accuracy largest at 40; the axis is 1 to 40.
    assert dotted_column("val_loss", "lower") < 0.4
    assert dotted_column("val_accuracy", "higher") > 0.85


@pytest.mark.parametrize(
    ("field_mm", "length_mm"), [(8.0, 2.0), (25.0, 5.0), (1.9, 0.2), (0.7, 0.1), (4.0, 1.0)]
)
def test_scale_bar_is_a_round_number(field_mm: float, length_mm: float) -> None:
    assert scale_bar_mm(field_mm) == pytest.approx(length_mm)


def panel_row(title: str, width: int, height: int) -> PanelRow:
    truth = np.zeros((32, 32), np.uint8)
    truth[8:24, 8:24] = 1
    tumour = np.kron(truth[::4, ::4], np.ones((1, 1))).astype(np.float32)
    plane = Plane(np.full((height, width, 3), 230, np.uint8), Frame((10 * width, 10 * height), 1.0))
    values = np.stack([1 - tumour, tumour], axis=-1)
    heatmap = Heatmap(values, 10 * width / 8, Frame(plane.frame.field_level0, 1.0))
    return PanelRow(title, plane, heatmap, truth, truth, {"segmentation": "Dice 0.95"})


def test_panels_of_slides_of_different_shapes(tmp_path: Path) -> None:
    rows = [panel_row("a", 300, 300), panel_row("b", 300, 150)]
    draw_panels(tmp_path / "panels.png", rows, class_names=("background", "tumour"))
    rgb = picture(tmp_path / "panels.png")
    draw_panels(tmp_path / "one.png", rows[:1], class_names=("background", "tumour"))
    one = picture(tmp_path / "one.png")
    # Four panels per row; a second row of half the height adds less than the first.
    assert rgb.shape[1] == one.shape[1]
    assert one.shape[0] < rgb.shape[0] < 2 * one.shape[0]
    # Tumour is red in the two right panels; nothing is red in the two left ones.
    red = rgb[..., 0].astype(int) - rgb[..., 1:].max(axis=-1) > 40
    half = rgb.shape[1] // 2
    assert not red[:, :half].any()
    top = red[: one.shape[0] // 2, half:]
    assert top[:, : half // 2].sum() > 100
    assert top[:, half // 2 :].sum() > 100


def test_matplotlib_is_loaded_only_to_draw() -> None:
    code = "import sys, h2g.reporting.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_dollar_signs_in_names_are_no_formula(tmp_path: Path) -> None:
    figure = new_figure((2, 2))
    axes = figure.subplots()
    axes.set_yticks([0], ["$a$ $x_{"])  # as a formula, it could not be drawn
    axes.set_title("$b$ $x_{")
    save_figure(figure, tmp_path / "plot.png")
    assert picture(tmp_path / "plot.png").shape == (220, 220, 3)
