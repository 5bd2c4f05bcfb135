"""What adaptive prediction saves and costs: the share of classified patches, and the lost Dice.

A run keeps the heatmaps of its slides with every patch classified. The passes of adaptive
prediction (h2g.slides.adaptive_cells) are replayed on them, so no patch is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from h2g.engines.engine import Network
from h2g.errors import H2GError, WrongUseError
from h2g.evaluation.scores import count_classes, mean_score
from h2g.folders.cohort import CohortSlide, Split
from h2g.folders.run import Run
from h2g.recipes.preprocessing import AdaptiveSettings
from h2g.reporting.plots import new_figure, save_figure
from h2g.results.slide_state import SlideState
from h2g.slides.heatmap import Heatmap
from h2g.slides.reading import open_slide, plan_patches, read_low_resolution
from h2g.stages.evaluate_run import SIDE_PX, open_by_name, open_evaluator
from h2g.stages.patch.classify import thinned
from h2g.stages.slide_scoring import Evaluator, labels_of_variants, per_slide, slides_to_score
from h2g.tables import write_csv

THRESHOLDS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)


def adaptive_curve(
    run: Run,
    split: Split,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    darker: float | None = None,
    threads: int = 2,
    open_network: Callable[[Run, str], Network] = open_by_name,
) -> pd.DataFrame:
    """Scores the slides of a split at several thresholds, and with all patches.

    Writes evaluation/<split>/adaptive.csv and adaptive.png.

    Args:
        thresholds, darker: see h2g.recipes.preprocessing.AdaptiveSettings.
        threads: number of threads that read patches if a heatmap is missing.
    Returns:
        One row per slide, threshold (NaN: all patches) and variant: slide, threshold, percent (of
        patches that are classified), variant, dice.
    Raises:
        WrongUseError: the run has no patch network.
        RunError: the split is empty, or a network is not trained.
        H2GError: no slide could be scored.
    """
    # One raster for all runs, so that curves of different networks can be compared.
    evaluator = replace(open_evaluator(run, open_network, threads), size_px=(SIDE_PX, SIDE_PX))
    if not evaluator.has_heatmaps:
        raise WrongUseError(f"{run.path}: this run has no patch network, so no patches to choose.")
    rows = slides_to_score(run, split)
    scored, failed = per_slide(
        evaluator,
        rows,
        lambda row: _score(evaluator, row, thresholds, darker),
        f"thresholds on {split}",
    )
    if not scored:
        raise H2GError(" ".join(f"{slide.slide}: {slide.reason}" for slide in failed))
    curve = pd.concat(scored, ignore_index=True)
    folder = run.evaluation_folder(split)
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(curve, folder / "adaptive.csv", float_format="%.6g")
    draw_curve(curve, folder / "adaptive.png")
    return curve


def mean_curve(curve: pd.DataFrame) -> pd.DataFrame:
    """Means over slides, a row per threshold and variant: percent, dice and loss of Dice."""
    means = curve.groupby(["variant", "threshold"], sort=False, dropna=False)[["percent", "dice"]]
    table = means.mean().reset_index()
    whole = table[table["threshold"].isna()].set_index("variant")["dice"]
    return table.assign(loss=table["variant"].map(whole) - table["dice"])


def chosen_threshold(curve: pd.DataFrame, variant: str, largest_loss: float) -> float | None:
    """The largest threshold up to which no mean loss of Dice exceeds ``largest_loss``."""
    means = mean_curve(curve)
    rows = means[(means["variant"] == variant) & means["threshold"].notna()]
    chosen = None
    for _, row in rows.sort_values("threshold").iterrows():
        if row["loss"] > largest_loss:
            break
        chosen = float(row["threshold"])
    return chosen


def draw_curve(curve: pd.DataFrame, path: Path) -> None:
    """The mean Dice of each variant against the share of classified patches."""
    means = mean_curve(curve)
    figure = new_figure((5.2, 3.8), layout="constrained")
    axes = figure.subplots()
    for variant, rows in means.groupby("variant", sort=False):
        line = rows.sort_values("percent")
        axes.plot(line["percent"], line["dice"], marker="o", label=str(variant))
        for _, row in line[line["threshold"].notna()].iterrows():
            axes.annotate(
                f"{row['threshold']:g}",
                (row["percent"], row["dice"]),
                textcoords="offset points",
                xytext=(3, -11),
                fontsize=7,
            )
    axes.set_xlabel("classified patches, %")
    axes.set_ylabel("Dice, mean over slides")
    axes.set_title("adaptive prediction, by threshold")
    axes.legend()
    save_figure(figure, path)


def _score(
    evaluator: Evaluator, row: CohortSlide, thresholds: Sequence[float], darker: float | None
) -> pd.DataFrame:
    recipe = evaluator.run.recipe
    with open_slide(row.slide, mpp=row.mpp) as slide:
        info = slide.info
        plane = read_low_resolution(slide, recipe.low_resolution)
    truth, heatmap = evaluator.truth(row, info.frame), evaluator.heatmap(row)
    plan = plan_patches(info, recipe.preprocessing.patch)
    heatmaps: dict[float | None, tuple[Heatmap, float]] = {None: (heatmap, 100.0)}
    for threshold in thresholds:
        adaptive = AdaptiveSettings(threshold=threshold, darker=darker)
        heatmaps[threshold] = thinned(heatmap, plan, adaptive, plane)
    found = []
    for name, (values, percent) in heatmaps.items():
        state = SlideState(plane, recipe.class_names)
        labels = labels_of_variants(evaluator, row, state, None, heatmap=values)
        for variant, predicted in labels.items():
            counts = count_classes(predicted, truth, recipe.class_names)
            dice = mean_score([count.score for count in counts.values()]).dice
            found.append((row.name, name, percent, variant, dice))
    return pd.DataFrame(found, columns=["slide", "threshold", "percent", "variant", "dice"])
