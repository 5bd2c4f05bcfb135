"""Trains and scores designs of the H2G-Net paper on one cohort, and writes its Tables 1 and 2.

Every design is a run folder OUT/NAME of the recipe of that name. Stages that two designs make in
the same way are made once. Each design has a process of its own; one that fails is a row with the
reason. The tables are written after every design.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pandas as pd

from h2g.ablation.ablation_report import write_report
from h2g.ablation.design_plan import (
    Planned,
    choose_sources,
    design_names,
    plan_designs,
    plan_lines,
)
from h2g.ablation.design_record import is_done, read_record, write_record
from h2g.ablation.scales import scale_overrides
from h2g.errors import H2GError
from h2g.folders.cohort import SPLITS, read_cohort
from h2g.folders.run import Run, open_run, start_run
from h2g.stages.chain import NETWORKS, chain, network_names
from h2g.stages.evaluate_run import evaluate_run
from h2g.stages.run_chain import reuse_stage, train_run
from h2g.training.resources import Resources

logger = logging.getLogger(__name__)


def run_ablation(
    cohort_file: Path,
    out: Path,
    *,
    designs: Sequence[str] = (),
    scale: str = "paper",
    seed: int = 0,
    overrides: Sequence[str] = (),
    jobs: int = 1,
) -> pd.DataFrame:
    """Trains and scores designs on a cohort and writes the tables; what is done is kept.

    Args:
        out: gets ablation.md, ablation.csv, comparison/ and a run folder per design.
        designs: names of recipes; empty is all nine.
        scale: "paper" or "small", see docs/ablation.md.
        overrides: ``KEY=VALUE`` changes of every recipe that has the section.
        jobs: processes or threads that read slides at once.
    Returns:
        The table of ablation.csv, one row per design: design, status, remark, scores.
    Raises:
        WrongUseError: an unknown design, or one that needs another one.
        H2GError: a wrong cohort, or run folders of other recipes or slides.
    """
    changes = scale_overrides(scale, out, seed=seed, more=overrides)
    planned = plan_designs(designs or design_names(), out, overrides=changes, jobs=jobs)
    cohort = read_cohort(cohort_file)
    for design in planned:
        # All of them first: a folder of other recipes or slides is reported before hours of
        # training.
        start_run(design.folder, cohort, design.recipe)
    logger.info("%s", "\n".join(plan_lines(planned)))
    slides = ", ".join(f"{len(cohort.split(split))} {split}" for split in SPLITS)
    changed = "".join(f", {text}" for text in overrides)
    title = f"scale {scale}, seed {seed}{changed}; slides: {slides}"
    return run_designs(planned, out, title=title, attempt=in_own_process)


def run_designs(
    planned: Sequence[Planned],
    out: Path,
    *,
    title: str,
    attempt: Callable[[Planned], str],
) -> pd.DataFrame:
    """Trains and scores what is not done yet, and writes the tables after every design.

    Args:
        title: what was done, for the report.
        attempt: does one design; gives "", or why it failed.
    Returns:
        The table of ablation.csv.
    """
    designs = [(each.recipe, each.folder) for each in planned]
    for number, design in enumerate(planned, start=1):
        head = f"[{number}/{len(planned)}] {design.name}"
        if is_done(design.folder):
            logger.info("%s: done before", head)
            continue
        logger.info("%s: begins at %s", head, time.strftime("%H:%M:%S"))
        start = time.perf_counter()
        reason = attempt(design)
        if reason:
            record = read_record(design.folder)
            write_record(design.folder, replace(record, status="failed", reason=reason))
        took = f"in {time.perf_counter() - start:.0f} s"
        logger.info("%s: %s", head, f"failed {took}. {reason}" if reason else f"done {took}")
        write_report(out, designs, title=title)
    return write_report(out, designs, title=title)


def in_own_process(design: Planned) -> str:
    """Does one design in a process that gives TensorFlow's memory back and may crash.

    Returns:
        "", or why it failed.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    level = logging.getLogger("h2g").getEffectiveLevel()
    process = context.Process(target=_send_outcome, args=(sender, design, level))
    process.start()
    sender.close()  # so that the end of the process ends the waiting
    try:
        return receiver.recv()
    except EOFError:
        return "Its process was killed, as a rule for want of memory."
    except BaseException:
        process.terminate()
        raise
    finally:
        process.join()


def _send_outcome(sender: Connection, design: Planned, level: int) -> None:
    """The process of a design: sends "", or why it failed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("h2g").setLevel(level)
    with contextlib.suppress(KeyboardInterrupt):
        sender.send(try_design(design))


def try_design(design: Planned) -> str:
    """Trains and scores a design; gives "", or why it failed."""
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

    record = replace(read_record(run.path), status="begun", reason="")
    taken = take_over(run, design.sources)
    record = replace(
        record,
        reused=record.reused | {folder: source.name for folder, source in taken.items()},
        reused_seconds=record.reused_seconds
        | {folder: stage_seconds(source, folder) for folder, source in taken.items()},
    )
    write_record(run.path, record)
    train_run(run, resources=Resources(jobs=design.jobs))
    evaluation = evaluate_run(run, "test", threads=design.jobs)
    if evaluation.failed:
        raise H2GError(" ".join(f"{slide.slide}: {slide.reason}" for slide in evaluation.failed))
    ours, papers = count_parameters(run)
    write_record(run.path, replace(record, status="done", parameters=ours, paper_parameters=papers))


def take_over(run: Run, sources: Mapping[str, Sequence[Path]]) -> dict[str, Path]:
    """Copies the first stages that earlier designs have finished and the run has not begun.

    Args:
        sources: run folders by the stage's folder, in the order of the stages.
    Returns:
        The run folder that each stage was taken from, by the stage's folder.
    """
    stages = {kind.folder: kind for kind in chain(run.recipe)}
    finished = {
        folder: [path for path in paths if stages[folder].is_finished(open_run(path))]
        for folder, paths in sources.items()
    }
    chosen = choose_sources(finished)
    taken = {}
    for folder in finished:
        # What follows from a stage that the run makes itself, it makes itself, too.
        if folder not in chosen or (run.path / folder).exists():
            break
        reuse_stage(run, chosen[folder] / folder)
        taken[folder] = chosen[folder]
    return taken


def stage_seconds(source: Path, folder: str) -> float:
    """What a stage of a run took where it was made, if that run had taken it over itself, too."""
    run = open_run(source)
    (stage,) = (kind.name for kind in chain(run.recipe) if kind.folder == folder)
    return read_record(source).reused_seconds.get(folder) or run.seconds()[stage]


def count_parameters(run: Run) -> tuple[dict[str, int], dict[str, int]]:
    """Parameters by stage: of the networks that were kept, and as the paper prints them."""
    from h2g.models.deployment import load_network
    from h2g.models.registry import find_architecture

    names = network_names(run.recipe)
    stages = {name: NETWORKS[name].architecture(run.recipe) for name in names}
    ours = {stage: int(load_network(run.model_file(stage)).count_params()) for stage in stages}
    papers = {s: find_architecture(name).paper_parameters for s, name in stages.items()}
    return ours, {stage: count for stage, count in papers.items() if count is not None}
