"""The report of the ablation: our tables beside the paper's, and h2g's comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from h2g.ablation.design_record import Record, is_done, read_record
from h2g.evaluation.compare import Comparison, compare_designs, write_comparison
from h2g.evaluation.scored_runs import read_designs
from h2g.evaluation.scores import METRICS
from h2g.files import write_text
from h2g.folders.run import open_run
from h2g.recipes.paper import PaperRow, mean_sd
from h2g.recipes.recipe import Recipe
from h2g.stages.chain import NETWORKS
from h2g.tables import markdown_table, write_csv

# The paper's numerals for the last word of a cohort's grade.
NUMERALS = {"1": "I", "2": "II", "3": "III", "I": "I", "II": "II", "III": "III"}
MEAN_SD = ("mean", "sd")


def write_report(out: Path, designs: Sequence[tuple[Recipe, Path]], *, title: str) -> pd.DataFrame:
    """Writes ablation.md, ablation.csv and, once a design is done, comparison/.

    Args:
        designs: recipes and run folders in the order of the rows.
    Returns:
        The table of ablation.csv; see report_table.
    """
    records = {recipe.name: read_record(folder) for recipe, folder in designs}
    done = [folder for _, folder in designs if is_done(folder)]
    comparison = None
    if done:
        comparison = compare_designs(read_designs(done, "test"), "test")
        write_comparison(comparison, out / "comparison")
    table = report_table(designs, records, comparison)
    write_csv(table, out / "ablation.csv")
    write_text(out / "ablation.md", _markdown(table, comparison, title))
    return table


def report_table(
    designs: Sequence[tuple[Recipe, Path]],
    records: dict[str, Record],
    comparison: Comparison | None,
) -> pd.DataFrame:
    """One row per design, followed by one row per smoothed heatmap.

    The columns are our scores, the paper's (``paper_...``), Dice by grade, parameters and seconds.
    ``seconds`` is the time that the design takes on its own: reused stages are counted at their
    original cost. ``seconds_here`` is the time that it took in this ablation.
    """
    scores: dict[str, Any] = {}
    if comparison is not None:
        by_grade = {row.pop("design"): row for row in _rows(comparison.by_grade)}
        scores = {
            row["design"]: row | _grades(by_grade[row["design"]])
            for row in _rows(comparison.overall)
        }
    rows = []
    for recipe, folder in designs:
        record = records[recipe.name]
        assert recipe.paper is not None
        row: dict[str, Any] = {"number": recipe.paper.design, "design": recipe.name}
        row |= {"status": record.status or "not begun", "remark": _remark(record)}
        row |= scores.pop(recipe.name, {}) | _paper_columns(recipe.paper)
        for stage, count in record.parameters.items():
            row[f"parameters_{stage}"] = count
            row[f"paper_parameters_{stage}"] = record.paper_parameters.get(stage)
        rows.append(row | _seconds(folder, record))
    rows += [{"status": "done", **row} for row in scores.values()]
    return pd.DataFrame(rows)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _grades(by_grade: dict[str, float]) -> dict[str, float]:
    return {f"dice_{name}": value for name, value in by_grade.items()}


def _paper_columns(paper: PaperRow) -> dict[str, float | None]:
    scores = {str(name): paper.metrics[name] for name in METRICS}
    scores |= {f"dice_{grade}": dice for grade, dice in paper.by_grade["dice"].items()}
    return {
        f"paper_{name}_{part}": number
        for name, score in scores.items()
        for part, number in zip(MEAN_SD, mean_sd(score), strict=True)
    }


def _remark(record: Record) -> str:
    if record.status == "failed":
        return f"failed: {' '.join(record.reason.split())}"
    sources: dict[str, list[str]] = {}
    for stage, name in record.reused.items():
        sources.setdefault(name, []).append(stage)
    return "; ".join(f"{' and '.join(stages)} of {name}" for name, stages in sources.items())


def _seconds(folder: Path, record: Record) -> dict[str, float]:
    """Seconds of training without evaluation; empty for an unfinished design."""
    if record.status != "done":
        return {}
    stages = open_run(folder).seconds()
    seconds_here = sum(seconds for stage, seconds in stages.items() if stage != "evaluation")
    seconds_alone = seconds_here + sum(record.reused_seconds.values())
    return {"seconds": round(seconds_alone, 1), "seconds_here": round(seconds_here, 1)}


def _markdown(table: pd.DataFrame, comparison: Comparison | None, title: str) -> str:
    rows = _rows(table)
    sections = [
        "# The designs of H2G-Net",
        f"{title[:1].upper()}{title[1:]}. Scores are the mean ± standard deviation (ddof 0) over "
        "the test slides. The paper's scores are from its own 90 slides. Because cohort and scale "
        "differ, compare the order of the designs, not the numbers.",
        "## Table 1: recall, precision, Dice\n\n" + _table1(rows),
        "Seconds are the training time on this machine; reused stages are counted at their "
        "original cost. Parameters are those of the saved networks.",
    ]
    if comparison is not None:
        sections += [
            "## Table 2: Dice by grade\n\n" + _table2(rows, comparison),
            "## Differences between the designs\n\n" + _statistics(rows, comparison),
            "![Dice of each test slide](comparison/dice.png)",
            "All pairs and the methods: [comparison](comparison/compare.md).",
        ]
    return "\n\n".join(sections) + "\n"


def _table1(rows: Sequence[dict[str, Any]]) -> str:
    header = ["", "design"]
    for metric in METRICS:
        header += [metric.capitalize() if metric == "dice" else metric, "paper"]
    header += ["parameters", "paper", "seconds", "remark"]
    lines = []
    for row in rows:
        scores = [
            _mean_sd(row, f"{source}{metric}") for metric in METRICS for source in ("", "paper_")
        ]
        lines.append(
            [
                _text(row.get("number")),
                row["design"],
                *scores,
                _parameters(row, "parameters"),
                _parameters(row, "paper_parameters"),
                f"{row['seconds']:.0f}" if _known(row.get("seconds")) else "",
                _text(row.get("remark")),
            ]
        )
    return markdown_table(header, lines)


def _table2(rows: Sequence[dict[str, Any]], comparison: Comparison) -> str:
    counts = comparison.designs[0].slides.groupby("grade").size()
    header, columns = ["", "design"], []
    for grade, count in counts.items():
        header.append(f"{grade} (n = {count})")
        columns.append(f"dice_{grade}")
        numeral = NUMERALS.get(str(grade).split()[-1].upper())
        if numeral is not None:
            header.append(f"paper, {numeral}")
            columns.append(f"paper_dice_{numeral}")
    lines = [
        [_text(row.get("number")), row["design"], *(_mean_sd(row, column) for column in columns)]
        for row in rows
    ]
    return markdown_table(header, lines)


def _statistics(rows: Sequence[dict[str, Any]], comparison: Comparison) -> str:
    """Every design against the best finished one, by the paper's scores."""
    scored = [row for row in rows if _known(row.get("dice_mean"))]
    best = max((row for row in scored if _known(row.get("number"))), key=_paper_dice)["design"]
    # Tukey's test needs two slides; with one slide, pairs cannot be tested.
    wilcoxon = [] if comparison.tukey.empty else _rows(comparison.wilcoxon)
    pairs = {
        frozenset((tukey["first"], tukey["second"])): (tukey, other["p_holm"])
        for tukey, other in zip(_rows(comparison.tukey), wilcoxon, strict=True)
    }
    lines = []
    for row in scored:
        interval = f"{row['dice_low']:.3f} to {row['dice_high']:.3f}"
        line = [row["design"], interval, "", "", "", ""]
        found = pairs.get(frozenset((row["design"], best)))
        if found is not None:
            tukey, p_holm = found
            # Tukey's rows are second minus first; the table shows the design minus the best.
            low, high, sign = tukey["low"], tukey["high"], 1
            if tukey["first"] == row["design"]:
                low, high, sign = -high, -low, -1
            line[2:] = [
                f"{sign * tukey['difference']:+.3f}",
                f"{low:+.3f} to {high:+.3f}",
                _p(tukey["p"]),
                _p(p_holm),
            ]
        lines.append(line)
    header = ["design", "Dice, 95 % interval", f"difference to {best}", "95 % interval, Tukey"]
    return markdown_table([*header, "p, Tukey", "p, Wilcoxon (Holm)"], lines)


def _p(value: float) -> str:
    if math.isnan(value):  # designs with equal scores on every slide
        return ""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _paper_dice(row: dict[str, Any]) -> float:
    return float(row["paper_dice_mean"])


def _mean_sd(row: dict[str, Any], name: str) -> str:
    mean, sd = (row.get(f"{name}_{part}") for part in MEAN_SD)
    return f"{mean:.3f} ± {sd:.3f}" if _known(mean) else ""


def _parameters(row: dict[str, Any], kind: str) -> str:
    counts = [row.get(f"{kind}_{stage}") for stage in NETWORKS]
    return " + ".join(f"{count / 1e6:.2f} M" if count else "0" for count in counts if _known(count))


def _known(value: Any) -> bool:
    """Whether a value is present; pandas fills missing values with NaN."""
    return value is not None and not pd.isna(value)


def _text(value: Any) -> str:
    return str(value) if _known(value) else ""
