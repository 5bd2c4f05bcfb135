"""Generates slides in parallel processes, which stop together and leave no partial files."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from h2g.errors import H2GError
from h2g.phantom.slide import SlideOptions, make_slide


@dataclass(frozen=True)
class SlideJob:
    """A slide to generate, and its files."""

    options: SlideOptions
    slide: Path
    annotation: Path


def make_slides(
    work: Sequence[SlideJob], *, jobs: int, note: Callable[[str], None]
) -> Iterator[SlideJob]:
    """Yields each job when its slide is finished, in any order.

    With fewer slides than ``jobs``, several threads render each slide. ``note`` gets the progress
    of the current slide if slides are made one at a time.
    """
    threads = max(1, jobs // max(1, len(work)))
    if min(jobs, len(work)) < 2:
        for job in work:
            _make(job, threads, _progress_note(job.options.name, note))
            yield job
    else:
        yield from _make_in_processes(work, jobs, threads)


def _progress_note(name: str, note: Callable[[str], None]) -> Callable[[float], None]:
    return lambda share: note(f"{name} {share:.0%}")


def _make_in_processes(work: Sequence[SlideJob], jobs: int, threads: int) -> Iterator[SlideJob]:
    # Spawned, so that no lock or thread of the caller (such as TensorFlow's) is inherited.
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(
        min(jobs, len(work)), context, initializer=_start_worker, initargs=(stop,)
    )
    try:
        futures = {pool.submit(_work, job, threads): job for job in work}
        for future in as_completed(futures):
            future.result()
            yield futures[future]
    except BrokenProcessPool as error:
        raise H2GError(
            "A process that made slides was killed, most likely for lack of memory. Run the same "
            "command again with fewer --jobs."
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


_stop: Any = None  # in a worker, the event that stops all workers


def _start_worker(stop: Any) -> None:
    """Makes a worker ignore Ctrl-C, which reaches all processes.

    The parent handles it and sets the event. Workers then delete their partial files.
    """
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(job: SlideJob, threads: int) -> None:
    def on_band(share: float) -> None:
        if _stop.is_set():
            raise H2GError("Stopped.")

    _make(job, threads, on_band)


def _make(job: SlideJob, threads: int, on_band: Callable[[float], None]) -> None:
    make_slide(
        job.options,
        slide=job.slide,
        annotation=job.annotation,
        threads=threads,
        on_band=on_band,
    )
