"""A row of the runtime table: what is to be timed, and what came out."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from h2g.hardware import Hardware
from h2g.recipes.base import Frozen
from h2g.results.slide_state import Seconds

# What is timed besides the networks.
PREPARING = ("read", "tissue", "wait")
FINISHING = ("stitch", "write", "total")


def phases(seconds: Seconds) -> dict[str, float | None]:
    """Where a slide's time went, by the names of columns; None where the engine does not tell."""
    found = {
        "read": seconds.read,
        "tissue": seconds.tissue,
        "wait": seconds.waiting,
        **seconds.networks,
        "stitch": seconds.stitching,
        "write": seconds.writing,
        "total": seconds.total,
    }
    return {name: None if math.isnan(value) else value for name, value in found.items()}


class Choice(Frozen):
    """One engine on one device at one precision.

    Attributes:
        model: run folder or bundle.
    """

    model: Path
    engine: str
    device: str
    precision: str

    @property
    def label(self) -> str:
        return f"{self.engine} {self.device} {self.precision}"


class RowSettings(Frozen):
    """What is timed, and how often.

    Attributes:
        model_sha256: of the network files by name; where it changes the row is another.
        slide_bytes: size of the slide's file, for the same reason.
        mpp: um/px of level 0 in place of the slide's own.
    """

    choice: Choice
    model_sha256: dict[str, str]
    model_mib: float
    slide: Path
    slide_bytes: int
    mpp: float | None
    threads: int
    batch_size: int
    repeats: int
    warm_ups: int

    def key(self, hardware: Hardware, versions: dict[str, str]) -> str:
        """The same for the same measurement only: settings, machine and packages."""
        parts = [self.model_dump(mode="json"), hardware.model_dump(mode="json"), versions]
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


class RowResult(Frozen):
    """
    Attributes:
        reason: why there is no time, or "".
        device, precision: what the engine says it really used.
        patches: that were classified.
        open_s: loading libraries and networks, in no repeat; None where each repeat does it.
        seconds: of each repeat, as :func:`phases` names them.
        peak_memory_mib: the most that the row's process held; None where the system does not tell.
    """

    settings: RowSettings
    status: Literal["ok", "skipped", "failed"]
    reason: str = ""
    device: str | None = None
    precision: str | None = None
    patches: int | None = None
    open_s: float | None = None
    seconds: tuple[dict[str, float | None], ...] = ()
    peak_memory_mib: float | None = None
    hardware: Hardware | None = None
    versions: dict[str, str] = {}

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that were timed, in the order in which they run."""
        fixed = {*PREPARING, *FINISHING}
        return tuple(name for repeat in self.seconds[:1] for name in repeat if name not in fixed)

    @property
    def phases(self) -> tuple[str, ...]:
        return *PREPARING, *self.networks, *FINISHING

    @property
    def patches_per_s(self) -> float | None:
        """Of the whole slide: reading, refinement and writing included."""
        total = self.mean_s["total"]
        return self.patches / total if self.patches and total else None

    @property
    def peak_memory_text(self) -> str:
        """Whole MiB, or a dash where it is not known."""
        return "–" if self.peak_memory_mib is None else f"{self.peak_memory_mib:.0f}"

    @property
    def mean_s(self) -> dict[str, float | None]:
        return {phase: mean(self.each(phase)) for phase in self.phases}

    @property
    def sd_s(self) -> dict[str, float | None]:
        return {phase: sd(self.each(phase)) for phase in self.phases}

    def each(self, *phases: str) -> list[float] | None:
        """The sum of some phases in each repeat; None where one of them is not known."""
        return sum_phases(self.seconds, *phases)


def sum_phases(repeats: Sequence[Mapping[str, float | None]], *phases: str) -> list[float] | None:
    """The sum of some phases in each repeat; None where one of them is not known."""
    sums: list[float] = []
    for repeat in repeats:
        known = [seconds for phase in phases if (seconds := repeat.get(phase)) is not None]
        if len(known) < len(phases):
            return None
        sums.append(math.fsum(known))
    return sums or None


def mean(values: list[float] | None) -> float | None:
    return statistics.fmean(values) if values else None


def seconds_text(values: list[float] | None) -> str:
    """``1.23 ± 0.04``, or a dash where it is not known."""
    middle, spread = mean(values), sd(values)
    if middle is None:
        return "–"
    return f"{middle:.2f} ± {spread:.2f}" if spread is not None else f"{middle:.2f}"


def sd(values: list[float] | None) -> float | None:
    """Of the sample (ddof 1); None of fewer than two."""
    return statistics.stdev(values) if values and len(values) > 1 else None
