"""Measures refinement in windows against the stretched slide, and adaptive prediction with both.

    h2g phantom cohort --slides 30 --size-mm 5-20 --mpp 2
    python tools/windows_study.py cohort/cohort.csv --out study --split-by-size

Every cohort has one run folder per variant, DIR/COHORT/VARIANT, with its own seed (0, 1, ...). With
--split-by-size, every second slide by size is for testing, and every fourth of the others for
validation, so that all splits have the same range of sizes. The
classifier and its heatmaps are trained once per cohort and reused. Each run is scored on the test
slides, with all patches and by the threshold of adaptive prediction. Rerun the command after an
interruption; finished runs are skipped. The tables DIR/study.csv and study.md are written after
every run.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from refinement_study import run_h2g

from h2g.evaluation.statistics import bootstrap_interval
from h2g.files import write_text
from h2g.folders.cohort import read_cohort
from h2g.folders.run import evaluation_folder, open_run
from h2g.slides.reading import describe_slide
from h2g.tables import markdown_table, write_csv

WHOLE, WINDOWS = "whole", "windows"
LEARNT_MORE = (
    "refinement.cross_fit=3",
    "refinement.loss=dice-crossentropy",
    "refinement.augmentation.heatmap_noise=1.0",
    "refinement.augmentation.heatmap_shift=0.5",
)
# Variants by name, with their changes of the recipe; the first one trains the classifier.
VARIANTS: dict[str, tuple[str, ...]] = {
    WHOLE: ("refinement.field=whole",),
    "whole, cross-entropy": ("refinement.field=whole", LEARNT_MORE[1]),
    WINDOWS: ("refinement.field=windows",),
    "windows, cross-entropy": ("refinement.field=windows", LEARNT_MORE[1]),
    "windows, noise": ("refinement.field=windows", *LEARNT_MORE[2:]),
    "windows, cross-fit": ("refinement.field=windows", LEARNT_MORE[0]),
    "windows, all three": ("refinement.field=windows", *LEARNT_MORE),
}
# Borders of the groups of slides by their shorter side, in mm.
SIZES_MM = (0, 7.5, 10, 12.5, 15, 17.5, 1000)


@dataclass(frozen=True)
class StudyRun:
    """One variant on one cohort; the cohort's place among the cohorts is the seed."""

    cohort: Path
    seed: int
    variant: str
    folder: Path

    @property
    def curve(self) -> Path:
        return evaluation_folder(self.folder, "test") / "adaptive.csv"

    def commands(self, base: str, overrides: Sequence[str], jobs: int) -> list[list[str]]:
        """Arguments of the h2g commands that train and score it."""
        train = ["train", str(self.cohort), "--recipe", base, "--out", str(self.folder)]
        changes = (f"seed={self.seed}", *overrides, *VARIANTS[self.variant])
        train += [word for change in changes for word in ("--set", change)]
        if self.variant != WHOLE:
            whole = self.folder.parent / WHOLE
            train += ["--reuse-stage", str(whole / "patch")]
            if not any("cross_fit" in change for change in changes):
                train += ["--reuse-stage", str(whole / "heatmaps")]
        evaluate = ["evaluate", str(self.folder), "--split", "test", "--adaptive"]
        return [[*train, "--jobs", str(jobs)], evaluate]


def study_table(runs: Sequence[StudyRun]) -> pd.DataFrame:
    """One row per cohort, variant, slide and threshold (NaN: all patches).

    Columns: cohort, variant, slide, side_mm (the shorter one), threshold, percent, dice. The
    variant ``patch-wise`` is the classifier that all variants of a cohort share.
    """
    tables = []
    for run in runs:
        curve = pd.read_csv(run.curve, dtype={"slide": str})
        names = {"refined": run.variant} | (
            {"patchwise": "patch-wise"} if run.variant == WHOLE else {}
        )
        curve = curve[curve["variant"].isin(list(names))]
        rows = open_run(run.folder).cohort.split("test")
        sides = {row.name: side_mm(row.slide, row.mpp) for row in rows}
        tables.append(
            curve.assign(
                cohort=run.folder.parent.name,
                variant=curve["variant"].map(names),
                side_mm=curve["slide"].map(sides),
            )
        )
    return pd.concat(tables, ignore_index=True)


def side_mm(slide: Path, mpp: float | None) -> float:
    frame = describe_slide(slide, mpp=mpp).frame
    return min(frame.field_level0) * frame.mpp / 1000


def paired(table: pd.DataFrame, variant: str, baseline: str) -> pd.DataFrame:
    """Dice of a variant minus that of another, for each slide that both have."""
    keys = ["cohort", "slide", "side_mm"]
    one, other = (table[table["variant"] == name] for name in (variant, baseline))
    both = one.merge(other, on=keys, suffixes=("", "_baseline"))
    return both.assign(difference=both["dice"] - both["dice_baseline"])


def mean_with_interval(values: pd.Series, groups: pd.Series) -> str:
    if values.empty:
        return ""
    interval = bootstrap_interval(values, groups)
    return f"{values.mean():+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"


