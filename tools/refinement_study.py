"""Measures each option of the refinement stage against the same baseline, over several seeds.

    h2g phantom cohort
    python tools/refinement_study.py cohort/cohort.csv --out study --seeds 0 1 2

Every seed has one run folder per variant, DIR/seed_S/VARIANT. The baseline is the unchanged recipe,
and the other variants change only the refinement stage. The classifier, its folds and the heatmaps
are made once per seed and reused. Each run is scored on the test slides. Rerun the command after an
interruption; finished runs are skipped. The tables DIR/study.csv and study.md are written after
every run. Give one COHORT.csv for all seeds, or one per seed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refinement_study_tables import Scored, scores_file, write_study

CROSS_FIT = "refinement.cross_fit=3"
CROSS_ENTROPY = "refinement.loss=dice-crossentropy"
NOISE = (
    "refinement.augmentation.heatmap_noise=1.0",
    "refinement.augmentation.heatmap_shift=0.5",
)
BASELINE = "baseline"
VARIANTS: dict[str, tuple[str, ...]] = {
    BASELINE: (),
    "cross-fit": (CROSS_FIT,),
    "dice-crossentropy": (CROSS_ENTROPY,),
    "heatmap-noise": NOISE,
    "cosine": ("refinement.schedule=cosine",),
    "all": (CROSS_FIT, CROSS_ENTROPY, *NOISE),
}


@dataclass(frozen=True)
class StudyRun:
    """One variant at one seed.

    Attributes:
        overrides: changes of the recipe, ``key=value``.
        reused: stage folders of other runs, in the order in which they are reused.
    """

    seed: int
    variant: str
    cohort: Path
    folder: Path
    overrides: tuple[str, ...]
    reused: tuple[Path, ...]


def plan(
    cohorts: Sequence[Path],
    seeds: Sequence[int],
    out: Path,
    *,
    variants: Sequence[str] = tuple(VARIANTS),
    overrides: Sequence[str] = (),
) -> list[StudyRun]:
    """The runs in order; the baseline is always one of them.

    Args:
        cohorts: one for all seeds, or one per seed.
        overrides: changes of the recipe of all runs.
    """
    if len(cohorts) not in {1, len(seeds)}:
        raise ValueError(
            f"{len(cohorts)} cohorts for {len(seeds)} seeds. Give one cohort, or one per seed"
        )
    chosen = [name for name in VARIANTS if name == BASELINE or name in variants]
    runs = []
    for place, seed in enumerate(seeds):
        for name in chosen:
            folders = {other: out / f"seed_{seed}" / other for other in chosen}
            runs.append(
                StudyRun(
                    seed=seed,
                    variant=name,
                    cohort=cohorts[place % len(cohorts)],
                    folder=folders[name],
                    overrides=(f"seed={seed}", *overrides, *VARIANTS[name]),
                    reused=_reused(name, chosen, folders),
                )
            )
    return runs


def _reused(name: str, chosen: Sequence[str], folders: dict[str, Path]) -> tuple[Path, ...]:
    """The stage folders that a variant reuses.

    The classifier is the baseline's. Folds and heatmaps are those of the first variant with the
    same cross-fitting.
    """
    if name == BASELINE:
        return ()
    is_cross_fit = CROSS_FIT in VARIANTS[name]
    first = next(other for other in chosen if (CROSS_FIT in VARIANTS[other]) == is_cross_fit)
    reused = [folders[BASELINE] / "patch"]
    if first != name and is_cross_fit:
        reused.append(folders[first] / "patch" / "folds")
    if first != name:
        reused.append(folders[first] / "heatmaps")
    return tuple(reused)


def commands(run: StudyRun, base: str, jobs: int) -> list[list[str]]:
    """Arguments of the h2g commands that train and score a run."""
    train = ["train", str(run.cohort), "--recipe", base, "--out", str(run.folder)]
    train += [word for override in run.overrides for word in ("--set", override)]
    train += [word for folder in run.reused for word in ("--reuse-stage", str(folder))]
    evaluate = ["evaluate", str(run.folder), "--split", "test", "--workers", str(jobs)]
    return [[*train, "--jobs", str(jobs)], evaluate]


def make(run: StudyRun, base: str, jobs: int) -> bool:
    """Trains and scores one run; False if one of them fails."""
    return run_h2g(commands(run, base, jobs))


def run_h2g(commands: Sequence[Sequence[str]]) -> bool:
    """Runs h2g with each list of arguments in its own process, until one fails; False if so."""
    h2g = Path(sys.executable).with_name("h2g")
    for arguments in commands:
        print(f"$ h2g {shlex.join(arguments)}", flush=True)
        if subprocess.run([str(h2g), *arguments]).returncode:
            return False
    return True


def is_done(run: StudyRun) -> bool:
    """Whether the run is scored with its current network."""
    model, scores = run.folder / "refinement" / "model.keras", scores_file(run.folder)
    if not (model.is_file() and scores.is_file()):
        return False
    return scores.stat().st_mtime >= model.stat().st_mtime


def study(runs: Sequence[StudyRun], out: Path, base: str, jobs: int) -> list[StudyRun]:
    """Makes the unfinished runs and writes the tables after each; returns the runs that failed."""
    for number, run in enumerate(runs, start=1):
        head = f"[{number}/{len(runs)}] seed {run.seed}, {run.variant}"
        if is_done(run):
            print(f"{head}: already finished", flush=True)
            continue
        print(f"{head}: starts at {time.strftime('%H:%M:%S')}", flush=True)
        start = time.perf_counter()
        succeeded = make(run, base, jobs)
        seconds = time.perf_counter() - start
        print(f"{head}: {'done' if succeeded else 'FAILED'} in {seconds:.0f} s", flush=True)
        write_tables(runs, out, base)
    write_tables(runs, out, base)
    return [run for run in runs if not is_done(run)]


def write_tables(runs: Sequence[StudyRun], out: Path, base: str) -> None:
    scored = [Scored(run.seed, run.variant, run.folder) for run in runs if is_done(run)]
    changes = {run.variant: VARIANTS[run.variant] for run in runs}
    command = shlex.join(["python", "tools/refinement_study.py", *sys.argv[1:]])
    write_study(out, scored, baseline=BASELINE, changes=changes, base=base, command=command)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cohorts", nargs="+", type=Path, metavar="COHORT.csv")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--base", default="demo", metavar="RECIPE", help="name or YAML file")
    parser.add_argument("--variants", nargs="+", choices=[*VARIANTS], default=[*VARIANTS])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    try:
        runs = plan(
            arguments.cohorts,
            arguments.seeds,
            arguments.out,
            variants=arguments.variants,
            overrides=arguments.overrides,
        )
    except ValueError as error:
        parser.error(str(error))
    for run in runs:
        reused = ", ".join(str(folder.relative_to(arguments.out)) for folder in run.reused)
        print(f"seed {run.seed}, {run.variant}: reuses {reused or 'nothing'}")
    failed = study(runs, arguments.out, arguments.base, arguments.jobs)
    print((arguments.out / "study.md").read_text("utf-8"))
    if failed:
        names = ", ".join(f"seed {run.seed} {run.variant}" for run in failed)
        sys.exit(f"refinement_study: {names} failed. See the messages above.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
