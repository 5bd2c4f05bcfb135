"""Commands of a user who may not write everywhere, without a home, and on a disk that is full."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

COMMAND = [sys.executable, "-c", "from h2g.cli.main import main; main()"]
# Linux's numbers. Without these capabilities, permissions hold for root too.
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


def as_a_user() -> None:
    """Permissions hold from the next program on, whoever runs it."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")


def h2g(
    *arguments: object, before: Callable[[], None] = as_a_user, home: str | None = "/nonexistent"
) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if name != "HOME"}
    if home is not None:
        environment["HOME"] = home
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        preexec_fn=before,
        timeout=300,
    )


@pytest.fixture
def locked(tmp_path: Path, tiny_run: Path) -> Path:
    """A read-only folder of the tiny cohort's slides."""
    folder = tmp_path / "slides"
    folder.mkdir()
    for name in ("one.tiff", "two.tiff", "a.geojson"):
        shutil.copy(tiny_run.parent / name, folder)
    (folder / "cohort.csv").write_text(
        "slide,annotation,split\none.tiff,a.geojson,train\ntwo.tiff,a.geojson,test\n"
    )
    for path in (*folder.iterdir(), folder):
        path.chmod(path.stat().st_mode & ~0o222)
    return folder


def test_permissions_hold_in_these_tests(locked: Path) -> None:
    code = f"open({str(locked / 'new')!r}, 'w')"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=as_a_user
    )
    assert "PermissionError" in result.stderr


@pytest.mark.parametrize("home", [None, "/nonexistent"])
def test_slides_of_a_read_only_folder_and_no_home(
    locked: Path, tiny_bundle: Path, tmp_path: Path, home: str | None
) -> None:
    out = tmp_path / "out"
    result = h2g("predict", tiny_bundle, locked, "--out", out, home=home)
    assert result.returncode == 0, result.stderr
    assert pd.read_csv(out / "summary.csv")["status"].tolist() == ["ok", "ok"]
    for command in (["tissue", locked / "one.tiff"], ["slide-info", locked / "one.tiff"]):
        options = ["--out", tmp_path / "tissue"] if command[0] == "tissue" else []
        result = h2g(*command, *options, home=home)
        assert result.returncode == 0, result.stderr


def test_a_read_only_output_folder_is_a_sentence(
    locked: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    result = h2g("predict", tiny_bundle, locked / "one.tiff", "--out", locked / "out")
    assert result.returncode == 1
    assert result.stderr.startswith("h2g: ")
    assert "ermission denied" in result.stderr
    assert str(locked / "out") in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_may_not_be_read_is_a_sentence(tmp_path: Path, tiny_bundle: Path) -> None:
    slide = tmp_path / "secret.tiff"
    slide.write_bytes(b"II*\0")
    slide.chmod(0)
    result = h2g("predict", tiny_bundle, slide, "--out", tmp_path / "out")
    assert result.returncode == 2
    assert "secret.tiff' is not readable" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_full_disk_loses_nothing_and_a_rerun_completes(
    tiny_run: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    """A limit on the size of files fails like a full disk, and needs no disk to be filled."""
    slides, out = [tiny_run.parent / name for name in ("one.tiff", "two.tiff")], tmp_path / "out"

    def limited() -> None:
        as_a_user()
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))

    result = h2g("predict", tiny_bundle, *slides, "--out", out, before=limited)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "the file is too large for this disk" in result.stderr
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    assert 2048 not in sizes  # nothing is left half written
    again = h2g("predict", tiny_bundle, *slides, "--out", out)
    assert again.returncode == 0, again.stderr
    assert pd.read_csv(out / "summary.csv")["status"].tolist() == ["ok", "ok"]
