"""The paper's tables for several runs, with statistics, as CSV, Markdown and a box plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from h2g.errors import WrongUseError
from h2g.evaluation.scored_runs import Design, read_designs
from h2g.evaluation.scores import METRICS
from h2g.evaluation.statistics import (
    LEVEL,
    RESAMPLES,
    bootstrap_interval,
    paired_wilcoxon,
    tukey,
)
from h2g.files import write_text
from h2g.folders.cohort import Split
from h2g.reporting.boxes import draw_boxes
from h2g.tables import markdown_table, write_csv

# With fewer pairs, a two-sided signed-rank test cannot reach p < 0.05.
FEWEST_PAIRS = 6


@dataclass(frozen=True)
class Comparison:
    """Designs scored on the same slides, and the tests of their differences.

    Attributes:
        overall: Table 1, one row per design: mean and sd (ddof 0) of recall, precision and dice,
            and the bootstrap interval of the mean Dice.
        by_grade: Table 2, one row per design: mean and sd of Dice for each grade.
        tukey, wilcoxon: one row per pair of designs.
    """

    split: Split
    designs: tuple[Design, ...]
    overall: pd.DataFrame
    by_grade: pd.DataFrame
    tukey: pd.DataFrame
    wilcoxon: pd.DataFrame

    @property
    def dice(self) -> pd.DataFrame:
        """Dice with one row per slide and one column per design."""
        return _dice(self.designs)


def compare_runs(paths: Sequence[Path], out: Path, *, split: Split = "test") -> Comparison:
    """Compares evaluated runs and writes the tables and the plot into ``out``.

    Raises:
        WrongUseError: a run is given twice.
        RunError: a run is not evaluated, or the runs were evaluated on different slides.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise WrongUseError("A run is given twice; name each run once.")
    comparison = compare_designs(read_designs(paths, split), split)
    write_comparison(comparison, out)
    return comparison


def compare_designs(designs: Sequence[Design], split: Split) -> Comparison:
    dice = _dice(designs)
    return Comparison(
        split=split,
        designs=tuple(designs),
        overall=pd.DataFrame([_overall_row(design) for design in designs]),
        by_grade=pd.DataFrame([_grade_row(design) for design in designs]),
        tukey=tukey(dice),
        wilcoxon=paired_wilcoxon(dice),
    )


def write_comparison(comparison: Comparison, out: Path) -> None:
    """Writes compare.md, dice.png and one CSV file per table."""
    tables = {
        "overall": comparison.overall,
        "by_grade": comparison.by_grade,
        "tukey": comparison.tukey,
        "wilcoxon": comparison.wilcoxon,
        "slides": pd.concat(
            {design.name: design.slides for design in comparison.designs}, names=["design"]
        ).reset_index(),
    }
    for name, table in tables.items():
        write_csv(table, out / f"{name}.csv")
    grades = comparison.designs[0].slides["grade"]
    draw_boxes(out / "dice.png", comparison.dice, groups=grades, label="Dice")
    write_text(out / "compare.md", markdown(comparison))


def markdown(comparison: Comparison) -> str:
    """The text of compare.md: the method and all tables."""
    count = len(comparison.dice)
    header = f"# {len(comparison.designs)} designs on {comparison.split}: {count} slides"
    return (
        "\n\n".join(
            [
                header,
                _method(comparison),
                "## Recall, precision, Dice\n\n" + _overall_table(comparison.overall),
                "## Dice per grade\n\n" + _grade_table(comparison),
                "## Pairs of designs\n\n" + _pair_table(comparison),
                "![Dice per slide](dice.png)",
            ]
        )
        + "\n"
    )


def _dice(designs: Sequence[Design]) -> pd.DataFrame:
    return pd.DataFrame({design.name: design.slides["dice"] for design in designs})


def _overall_row(design: Design) -> dict[str, object]:
    row: dict[str, object] = {"design": design.name, "slides": len(design.slides)}
    for metric in METRICS:
        row[f"{metric}_mean"] = design.slides[metric].mean()
        row[f"{metric}_sd"] = design.slides[metric].std(ddof=0)
    interval = bootstrap_interval(design.slides["dice"], design.slides["patient"])
    return {**row, "dice_low": interval.low, "dice_high": interval.high}


def _grade_row(design: Design) -> dict[str, object]:
    row: dict[str, object] = {"design": design.name}
    for grade, slides in design.slides.groupby("grade"):
        row[f"{grade}_mean"] = slides["dice"].mean()
        row[f"{grade}_sd"] = slides["dice"].std(ddof=0)
    return row


def _method(comparison: Comparison) -> str:
    sizes = sorted({design.size_px for design in comparison.designs})
    rasters = " and ".join(f"{width} x {height}" for width, height in sizes)
    patients = comparison.designs[0].slides["patient"].nunique()
    slides = len(comparison.dice)
    few = (
        f" With {slides} slides, no pair can reach p < {LEVEL:g} in Wilcoxon's test."
        if slides < FEWEST_PAIRS
        else ""
    )
    several = (
        " Pixels were counted on rasters of different sizes, so differences of a few thousandths "
        "mean nothing."
        if len(sizes) > 1
        else ""
    )
    return (
        "Scores are the macro mean over slides ± standard deviation (ddof 0). Pixels are counted "
        f"on a {rasters} raster over each slide's field.{several} The interval is the 95 % "
        f"percentile interval of the mean from {RESAMPLES:,} bootstrap samples of the {patients} "
        "patients. Tukey's range test treats the designs as independent samples, as in the paper. "
        "All designs share the same slides, so rely on Wilcoxon's signed-rank test (two-sided, "
        "Holm's correction)."
        f"{few}"
    )


def _overall_table(overall: pd.DataFrame) -> str:
    rows = [
        [
            row["design"],
            *(f"{row[f'{metric}_mean']:.3f} ± {row[f'{metric}_sd']:.3f}" for metric in METRICS),
            f"{row['dice_low']:.3f} to {row['dice_high']:.3f}",
        ]
        for row in overall.to_dict("records")
    ]
    return markdown_table(["design", "recall", "precision", "Dice", "Dice, 95 % interval"], rows)


def _grade_table(comparison: Comparison) -> str:
    counts = comparison.designs[0].slides.groupby("grade").size()
    header = ["design", *(f"{grade} (n = {count})" for grade, count in counts.items())]
    rows = [
        [row["design"], *(f"{row[f'{g}_mean']:.3f} ± {row[f'{g}_sd']:.3f}" for g in counts.index)]
        for row in comparison.by_grade.to_dict("records")
    ]
    return markdown_table(header, rows)


def _pair_table(comparison: Comparison) -> str:
    if comparison.tukey.empty:
        return "A test needs at least two designs and two slides."
    header = ["pair", "difference of means", "95 % interval", "p, Tukey", "p, Wilcoxon (Holm)"]
    rows = [
        [
            f"{range_test['second']} - {range_test['first']}",
            f"{range_test['difference']:+.3f}",
            f"{range_test['low']:+.3f} to {range_test['high']:+.3f}",
            _p(range_test["p"]),
            _p(signed_rank["p_holm"]),
        ]
        for range_test, signed_rank in zip(
            comparison.tukey.to_dict("records"),
            comparison.wilcoxon.to_dict("records"),
            strict=True,
        )
    ]
    return markdown_table(header, rows)


def _p(value: float) -> str:
    text = f"{value:.3f}" if value >= 0.001 else "< 0.001"
    return f"**{text}**" if value < LEVEL else text