def refinement_rows(table: pd.DataFrame) -> list[list[str]]:
    """Cells of the first table, one row per variant: Dice by size, and the difference to whole."""
    all_patches = table[table["threshold"].isna()]
    rows = []
    for variant in all_patches["variant"].unique():
        scores = all_patches[all_patches["variant"] == variant]
        pairs = paired(all_patches, variant, WHOLE)
        groups = pairs["cohort"] + pairs["slide"]
        difference = "" if variant == WHOLE else mean_with_interval(pairs["difference"], groups)
        better = "" if variant == WHOLE else f"{np.mean(pairs['difference'] > 0):.0%}"
        means = [f"{part['dice'].mean():.3f}" for _, part in by_size(scores)]
        rows.append([variant, f"{scores['dice'].mean():.4f}", difference, better, *means])
    return rows


def adaptive_rows(table: pd.DataFrame) -> list[list[str]]:
    """Cells of the second table, one row per variant and threshold: patches and lost Dice."""
    rows = []
    for variant in table["variant"].unique():
        own = table[table["variant"] == variant]
        every = own[own["threshold"].isna()].set_index(["cohort", "slide"])["dice"]
        for threshold, part in own.dropna(subset=["threshold"]).groupby("threshold"):
            some = part.set_index(["cohort", "slide"])["dice"]
            loss = (every - some).dropna()
            groups = pd.Series([":".join(key) for key in loss.index])
            cells = mean_with_interval(loss.reset_index(drop=True), groups)
            rows.append([variant, f"{threshold:g}", f"{part['percent'].mean():.1f}", cells])
    return rows


def by_size(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The slides of each group of sizes that has any, with its name."""
    sizes = zip(SIZES_MM, SIZES_MM[1:], strict=False)
    parts = [
        (f"{low:g} to {high:g} mm", table[(table["side_mm"] > low) & (table["side_mm"] <= high)])
        for low, high in sizes
    ]
    return [(name, part) for name, part in parts if len(part)]


def write_study(out: Path, runs: Sequence[StudyRun], base: str) -> None:
    table = study_table(runs)
    table.to_csv(out / "study.csv", index=False, float_format="%.6f")
    slides = table[["cohort", "slide"]].drop_duplicates()
    sizes = [name for name, _ in by_size(table)]
    lines = [
        "# Refinement in windows, and adaptive prediction",
        "",
        f"    {shlex.join(['python', 'tools/windows_study.py', *sys.argv[1:]])}",
        "",
        f"Dice of {len(slides)} test slides of {slides['cohort'].nunique()} cohorts, recipe "
        f"`{base}`, counted on 1,024 x 1,024 pixels. difference: to `{WHOLE}`, by slide, with the "
        "95 % interval of 10,000 bootstrap samples of slides. better: share of slides with a "
        "difference above 0. The other columns are mean Dice by the shorter side of the slide.",
        "",
        markdown_table(
            ["variant", "Dice", "difference [95 %]", "better", *sizes], refinement_rows(table)
        ),
        "",
        "Adaptive prediction: mean share of classified patches, and Dice lost to all patches.",
        "",
        markdown_table(["variant", "threshold", "patches, %", "loss [95 %]"], adaptive_rows(table)),
    ]
    write_text(out / "study.md", "\n".join(lines) + "\n")


def split_by_size(cohort: Path, folder: Path) -> Path:
    """Writes FOLDER/cohort.csv with the cohort's slides in new splits; see the module."""
    rows = sorted(read_cohort(cohort).slides, key=lambda row: side_mm(row.slide, row.mpp))
    table = pd.DataFrame(
        {
            "slide": [row.slide.resolve() for row in rows],
            "annotation": [row.annotation.resolve() for row in rows],
            "split": [
                "test" if place % 2 else "val" if place // 2 % 4 == 3 else "train"
                for place in range(len(rows))
            ],
            "grade": [row.grade for row in rows],
            "mpp": [row.mpp for row in rows],
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(table, folder / "cohort.csv")
    return folder / "cohort.csv"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cohorts", nargs="+", type=Path, metavar="COHORT.csv")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--base", default="demo", metavar="RECIPE", help="name or YAML file")
    parser.add_argument(
        "--variants", nargs="+", choices=[*VARIANTS], default=[WHOLE, WINDOWS], metavar="VARIANT"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--split-by-size", action="store_true", help="split the slides anew")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    chosen = [name for name in VARIANTS if name == WHOLE or name in arguments.variants]
    cohorts = arguments.cohorts
    if arguments.split_by_size:
        cohorts = [
            split_by_size(cohort, arguments.out / f"cohort_{seed}")
            for seed, cohort in enumerate(cohorts)
        ]
    runs = [
        StudyRun(cohort, seed, name, arguments.out / f"cohort_{seed}" / name.replace(", ", "-"))
        for seed, cohort in enumerate(cohorts)
        for name in chosen
    ]
    failed = []
    for number, run in enumerate(runs, start=1):
        print(f"[{number}/{len(runs)}] {run.cohort}, {run.variant}", flush=True)
        commands = run.commands(arguments.base, arguments.overrides, arguments.jobs)
        if not run.curve.is_file() and not run_h2g(commands):
            failed.append(f"{run.cohort} {run.variant}")
        done = [run for run in runs if run.curve.is_file()]
        if done:
            write_study(arguments.out, done, arguments.base)
    if failed:
        sys.exit(f"windows_study: {', '.join(failed)} failed. See the messages above.")
    print((arguments.out / "study.md").read_text("utf-8"))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
