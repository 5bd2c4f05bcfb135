"""FAST as a program of its own: which versions are here, and one run of a text pipeline.

It is never imported: with TensorFlow in the same process it crashes.
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
    """A FAST that starts here.

    Attributes:
        runner: its runPipeline.
        version: e.g. ``4.15.1``.
    """

    runner: Path
    version: str

    @property
    def group(self) -> FastVersion | None:
        """The versions that treat slides as it does; None of one that h2g was not tested with."""
        return next((each for each in FAST_VERSIONS.values() if each.covers(self.version)), None)

    def __str__(self) -> str:
        return f"{self.version}, {_standing(self)}: {self.runner}"


def installed_fasts() -> list[Fast]:
    """Every FAST that starts, the newest first.

    They are that of $H2G_FAST (the program, or the environment that pip installed it into), the one
    on the PATH, and those of ``.fast/*/`` beside h2g's own environment.
    """
    fasts = [answer for answer in _answers() if isinstance(answer, Fast)]
    return sorted(fasts, key=lambda fast: numbers_of(fast.version), reverse=True)


def failed_fasts() -> list[str]:
    """A sentence for each place where :func:`installed_fasts` finds a FAST that does not start."""
    return [answer for answer in _answers() if isinstance(answer, str)]


def need_fast(wanted: FastVersion) -> Fast:
    """The FAST that runs a bundle of a group: that of $H2G_FAST when it is set, else the tested
    version if it is installed, else the newest of the group.

    Raises:
        WrongUseError: there is none, or $H2G_FAST names something else.
    """
    named = _named_runner()
    if named:
        answer = _ask(named)
        if isinstance(answer, str):
            raise WrongUseError(answer)
        if not wanted.covers(answer.version):
            raise WrongUseError(_why_not_named(wanted, answer))
        return answer
    covered = [fast for fast in installed_fasts() if wanted.covers(fast.version)]
    if not covered:
        raise WrongUseError(_why_none(wanted))
    return min(covered, key=lambda fast: fast.version != wanted.tested)


def probe() -> Probe:
    """The FASTs that are here, and for which bundles."""
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
    """WrongUseError where a GPU is asked for."""
    if device == "GPU":
        raise WrongUseError("FAST chooses its devices itself. Leave out --device.")


def install_command(version: str) -> str:
    """What installs a FAST beside h2g's environment."""
    return f"python -m venv .fast/{version} && .fast/{version}/bin/pip install pyfast=={version}"


def run_pipeline(
    runner: Path, pipeline: Path, variables: dict[str, str], *, timeout_s: float | None = None
) -> str | None:
    """Runs a pipeline file to its end.

    Args:
        timeout_s: after which FAST is killed; None waits for ever.
    Returns:
        What FAST said went wrong; None when it ended well.
    """
    # Absolute: a pipeline looks for its networks in the folder that it was named with.
    command = [str(runner), str(pipeline.resolve())]
    for name, value in variables.items():
        command += [f"--{name}", value]
    try:
        said = _run(command, timeout_s)
    except subprocess.TimeoutExpired:
        return f"it did not end within {timeout_s:g} seconds"
    failure = FAILED.search(said.stdout)
    if failure:
        return failure[1].strip()
    if said.returncode:
        return f"it ended with code {said.returncode}: {_last_line(said.stdout)}"
    return None


# -- finding


def _answers() -> list[Fast | str]:
    """Of every place: its FAST, or why there is none that starts."""
    try:
        named = [_named_runner()]
    except WrongUseError as error:
        return [str(error), *map(_ask, _unnamed_runners())]
    runners = dict.fromkeys([*named, *_unnamed_runners()])
    return [_ask(runner) for runner in runners if runner]


def _named_runner() -> Path | None:
    """The program of $H2G_FAST; None when it is not set."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    runner = _runner_of(Path(named).expanduser())
    if runner is None:
        raise WrongUseError(
            f"${VARIABLE} is {named}, which is neither FAST's {NAME} nor an environment with it. "
            "Correct it, or unset it: h2g looks on the PATH and in .fast/ by itself."
        )
    return runner


def _unnamed_runners() -> list[Path]:
    on_path = shutil.which(NAME)
    places = sorted((Path(sys.prefix).parent / ".fast").glob("*/"))
    found = [_runner_of(place) for place in [*([Path(on_path)] if on_path else []), *places]]
    return list(dict.fromkeys(runner for runner in found if runner))


def _runner_of(place: Path) -> Path | None:
    """The program itself. What pip puts into bin/ is a script around it that ends with code 0
    whatever happens, and leaves it running when it is killed."""
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
def _ask(runner: Path) -> Fast | str:
    """The FAST behind a program, or why it does not start."""
    try:
        said = _run([str(runner), "--help"], START_S)
    except WrongUseError as error:
        return str(error)
    except subprocess.TimeoutExpired:
        return f"{runner}: FAST does not start (no answer within {START_S:g} seconds)."
    found = VERSION.search(said.stdout)
    if said.returncode or found is None:
        reason = _last_line(said.stdout).removeprefix(f"{runner}: ")
        return f"{runner}: FAST does not start ({reason})."
    return Fast(runner, found[1])


# -- in words


def _standing(fast: Fast) -> str:
    """What h2g makes of a version, e.g. ``tested, for bundles of FAST 4.9``."""
    group = fast.group
    if group and fast.version == group.tested:
        return f"tested, for bundles of FAST {group.name}"
    if group:
        return f"for bundles of FAST {group.name} (tested is {group.tested})"
    tested = " and ".join(each.tested for each in FAST_VERSIONS.values())
    oldest = min(numbers_of(each.oldest) for each in FAST_VERSIONS.values())
    why = "too old for h2g" if numbers_of(fast.version) < oldest else "not tested with h2g"
    return f"{why} (tested are {tested})"


def _why_not_named(wanted: FastVersion, named: Fast) -> str:
    return (
        f"The bundle is for FAST {wanted.span}, and ${VARIABLE} names FAST {named}. "
        f"Unset it or let it name FAST {wanted.tested}{_other_export([named])}."
    )


def _why_none(wanted: FastVersion) -> str:
    fasts = installed_fasts()
    found = [*map(str, fasts), *(text.rstrip(".") for text in failed_fasts())]
    here = f"found: {'; '.join(found)}" if found else "no FAST is installed"
    return (
        f"The bundle is for FAST {wanted.span}; {here}. Install FAST {wanted.tested}: "
        f"make fast-environment FAST={wanted.tested} in a checkout of h2g, or "
        f"{install_command(wanted.tested)} beside h2g's environment{_other_export(fasts)}."
    )


def _other_export(fasts: list[Fast]) -> str:
    """How to get a bundle for what is here, as the end of a sentence; "" where nothing suits."""
    names = sorted({fast.group.name for fast in fasts if fast.group})
    if not names:
        return ""
    return (
        f"; or export the run for the FAST that is here: h2g export RUN --format fast "
        f"--fast-version {names[0]} --out BUNDLE"
    )


# -- processes


def _run(command: list[str], timeout_s: float | None) -> subprocess.CompletedProcess[str]:
    try:
        said = subprocess.run(
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
    return subprocess.CompletedProcess(command, said.returncode, COLOUR.sub("", said.stdout))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
