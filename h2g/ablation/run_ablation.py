"""Trains and scores designs of the H2G-Net paper on one cohort, and writes its Tables 1 and 2.

Each design is a run folder OUT/NAME with the recipe of that name. Stages that designs share are
made once. Each design runs in its own process; one that fails gets a row with the reason. The
tables are written after every design.
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
    """Trains and scores designs on a cohort and writes the tables; skips finished designs.

    Args:
        out: folder for ablation.md, ablation.csv, comparison/ and one run folder per design.
        designs: names of recipes; empty takes all nine.
        scale: "paper" or "small"; see docs/ablation.md.
        overrides: ``KEY=VALUE`` changes to every recipe that has the section.
        jobs: number of processes or threads that read slides.
    Returns:
        The table of ablation.csv, one row per design: design, status, remark, scores.
    Raises:
        WrongUseError: a design is unknown, or needs another one.
        H2GError: the cohort is wrong, or a run folder has another recipe or other slides.
    """
    changes = scale_overrides(scale, out, seed=seed, more=overrides)
    planned = plan_designs(designs or design_names(), out, overrides=changes, jobs=jobs)
    cohort = read_cohort(cohort_file)
    for design in planned:
        # Done for all designs first, so that a folder with another recipe or other slides is
        # reported before hours of training.
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
    """Trains and scores the unfinished designs, and writes the tables after each.

    Args:
        title: scale, seed and slides, for the report.
        attempt: trains and scores one design; returns "" or the reason why it failed.
    Returns:
        The table of ablation.csv.
    """
    designs = [(each.recipe, each.folder) for each in planned]
    for number, design in enumerate(planned, start=1):
        head = f"[{number}/{len(planned)}] {design.name}"
        if is_done(design.folder):
            logger.info("%s: already done", head)
            continue
        logger.info("%s: started at %s", head, time.strftime("%H:%M:%S"))
        start = time.perf_counter()
        reason = attempt(design)
        if reason:
            record = read_record(design.folder)
            write_record(design.folder, replace(record, status="failed", reason=reason))
        duration = f"in {time.perf_counter() - start:.0f} s"
        logger.info(
            "%s: %s", head, f"failed {duration}. {reason}" if reason else f"done {duration}"
        )
        write_report(out, designs, title=title)
    return write_report(out, designs, title=title)


def in_own_process(design: Planned) -> str:
    """Trains and scores a design in its own process, which may crash and frees its memory.

    Returns:
        "" or the reason why it failed.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    level = logging.getLogger("h2g").getEffectiveLevel()
    process = context.Process(target=_send_outcome, args=(sender, design, level))
    process.start()
    sender.close()  # so that recv() ends when the process ends
    try:
        return receiver.recv()
    except EOFError:
        return (
            "Its process was killed, probably because memory ran out. Free some and run it again."
        )
    except BaseException:
        process.terminate()
        raise
    finally:
        process.join()


def _send_outcome(sender: Connection, design: Planned, level: int) -> None:
    """Runs in the process of a design; sends "" or the reason why it failed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("h2g").setLevel(level)
    with contextlib.suppress(KeyboardInterrupt):
        sender.send(try_design(design))


def try_design(design: Planned) -> str:
    """Trains and scores a design; returns "" or the reason why it failed."""
    try:
        train_and_score(design)
    except H2GError as error:
        return str(error)
    except Exception as error:
        # A bug in one design must not stop the others.
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return ""


def train_and_score(design: Planned) -> None:
    """Runs all stages of a design, scores it on the test slides and writes its record.

    Raises:
        H2GError: a stage cannot run, or a test slide cannot be scored.
    """
    run = open_run(design.folder)
    from h2g.models.startup import start_keras

    start_keras()

    record = replace(read_record(run.path), status="begun", reason="")
    copied = take_over(run, design.sources)
    record = replace(
        record,
        reused=record.reused | {folder: source.name for folder, source in copied.items()},
        reused_seconds=record.reused_seconds
        | {folder: stage_seconds(source, folder) for folder, source in copied.items()},
    )
    write_record(run.path, record)
    train_run(run, resources=Resources(jobs=design.jobs))
    evaluation = evaluate_run(run, "test", threads=design.jobs)
    if evaluation.failed:
        raise H2GError(" ".join(f"{slide.slide}: {slide.reason}" for slide in evaluation.failed))
    ours, paper = count_parameters(run)
    write_record(run.path, replace(record, status="done", parameters=ours, paper_parameters=paper))


def take_over(run: Run, sources: Mapping[str, Sequence[Path]]) -> dict[str, Path]:
    """Copies stages that earlier designs have finished, up to the first that the run must make.

    Args:
        sources: run folders by the stage's folder, in the order of the stages.
    Returns:
        The run folder from which each stage was copied, by the stage's folder.
    """
    stages = {kind.folder: kind for kind in chain(run.recipe)}
    finished = {
        folder: [path for path in paths if stages[folder].is_finished(open_run(path))]
        for folder, paths in sources.items()
    }
    chosen = choose_sources(finished)
    copied = {}
    for folder in finished:
        # Stages that depend on one that the run makes itself cannot be copied.
        if folder not in chosen or (run.path / folder).exists():
            break
        reuse_stage(run, chosen[folder] / folder)
        copied[folder] = chosen[folder]
    return copied


def stage_seconds(source: Path, folder: str) -> float:
    """Original time of a stage, even if the run itself has copied it."""
    run = open_run(source)
    (stage,) = (kind.name for kind in chain(run.recipe) if kind.folder == folder)
    return read_record(source).reused_seconds.get(folder) or run.seconds()[stage]


def count_parameters(run: Run) -> tuple[dict[str, int], dict[str, int]]:
    """Numbers of parameters by stage: of the saved networks, and as printed in the paper."""
    from h2g.models.deployment import load_network
    from h2g.models.registry import find_architecture

    names = network_names(run.recipe)
    stages = {name: NETWORKS[name].architecture(run.recipe) for name in names}
    ours = {stage: int(load_network(run.model_file(stage)).count_params()) for stage in stages}
    paper = {s: find_architecture(name).paper_parameters for s, name in stages.items()}
    return ours, {stage: count for stage, count in paper.items() if count is not None}
