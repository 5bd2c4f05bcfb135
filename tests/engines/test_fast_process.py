"""The search for FAST and runs of it, with small programs in its place."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from h2g.engines import fast_process
from h2g.engines.fast_process import Fast, failed_fasts, installed_fasts, run_pipeline
from h2g.errors import WrongUseError
from h2g.fast_versions import FAST_VERSIONS, FastName
from tests.fast_program import need_fast, need_fast_python, program

# -- finding FAST


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder .fast beside h2g's environment, with no FAST there or anywhere else."""
    monkeypatch.delenv("H2G_FAST", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path / ".fast"


def install(beside: Path, *versions: str) -> list[Fast]:
    """Programs that print these versions, at the places where pip puts them."""
    return [
        Fast(program(beside / each / "bin" / "runPipeline", says=f"v{each}"), each)
        for each in versions
    ]


def test_the_newest_of_all_places_is_first(
    beside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installed_fasts() == []
    older, newer = install(beside, "4.9.2", "4.15.1")
    (beside / "empty").mkdir()
    on_path = Fast(program(tmp_path / "path" / "runPipeline", says="v4.10.0"), "4.10.0")
    named = Fast(program(tmp_path / "named" / "runPipeline", says="v4.17.1"), "4.17.1")
    monkeypatch.setenv("H2G_FAST", str(named.runner))
    assert installed_fasts() == [named, newer, on_path, older]
    monkeypatch.setenv("H2G_FAST", str(beside / "4.9.2"))
    assert installed_fasts() == [newer, on_path, older]


def test_the_program_behind_pips_script(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script,) = install(beside, "4.9.1")
    environment = beside / "4.9.1"
    packaged = environment / "lib" / "python3.11" / "site-packages" / "fast" / "bin"
    real = program(packaged / "runPipeline", says="v4.9.2")
    assert installed_fasts() == [Fast(real, "4.9.2")]
    for named in (script.runner, environment):
        monkeypatch.setenv("H2G_FAST", str(named))
        assert fast_process.need_fast(FAST_VERSIONS["4.9"]) == Fast(real, "4.9.2")


def test_each_program_is_started_once(beside: Path, tmp_path: Path) -> None:
    count = tmp_path / "count"
    runner = beside / "4.9.2" / "bin" / "runPipeline"
    runner.parent.mkdir(parents=True)
    runner.write_text(f"#!/bin/sh\necho started >> '{count}'\necho v4.9.2\n")
    runner.chmod(0o755)
    assert installed_fasts() == installed_fasts() == [Fast(runner, "4.9.2")]
    assert count.read_text() == "started\n"


def test_the_tested_version_is_preferred(beside: Path) -> None:
    others = install(beside, "4.9.0", "4.9.1", "4.12.0", "4.15.0")
    assert fast_process.need_fast(FAST_VERSIONS["4.9"]) == others[1]  # the newest of the group
    assert fast_process.need_fast(FAST_VERSIONS["4.15"]) == others[3]
    tested = install(beside, "4.9.2", "4.15.1")
    assert [fast_process.need_fast(each) for each in FAST_VERSIONS.values()] == tested


def test_the_variable_decides(
    beside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, other = install(beside, "4.9.2", "4.15.1")
    monkeypatch.setenv("H2G_FAST", str(other.runner))
    assert fast_process.need_fast(FAST_VERSIONS["4.15"]) == other
    with pytest.raises(WrongUseError) as caught:
        fast_process.need_fast(FAST_VERSIONS["4.9"])
    assert str(caught.value) == (
        "The bundle is for FAST 4.9.0 to 4.9.2, and $H2G_FAST names FAST 4.15.1, tested, for "
        f"bundles of FAST 4.15: {other.runner}. Unset it, or set it to FAST 4.9.2; or export the "
        "run for the installed FAST: h2g export RUN --format fast --fast-version 4.15 --out "
        "BUNDLE."
    )
    monkeypatch.setenv("H2G_FAST", str(tmp_path / "nothing"))
    with pytest.raises(WrongUseError, match=r"\$H2G_FAST is .*nothing, which is neither FAST's"):
        fast_process.need_fast(FAST_VERSIONS["4.15"])
    assert len(installed_fasts()) == 2
    assert failed_fasts()[0].startswith("$H2G_FAST is ")


def test_a_fast_of_the_other_group(beside: Path) -> None:
    (fast,) = install(beside, "4.15.1")
    with pytest.raises(WrongUseError) as caught:
        fast_process.need_fast(FAST_VERSIONS["4.9"])
    assert str(caught.value) == (
        "The bundle is for FAST 4.9.0 to 4.9.2; found: 4.15.1, tested, for bundles of FAST "
        f"4.15: {fast.runner}. Install FAST 4.9.2: make fast-environment FAST=4.9.2 in a checkout "
        "of h2g, or python -m venv .fast/4.9.2 && .fast/4.9.2/bin/pip install pyfast==4.9.2 beside "
        "h2g's environment; or export the run for the installed FAST: h2g export RUN --format "
        "fast --fast-version 4.15 --out BUNDLE."
    )


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("4.5.0", "4.5.0, too old for h2g (tested: 4.9.2, 4.15.1): "),
        ("4.12.0", "4.12.0, not tested with h2g (tested: 4.9.2, 4.15.1): "),
        ("4.18.0", "4.18.0, not tested with h2g (tested: 4.9.2, 4.15.1): "),
    ],
)
def test_a_fast_that_runs_no_bundle(beside: Path, version: str, said: str) -> None:
    install(beside, version)
    for wanted in FAST_VERSIONS.values():
        with pytest.raises(WrongUseError) as caught:
            fast_process.need_fast(wanted)
        assert said in str(caught.value)
        assert "--fast-version" not in str(caught.value)


def test_a_fast_that_does_not_start(
    beside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = program(beside / "4.9.2" / "bin" / "runPipeline", says="no OpenCL platform", code=127)
    sentence = f"{broken}: FAST does not start (no OpenCL platform)."
    assert (installed_fasts(), failed_fasts()) == ([], [sentence])
    with pytest.raises(WrongUseError, match=r"found: .*does not start \(no OpenCL platform\)"):
        fast_process.need_fast(FAST_VERSIONS["4.9"])
    monkeypatch.setenv("H2G_FAST", str(broken))
    with pytest.raises(WrongUseError, match=r"does not start \(no OpenCL platform\)"):
        fast_process.need_fast(FAST_VERSIONS["4.9"])
    no_program = tmp_path / "text"
    no_program.write_text("v4.9.2")
    monkeypatch.setenv("H2G_FAST", str(no_program))
    with pytest.raises(WrongUseError, match=r"cannot be run \(Permission denied\)"):
        fast_process.need_fast(FAST_VERSIONS["4.9"])


@pytest.mark.fast
@pytest.mark.parametrize("name", ["4.9", "4.15"])
def test_the_installed_fast_prints_its_version(name: FastName) -> None:
    runner = need_fast(name)
    assert runner.parts[-3:] == ("fast", "bin", "runPipeline")  # not pip's script around it
    assert Fast(runner, FAST_VERSIONS[name].tested) in installed_fasts()


# -- runs


def test_errors_are_found_although_pips_script_ends_with_code_0(tmp_path: Path) -> None:
    said = "\x1b[31;1mERROR [1] Terminated with unhandled exception: No such level\n\x1b[0m"
    runner = program(tmp_path / "runPipeline", says=said)
    assert run_pipeline(runner, tmp_path / "a.fpl", {}) == "No such level"
    runner = program(tmp_path / "runPipeline", says="free(): invalid pointer", code=3)
    assert run_pipeline(runner, tmp_path / "a.fpl", {}) == (
        "it ended with code 3: free(): invalid pointer"
    )
    runner = program(tmp_path / "runPipeline", says="100%")
    assert run_pipeline(runner, tmp_path / "a.fpl", {}) is None


def test_a_fast_that_never_ends_is_killed(tmp_path: Path) -> None:
    runner = program(tmp_path / "runPipeline", says="50%")
    runner.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    start = time.monotonic()
    said = run_pipeline(runner, tmp_path / "a.fpl", {}, timeout_s=0.5)
    assert said == "it did not end within 0.5 seconds"
    assert time.monotonic() - start < 30


@pytest.mark.fast
def test_fast_is_never_imported() -> None:
    """FAST crashes in a process with TensorFlow, so it has its own Python."""
    assert "fast" not in sys.modules
    assert os.path.realpath(need_fast_python().parent) != os.path.realpath(
        Path(sys.executable).parent
    )
