"""A bundle is changed whole or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from h2g.bundle import CARD_FILE
from h2g.exporters import bundle_folder
from h2g.exporters.bundle_folder import staging_folder, swap_in


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    write(folder, {"patch.onnx": "old", "fast/a.fpl": "old", "patch.xml": "kept", CARD_FILE: "old"})
    return folder


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def swap(bundle: Path, folder: Path) -> None:
    new = {"patch.onnx": "new", "tflite/patch.tflite": "new"}
    write(folder / "bundle", {**new, CARD_FILE: "new"})
    old = ["patch.onnx", "fast/a.fpl"]
    swap_in(folder / "bundle", bundle, new=list(new), old=old, aside=folder / "aside")


def test_old_files_go_new_ones_come_others_stay(bundle: Path) -> None:
    with staging_folder(bundle) as folder:
        swap(bundle, folder)
    assert contents(bundle) == {
        "patch.onnx": "new",
        "tflite/patch.tflite": "new",
        "patch.xml": "kept",
        CARD_FILE: "new",
    }
    assert not (bundle / "fast").exists()


@pytest.mark.parametrize("stop_at", range(1, 6))
@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("when", ["before", "after"])
def test_stopped_at_any_rename_the_bundle_is_as_it_was(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int, stop: type, when: str
) -> None:
    """Two files go, two come, then the card: a stop before or right after each of the renames."""
    before, real, calls = contents(bundle), os.replace, []

    def replace(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == stop_at and when == "before":
            raise stop
        real(source, target)
        if len(calls) == stop_at:
            raise stop

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(stop), staging_folder(bundle) as folder:
        swap(bundle, folder)
    if (stop_at, when) == (5, "after"):
        assert contents(bundle)[CARD_FILE] == "new"  # all was done
        assert contents(bundle)["patch.onnx"] == "new"
    else:
        assert contents(bundle) == before


def test_nothing_is_left_of_a_folder_made_for_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        stop_half_way(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with pytest.raises(KeyboardInterrupt):
        stop_half_way(tmp_path / "a" / "b")
    assert list((tmp_path / "a").iterdir()) == []  # that one was there


def stop_half_way(bundle: Path) -> None:
    with staging_folder(bundle) as folder:
        write(folder, {"half": "done"})
        raise KeyboardInterrupt


def test_leftovers_of_killed_exports_go_and_young_ones_stay(bundle: Path) -> None:
    old, young = bundle / ".export-old", bundle / ".export-young"
    write(old, {"patch.onnx": "half"})
    write(young, {"patch.onnx": "half"})
    before = time.time() - 2 * bundle_folder.LEFTOVER_SECONDS
    os.utime(old, (before, before))
    with staging_folder(bundle):
        pass
    assert not old.exists()
    assert young.exists()
