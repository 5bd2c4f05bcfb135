"""The ratio of the shortest possible time on this machine to the time of `h2g predict`.

The bound is the CPU seconds of all parts, each measured alone in the same run, divided by the
number of cores. No command can be faster with that engine and that decoder. The command also pays
for starting Python, opening the engine, and cores that wait for each other.
"""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

from h2g.benchmarking.bare_parts import BareCost
from h2g.benchmarking.benchmark import Protocol, row_settings, time_row
from h2g.benchmarking.child import predict_command, run_child, run_module
from h2g.benchmarking.row import Choice, RowSettings
from h2g.errors import H2GError
from h2g.hardware import usable_cores
from h2g.slides.tissue_patches import FIRST_READ


@dataclass(frozen=True)
class Bound:
    """The lower bound of a prediction beside the measured command.

    Attributes:
        decode_patches_per_s: decoding alone, one thread.
        inference_patches_per_s: inference alone, all cores.
        command_...: the whole command, including start-up and writing.
        first_patch_s: from the command's start until its first patches were read.
        ratio: bound_s / command_s.
        fast_...: FAST's whole process on the same slide; None without a FAST bundle.
        ratio_to_fast: FAST's seconds divided by the command's.
    """

    engine: str
    precision: str
    cores: int
    patches: int
    tissue_cpu_s: float
    decode_cpu_s: float
    patch_cpu_s: float
    refinement_cpu_s: float
    writing_cpu_s: float
    decode_patches_per_s: float
    inference_patches_per_s: float
    bound_s: float
    bound_patches_per_s: float
    command_s: float
    command_cpu_s: float
    command_patches_per_s: float
    command_peak_mib: float
    first_patch_s: float | None
    ratio: float
    fast_s: float | None = None
    fast_patches_per_s: float | None = None
    ratio_to_fast: float | None = None


def measure(choice: Choice, protocol: Protocol, *, fast: Path | None = None) -> Bound:
    """Times the parts, then the command, then FAST.

    Args:
        choice: must be on the CPU, since CPU seconds do not include a GPU's.
        fast: a bundle with the format fast, timed once.
    Raises:
        H2GError: a run failed.
    """
    settings = row_settings(choice, protocol)
    with tempfile.TemporaryDirectory() as folder:
        bare = _bare(settings, Path(folder))
        command = run_child(
            [*_predict(settings, Path(folder) / "predictions"), "--verbose"],
            device=choice.device,
            listen_for=FIRST_READ.removeprefix("%s"),
        )
        if command.returncode != 0:
            raise H2GError(f"h2g predict ended with {command.returncode}: {command.last_words}")
        fast_s, fast_per_s = _time_fast(fast, protocol, Path(folder)) if fast else (None, None)
    cores = usable_cores()
    bound_s = bare.cpu_s / cores
    return Bound(
        engine=choice.engine,
        precision=choice.precision,
        cores=cores,
        patches=bare.patches,
        tissue_cpu_s=bare.tissue_s,
        decode_cpu_s=bare.decode_s,
        patch_cpu_s=bare.patch_s,
        refinement_cpu_s=bare.refinement_s,
        writing_cpu_s=bare.writing_s,
        decode_patches_per_s=bare.decode_patches_per_s,
        inference_patches_per_s=bare.inference_patches_per_s,
        bound_s=bound_s,
        bound_patches_per_s=bare.patches / bound_s,
        command_s=command.wall_s,
        command_cpu_s=command.cpu_s,
        command_patches_per_s=bare.patches / command.wall_s,
        command_peak_mib=command.peak_mib,
        first_patch_s=command.heard_s,
        ratio=bound_s / command.wall_s,
        fast_s=fast_s,
        fast_patches_per_s=fast_per_s,
        ratio_to_fast=fast_s / command.wall_s if fast_s else None,
    )


def _bare(settings: RowSettings, folder: Path) -> BareCost:
    child, result = run_module("h2g.benchmarking.bare_parts", settings, folder)
    if child.returncode != 0:
        label = settings.choice.label
        raise H2GError(f"{label}: the parts could not be timed alone ({child.last_words})")
    return BareCost.model_validate_json(result.read_text("utf-8"))


def _predict(settings: RowSettings, out: Path) -> list[str]:
    return predict_command(
        settings.choice,
        settings.slide,
        out,
        workers=settings.threads,
        batch_size=settings.batch_size,
        mpp=settings.mpp,
    )


def _time_fast(bundle: Path, protocol: Protocol, folder: Path) -> tuple[float, float]:
    """Seconds and patches/s of FAST."""
    choice = Choice(model=bundle, engine="fast", device="CPU", precision="float32")
    once = dataclasses.replace(protocol, repeats=1, warm_ups=0)
    result = time_row(row_settings(choice, once), folder)
    seconds, per_s = result.mean_s["total"], result.patches_per_s
    if seconds is None or per_s is None:
        raise H2GError(f"FAST: {result.status}, {result.reason}")
    return seconds, per_s
