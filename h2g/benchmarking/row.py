"""A row of the runtime table: its settings and its result."""

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

# Phases besides the networks.
PREPARING = ("read", "tissue", "wait")
FINISHING = ("stitch", "write", "total")


def phases(seconds: Seconds) -> dict[str, float | None]:
    """Seconds of each phase by column name; None if the engine does not report it."""
    seconds_by_phase = {
        "read": seconds.read,
        "tissue": seconds.tissue,
        "wait": seconds.waiting,
        **seconds.networks,
        "stitch": seconds.stitching,
        "write": seconds.writing,
        "total": seconds.total,
    }
    return {name: None if math.isnan(value) else value for name, value in seconds_by_phase.items()}


class Choice(Frozen):
    """One engine on one device at one precision.

    Attributes:
        model: run folder or bundle.
        patches: as ``h2g predict --patches``.
    """

    model: Path
    engine: str
    device: str
    precision: str
    patches: str = "all"

    @property
    def label(self) -> str:
        patches = "" if self.patches == "all" else f" {self.patches}"
        return f"{self.engine} {self.device} {self.precision}{patches}"


class RowSettings(Frozen):
    """Settings of one row.

    Attributes:
        model_sha256: hash of each network file by name; a changed file makes a new row.
        slide_bytes: size of the slide's file; a changed size makes a new row.
        mpp: um/px of level 0; None takes the slide's own.
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
        """A key that identifies the settings, the machine and the packages."""
        parts = [self.model_dump(mode="json"), hardware.model_dump(mode="json"), versions]
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


class RowResult(Frozen):
    """Result of one row.

    Attributes:
        reason: why there is no time, or "".
        device, precision: as reported by the engine.
        patches: number of patches that were classified.
        open_s: loading libraries and networks, before the repeats; None if each repeat does it.
        seconds: phases of each repeat, named by :func:`phases`.
        peak_memory_mib: peak memory of the row's process; None if the system does not report it.
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
        """Patches per second of the whole prediction, including refinement and writing."""
        total = self.mean_s["total"]
        return self.patches / total if self.patches and total else None

    @property
    def peak_memory_text(self) -> str:
        """Peak memory in whole MiB, or a dash if it is unknown."""
        return "–" if self.peak_memory_mib is None else f"{self.peak_memory_mib:.0f}"

    @property
    def mean_s(self) -> dict[str, float | None]:
        return {phase: mean(self.each(phase)) for phase in self.phases}

    @property
    def sd_s(self) -> dict[str, float | None]:
        return {phase: sd(self.each(phase)) for phase in self.phases}

    def each(self, *phases: str) -> list[float] | None:
        """The sum of some phases in each repeat; None if one of them is unknown."""
        return sum_phases(self.seconds, *phases)


def sum_phases(repeats: Sequence[Mapping[str, float | None]], *phases: str) -> list[float] | None:
    """The sum of some phases in each repeat; None if one of them is unknown."""
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
    """Mean and SD as ``1.23 ± 0.04``, or a dash if there are no values."""
    middle, spread = mean(values), sd(values)
    if middle is None:
        return "–"
    return f"{middle:.2f} ± {spread:.2f}" if spread is not None else f"{middle:.2f}"


def sd(values: list[float] | None) -> float | None:
    """Sample standard deviation (ddof 1); None for fewer than two values."""
    return statistics.stdev(values) if values and len(values) > 1 else None
