"""FAST as a separate program: its installed versions, and the run of a text pipeline.

It is never imported, because it crashes in a process that holds TensorFlow.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from h2g.engines.engine import Probe
from h2g.errors import WrongUseError
from h2g.fast_versions import FAST_VERSIONS, FastVersion, numbers_of

VARIABLE = "H2G_FAST"
NAME = "runPipeline"
START_S = 60.0
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
FAILED = re.compile(r"Terminated with unhandled exception: (.+)")
VERSION = re.compile(r"\bv(\d+\.\d+\.\d+)\b")


@dataclass(frozen=True)
class Fast:
    """An installed FAST that starts.

    Attributes:
        runner: path of its runPipeline.
        version: e.g. ``4.15.1``.
    """

    runner: Path
    version: str

    @property
    def group(self) -> FastVersion | None:
        """The group of versions it belongs to; None if h2g was not tested with it."""
        return next((each for each in FAST_VERSIONS.values() if each.covers(self.version)), None)

    def __str__(self) -> str:
        return f"{self.version}, {_status(self)}: {self.runner}"


def installed_fasts() -> list[Fast]:
    """Every installed FAST that starts, the newest first.

    They are searched in $H2G_FAST (the program, or the environment that pip installed it into), on
    the PATH, and in ``.fast/*/`` beside h2g's own environment.
    """
    fasts = [found for found in _candidates() if isinstance(found, Fast)]
    return sorted(fasts, key=lambda fast: numbers_of(fast.version), reverse=True)


def failed_fasts() -> list[str]:
    """One sentence for each FAST that is installed but does not start."""
    return [found for found in _candidates() if isinstance(found, str)]


def need_fast(wanted: FastVersion) -> Fast:
    """The FAST that runs the bundles of a group.

    It is that of $H2G_FAST if the variable is set. Otherwise it is the tested version if that is
    installed, or else the newest of the group.

    Raises:
        WrongUseError: there is none, or $H2G_FAST names something else.
    """
    named = _named_runner()
    if named:
        fast = _start(named)
        if isinstance(fast, str):
            raise WrongUseError(fast)
        if not wanted.covers(fast.version):
            raise WrongUseError(_named_version_message(wanted, fast))
        return fast
    covered = [fast for fast in installed_fasts() if wanted.covers(fast.version)]
    if not covered:
        raise WrongUseError(_missing_version_message(wanted))
    return min(covered, key=lambda fast: fast.version != wanted.tested)


def probe() -> Probe:
    """The installed versions of FAST, and the bundles they are for."""
    found = [*map(str, installed_fasts()), *failed_fasts()]
    if not found:
        commands = [install_command(group.tested) for group in FAST_VERSIONS.values()]
        return Probe(status="missing", note="\n".join(commands))
    if os.environ.get(VARIABLE):
        found.insert(0, f"${VARIABLE} is set, so only the FAST that it names is used.")
    numbers = []
    for group in FAST_VERSIONS.values():
        with contextlib.suppress(WrongUseError):
            numbers.append(need_fast(group).version)
    if not numbers:
        return Probe(status="failed", note="\n".join(found))
    return Probe(
        {"CPU": ""}, ("float32",), versions={"FAST": ", ".join(numbers)}, note="\n".join(found)
    )


def check_device(device: str) -> None:
    """WrongUseError if a GPU is requested."""
    if device == "GPU":
        raise WrongUseError("FAST chooses its devices itself. Leave out --device.")


def install_command(version: str) -> str:
    """The command that installs a FAST beside h2g's environment."""
    return f"python -m venv .fast/{version} && .fast/{version}/bin/pip install pyfast=={version}"


def run_pipeline(
    runner: Path, pipeline: Path, variables: dict[str, str], *, timeout_s: float | None = None
) -> str | None:
    """Runs a pipeline file to its end.

    Args:
        timeout_s: time after which FAST is killed; None waits for ever.
    Returns:
        The error that FAST printed; None if it succeeded.
    """
    # Absolute, because FAST searches the networks in the folder given with the pipeline.
    command = [str(runner), str(pipeline.resolve())]
    for name, value in variables.items():
        command += [f"--{name}", value]
    try:
        process = _run(command, timeout_s)
    except subprocess.TimeoutExpired:
        return f"it did not end within {timeout_s:g} seconds"
    failure = FAILED.search(process.stdout)
    if failure:
        return failure[1].strip()
    if process.returncode:
        return f"it ended with code {process.returncode}: {_last_line(process.stdout)}"
    return None


# -- search


def _candidates() -> list[Fast | str]:
    """The FAST of every place that has one, or the reason why it does not start."""
    try:
        named = [_named_runner()]
    except WrongUseError as error:
        return [str(error), *map(_start, _unnamed_runners())]
    runners = dict.fromkeys([*named, *_unnamed_runners()])
    return [_start(runner) for runner in runners if runner]


def _named_runner() -> Path | None:
    """The program of $H2G_FAST; None if the variable is not set."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    runner = _runner_of(Path(named).expanduser())
    if runner is None:
        raise WrongUseError(
            f"${VARIABLE} is {named}, which is neither FAST's {NAME} nor an environment with it. "
            "Correct it, or unset it; h2g then searches the PATH and .fast/."
        )
    return runner


def _unnamed_runners() -> list[Path]:
    on_path = shutil.which(NAME)
    places = sorted((Path(sys.prefix).parent / ".fast").glob("*/"))
    found = [_runner_of(place) for place in [*([Path(on_path)] if on_path else []), *places]]
    return list(dict.fromkeys(runner for runner in found if runner))


