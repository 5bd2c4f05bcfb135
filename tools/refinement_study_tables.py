"""The tables of tools/refinement_study.py: study.csv, one row per slide, and study.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from h2g.evaluation.statistics import bootstrap_interval
from h2g.files import replacing, write_text
from h2g.folders.run import evaluation_folder, open_run
from h2g.tables import markdown_table

# Names in the tables of segmentations that are not refined.
UNREFINED = {"patchwise": "patch-wise", "smoothed": "smoothed"}


@dataclass(frozen=True)
class Scored:
    """The folder of a run that is trained, and scored on its test slides."""

    seed: int
    variant: str
    folder: Path


def scores_file(folder: Path) -> Path:
    return evaluation_folder(folder, "test") / "scores.csv"


def study_table(scored: Sequence[Scored], *, baseline: str) -> pd.DataFrame:
    """The scores, one row per seed, variant and slide.

    Columns: seed, variant, cohort, slide, patient, grade, and recall, precision and dice as means
    over the tumour classes. The baseline also has the segmentations that are not refined, which are
    the same for all variants of a seed.
    """
    tables = []
    for run in scored:
        opened = open_run(run.folder, slides_must_exist=False)
        scores = pd.read_csv(scores_file(run.folder), dtype={"slide": str, "grade": str})
        names = {"refined": run.variant} | (UNREFINED if run.variant == baseline else {})
        scores = scores[scores["variant"].isin(list(names))]
        keys = ["variant", "slide", "grade"]
        table = scores.groupby(keys, as_index=False)[["recall", "precision", "dice"]].mean()
        rows = {row.name: row for row in opened.cohort.slides}
        slides = [rows[name] for name in table["slide"]]
        # Names of slides and of patients may occur in several cohorts.
        cohorts = [str(row.slide.parent) for row in slides]
        patients = [row.patient or row.name for row in slides]
        table = table.assign(
            seed=run.seed,
            variant=table["variant"].map(names),
            cohort=cohorts,
            patient=[":".join(pair) for pair in zip(cohorts, patients, strict=True)],
        )
        tables.append(table)
    columns = ["seed", "variant", "cohort", "slide", "patient", "grade"]
    columns += ["recall", "precision", "dice"]
    return pd.concat(tables)[columns] if tables else pd.DataFrame(columns=columns)


def differences(table: pd.DataFrame, variant: str, *, baseline: str) -> pd.DataFrame:
    """Dice of a variant minus the baseline's, one row per seed and slide that both have.

    Columns: seed, patient, difference.
    """
    keys = ["seed", "patient", "slide"]
    one, other = (table[table["variant"] == name] for name in (variant, baseline))
    both = one.merge(other, on=keys, suffixes=("", "_baseline"))
    return both.assign(difference=both["dice"] - both["dice_baseline"])[
        ["seed", "patient", "difference"]
    ]


def summary_rows(table: pd.DataFrame, variants: Sequence[str], *, baseline: str) -> list[list[str]]:
    """Cells of study.md, one row per variant.

    They are the name, mean Dice, difference with its interval, share of slides that are better, and
    mean Dice per seed.
    """
    seeds = sorted(table["seed"].unique())
    rows = []
    for variant in variants:
        scores = table[table["variant"] == variant]
        if scores.empty:
            continue
        by_seed = scores.groupby("seed")["dice"].mean()
        cells = [f"{by_seed[seed]:.4f}" if seed in by_seed else "" for seed in seeds]
        paired = differences(table, variant, baseline=baseline)
        difference, better = "", ""
        if variant != baseline and len(paired):
            interval = bootstrap_interval(paired["difference"], paired["patient"])
            mean = paired["difference"].mean()
            difference = f"{mean:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
            better = f"{np.mean(paired['difference'] > 0):.0%}"
        rows.append([variant, f"{scores['dice'].mean():.4f}", difference, better, *cells])
    return rows


def write_study(
    out: Path,
    scored: Sequence[Scored],
    *,
    baseline: str,
    changes: Mapping[str, Sequence[str]],
    base: str,
    command: str,
) -> None:
    """Writes study.csv and study.md to ``out``.

    Args:
        scored: the finished runs.
        changes: changes of the recipe ``base`` by variant, in the order of the rows.
    """
    table = study_table(scored, baseline=baseline)
    with replacing(out / "study.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f")
    seeds = sorted(table["seed"].unique())
    header = ["variant", "Dice", "difference [95 %]", "better", *(f"seed {s}" for s in seeds)]
    rows = summary_rows(table, [*UNREFINED.values(), *changes], baseline=baseline)
    lines = [
        "# Effect of the refinement stage's options",
        "",
        f"    {command}",
        "",
        f"Dice on the test slides of recipe `{base}`: the mean over all slides and seeds "
        f"({table[['seed', 'slide']].drop_duplicates().shape[0]} pairs), and per seed. "
        f"difference: to `{baseline}`, by slide at the same seed, with the 95 % interval of "
        "10 000 bootstrap samples of patients (a patient's slides and seeds stay together). "
        "better: share of slides with a difference above 0.",
        "",
        markdown_table(header, rows),
        "",
        *(f"- {name}: {_described(changes[name])}" for name in changes),
        "",
        "Seconds of training, without reused stages:",
        "",
        *_seconds(scored),
    ]
    write_text(out / "study.md", "\n".join(lines) + "\n")


def _described(changes: Sequence[str]) -> str:
    return ", ".join(f"`{change}`" for change in changes) or "the unchanged recipe"


def _seconds(scored: Sequence[Scored]) -> list[str]:
    lines = []
    for run in scored:
        seconds = open_run(run.folder, slides_must_exist=False).seconds()
        parts = ", ".join(f"{stage} {value:.0f}" for stage, value in seconds.items())
        lines.append(f"- seed {run.seed}, {run.variant}: {parts}")
    return lines
