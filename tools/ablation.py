"""The H2G-Net paper's ablation: any of its nine designs on one cohort, beside its Tables 1 and 2.

    h2g phantom cohort
    python tools/ablation.py cohort/cohort.csv --out ablation --scale small

Every design is a run folder DIR/NAME of the recipe of that name, trained, then scored on the test
slides. Stages that two designs make in the same way are made once. Each design has a process of its
own; one that fails is a row with the reason. Stopped, the same command goes on; a second call does
what is missing or failed. After every design the tables are written: DIR/ablation.md, ablation.csv
and comparison/, which is what 'h2g compare' writes. docs/ablation.md says what the scales are.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

from ablation_plan import (
    SCALES,
    STAGE_OF_FOLDER,
    Planned,
    design_names,
    first_choice,
    plan_designs,
    plan_lines,
    scale_overrides,
)
from ablation_report import is_done, read_record, write_record, write_report

from h2g.errors import H2GError
from h2g.folders.cohort import SPLITS, read_cohort
from h2g.folders.run import Run, open_run, start_run


def run_designs(
    planned: Sequence[Planned],
    out: Path,
    *,
    title: str,
    attempt: Callable[[Planned], str],
) -> list[str]:
    """Trains and scores what is not done yet, and writes the tables after every design.

    Args:
        title: what was done, for the report.
        attempt: does one design; empty, or why it failed.
    Returns:
        Names of the designs that failed.
    """
    designs = [(each.recipe, each.folder) for each in planned]
    for number, design in enumerate(planned, start=1):
        head = f"[{number}/{len(planned)}] {design.name}"
        if is_done(design.folder):
            print(f"{head}: done before", flush=True)
            continue
        print(f"{head}: begins at {time.strftime('%H:%M:%S')}", flush=True)
        start = time.perf_counter()
        reason = attempt(design)
        if reason:
            record = read_record(design.folder)
            write_record(design.folder, replace(record, status="failed", reason=reason))
        took = f"in {time.perf_counter() - start:.0f} s"
        print(f"{head}: {f'failed {took}. {reason}' if reason else f'done {took}'}", flush=True)
        write_report(out, designs, title=title)
    write_report(out, designs, title=title)
    return [each.name for each in planned if not is_done(each.folder)]


def in_own_process(design: Planned) -> str:
    """Does one design in a process that gives TensorFlow's memory back and may crash; empty, or why
    it failed."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(try_design, design).result()
        except BrokenProcessPool:
            return "Its process was killed, as a rule for want of memory."


def try_design(design: Planned) -> str:
    """Trains and scores a design; empty, or why it failed."""
    from h2g.cli.main import set_logging

    set_logging(verbose=False, quiet=False)
    try:
        train_and_score(design)
    except H2GError as error:
        return str(error)
    except Exception as error:
        # A bug in one design must not cost the others.
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return ""


def train_and_score(design: Planned) -> None:
    """All stages of a design and its test scores; what was done goes into its record.

    Raises:
        H2GError: what h2g's own commands refuse, or a test slide that cannot be scored.
    """
    run = open_run(design.folder)
    from h2g.models.startup import start_keras

    start_keras()
    from h2g.engines.keras_engine import open_keras_engine
    from h2g.stages.evaluate_run import evaluate_run
    from h2g.stages.run_chain import train_run

    record = replace(read_record(run.path), status="begun", reason="")
    taken = take_over(run, design.sources)
    record = replace(
        record,
        reused=record.reused | {folder: source.name for folder, source in taken.items()},
        reused_seconds=record.reused_seconds
        | {folder: stage_seconds(source, folder) for folder, source in taken.items()},
    )
    write_record(run.path, record)
    train_run(run, jobs=design.jobs)
    evaluation = evaluate_run(run, "test", lambda: open_keras_engine(run), threads=design.jobs)
    if evaluation.failed:
        raise H2GError(" ".join(f"{slide.slide}: {slide.reason}" for slide in evaluation.failed))
    ours, papers = count_parameters(run)
    write_record(run.path, replace(record, status="done", parameters=ours, paper_parameters=papers))


def take_over(run: Run, sources: Mapping[str, Sequence[Path]]) -> dict[str, Path]:
    """Copies the stages that an earlier design has finished and the run has not begun; where each
    is from, by folder."""
    from h2g.stages.run_chain import is_finished, reuse_stage

    finished = {
        folder: [path for path in paths if is_finished(open_run(path), STAGE_OF_FOLDER[folder])]
        for folder, paths in sources.items()
    }
    chosen = first_choice(finished)
    if (run.path / "patch").exists():
        # A classifier of its own makes its own heatmaps.
        chosen.pop("heatmaps", None)
    taken = {}
    for folder, source in chosen.items():
        if not (run.path / folder).exists():
            reuse_stage(run, source / folder)
            taken[folder] = source
    return taken


def stage_seconds(source: Path, folder: str) -> float:
    """What a stage of a run took where it was made, if that run had taken it over itself, too."""
    handed_on = read_record(source).reused_seconds
    return handed_on.get(folder) or open_run(source).seconds()[STAGE_OF_FOLDER[folder]]


def count_parameters(run: Run) -> tuple[dict[str, int], dict[str, int]]:
    """Parameters by stage: of the networks that were kept, and as the paper prints them."""
    from h2g.models.deployment import load_network
    from h2g.models.registry import find_architecture

    models = {"patch": run.recipe.patch, "refinement": run.recipe.refinement}
    stages = {stage: settings.model for stage, settings in models.items() if settings is not None}
    ours = {stage: int(load_network(run.model_file(stage)).count_params()) for stage in stages}
    papers = {s: find_architecture(name).paper_parameters for s, name in stages.items()}
    return ours, {stage: count for stage, count in papers.items() if count is not None}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cohort", type=Path, help="the cohort table")
    parser.add_argument("--out", type=Path, required=True, help="folder of all runs and tables")
    parser.add_argument("--designs", nargs="+", default=design_names(), metavar="NAME")
    parser.add_argument("--scale", choices=SCALES, default="paper")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="default: one a core")
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE",
        help="change every recipe that has the section, e.g. patch.weights=none",
    )  # fmt: skip
    arguments = parser.parse_args()
    out: Path = arguments.out
    overrides = scale_overrides(arguments.scale, out, seed=arguments.seed, more=arguments.overrides)
    planned = plan_designs(arguments.designs, out, overrides=overrides, jobs=arguments.jobs)
    cohort = read_cohort(arguments.cohort)
    for design in planned:
        # All of them first: a folder of other recipes or slides is told before hours of training.
        start_run(design.folder, cohort, design.recipe)
    print("\n".join(plan_lines(planned)), flush=True)
    slides = ", ".join(f"{len(cohort.split(split))} {split}" for split in SPLITS)
    changes = "".join(f", {text}" for text in arguments.overrides)
    title = f"scale {arguments.scale}, seed {arguments.seed}{changes}; slides: {slides}"
    failed = run_designs(planned, out, title=title, attempt=in_own_process)
    print(f"tables: {out / 'ablation.md'}")
    if failed:
        print(f"Failed: {', '.join(failed)}; run the same command to try again.", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except H2GError as error:
        print(f"ablation: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("ablation: stopped; run the same command again to go on.", file=sys.stderr)
        sys.exit(130)
