"""FAST as a program of its own: where it is, its version, and one run of a text pipeline.

It is never imported: with TensorFlow in the same process it crashes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from h2g.errors import WrongUseError

VARIABLE = "H2G_FAST"
NAME = "runPipeline"
INSTALL = "python -m venv .fast && .fast/bin/pip install pyfast==4.15.1 numpy"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
FAILED = re.compile(r"Terminated with unhandled exception: (.+)")
VERSION = re.compile(r"\bv(\d+\.\d+\.\d+)\b")


def find_fast() -> Path | None:
    """FAST's runPipeline: that of $H2G_FAST (the program, or the environment that pip installed it
    into), the one on the PATH, or that of the environment ``.fast`` beside h2g's own.

    Raises:
        WrongUseError: $H2G_FAST names something else.
    """
    named = os.environ.get(VARIABLE)
    if named:
        runner = _runner_of(Path(named).expanduser())
        if runner is None:
            raise WrongUseError(
                f"${VARIABLE} is {named}, which is neither FAST's {NAME} nor an environment with "
                f"it. {INSTALL} makes one."
            )
        return runner
    on_path = shutil.which(NAME)
    if on_path:
        return _runner_of(Path(on_path))
    return _runner_of(Path(sys.prefix).parent / ".fast")


def need_fast() -> Path:
    """As :func:`find_fast`; WrongUseError when there is none."""
    runner = find_fast()
    if runner is None:
        raise WrongUseError(
            f"FAST is not installed. {INSTALL} beside h2g's environment installs it, or set "
            f"${VARIABLE} to its {NAME}."
        )
    return runner


def fast_version() -> str | None:
    """The version of the FAST that is found, e.g. ``4.15.1``; None where there is none.

    Raises:
        WrongUseError: it does not start; the message says what it said.
    """
    runner = find_fast()
    if runner is None:
        return None
    said = _run([str(runner), "--help"])
    found = VERSION.search(said.stdout)
    if said.returncode or found is None:
        raise WrongUseError(f"{runner}: FAST does not start ({_last_line(said.stdout)}).")
    return found[1]


def run_pipeline(runner: Path, pipeline: Path, variables: dict[str, str]) -> str | None:
    """Runs a pipeline file to its end.

    Returns:
        What FAST said went wrong; None when it ended well.
    """
    # Absolute: a pipeline looks for its networks in the folder that it was named with.
    command = [str(runner), str(pipeline.resolve())]
    for name, value in variables.items():
        command += [f"--{name}", value]
    said = _run(command)
    failure = FAILED.search(said.stdout)
    if failure:
        return failure[1].strip()
    if said.returncode:
        return f"it ended with code {said.returncode}: {_last_line(said.stdout)}"
    return None


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


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        said = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise WrongUseError(f"{command[0]}: cannot be run ({error.strerror}).") from error
    return subprocess.CompletedProcess(command, said.returncode, COLOUR.sub("", said.stdout))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