def _runner_of(place: Path) -> Path | None:
    """The program itself, not the script around it that pip puts into bin/.

    That script always ends with code 0, and leaves the program running when it is killed.
    """
    if place.is_dir():
        inside = [place / "bin" / NAME, place / "Scripts" / f"{NAME}.exe"]
        place = next((file for file in inside if file.is_file()), place)
    if not place.is_file():
        return None
    environment = place.parent.parent
    packaged = "fast/bin/" + NAME
    real = [
        *environment.glob(f"lib/python3*/site-packages/{packaged}"),
        *environment.glob(f"Lib/site-packages/{packaged}.exe"),
    ]
    return real[0] if real else place


@functools.cache
def _start(runner: Path) -> Fast | str:
    """The FAST of a program, or the reason why it does not start."""
    try:
        process = _run([str(runner), "--help"], START_S)
    except WrongUseError as error:
        return str(error)
    except subprocess.TimeoutExpired:
        return f"{runner}: FAST does not start (no answer within {START_S:g} seconds)."
    found = VERSION.search(process.stdout)
    if process.returncode or found is None:
        reason = _last_line(process.stdout).removeprefix(f"{runner}: ")
        return f"{runner}: FAST does not start ({reason})."
    return Fast(runner, found[1])


# -- messages


def _status(fast: Fast) -> str:
    """Status of a version, e.g. ``tested, for bundles of FAST 4.9``."""
    group = fast.group
    if group and fast.version == group.tested:
        return f"tested, for bundles of FAST {group.name}"
    if group:
        return f"for bundles of FAST {group.name} (tested: {group.tested})"
    tested = ", ".join(each.tested for each in FAST_VERSIONS.values())
    oldest = min(numbers_of(each.oldest) for each in FAST_VERSIONS.values())
    status = "too old for h2g" if numbers_of(fast.version) < oldest else "not tested with h2g"
    return f"{status} (tested: {tested})"


def _named_version_message(wanted: FastVersion, named: Fast) -> str:
    return (
        f"The bundle is for FAST {wanted.span}, and ${VARIABLE} names FAST {named}. "
        f"Unset it, or set it to FAST {wanted.tested}{_other_export([named])}."
    )


def _missing_version_message(wanted: FastVersion) -> str:
    fasts = installed_fasts()
    found = [*map(str, fasts), *(text.rstrip(".") for text in failed_fasts())]
    summary = f"found: {'; '.join(found)}" if found else "no FAST is installed"
    return (
        f"The bundle is for FAST {wanted.span}; {summary}. Install FAST {wanted.tested}: "
        f"make fast-environment FAST={wanted.tested} in a checkout of h2g, or "
        f"{install_command(wanted.tested)} beside h2g's environment{_other_export(fasts)}."
    )


def _other_export(fasts: list[Fast]) -> str:
    """How to export for an installed FAST, as the end of a sentence; empty if none is supported."""
    names = sorted({fast.group.name for fast in fasts if fast.group})
    if not names:
        return ""
    return (
        f"; or export the run for the installed FAST: h2g export RUN --format fast "
        f"--fast-version {names[0]} --out BUNDLE"
    )


# -- processes


def _run(command: list[str], timeout_s: float | None) -> subprocess.CompletedProcess[str]:
    try:
        process = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
        )
    except OSError as error:
        raise WrongUseError(f"{command[0]}: cannot be run ({error.strerror}).") from error
    return subprocess.CompletedProcess(command, process.returncode, COLOUR.sub("", process.stdout))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
