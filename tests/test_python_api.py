"""The Python API: what the docs and the docstrings show, run in a folder that has it all."""

from __future__ import annotations

import doctest
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import h2g
from h2g.folders.cohort import CohortSlide
from tests.tiny_run import RECIPE

DOCS = Path(__file__).parents[1] / "docs" / "python.md"
PIECES = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), flags=re.DOTALL)
EXAMPLES = {
    "h2g.exporters.export": ["export"],
    "h2g.models": [""],
    "h2g.prediction.model": ["load_model", "Model.predict", "Model.predict_slides"],
    "h2g.slides.slide": ["open_slide", "Slide.read_patch"],
    "h2g.stages.train": ["train", "evaluate"],
}


@pytest.fixture
def workplace(
    trained_run: h2g.folders.run.Run,  # type: ignore[name-defined]
    tiny_bundle: Path,
    tiny_run: Path,
    phantom_cohort: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """``slide.tiff``, ``slides/``, ``cohort.csv``, ``tiny.yaml``, ``run`` and ``bundle``."""
    shutil.copyfile(tiny_run.parent / "two.tiff", tmp_path / "slide.tiff")
    (tmp_path / "slides").mkdir()
    shutil.copyfile(tmp_path / "slide.tiff", tmp_path / "slides" / "slide.tiff")
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    shutil.copytree(trained_run.path, tmp_path / "run")
    (tmp_path / "cohort.csv").write_text(_absolute(phantom_cohort), "utf-8")
    training = {
        "patch": {**RECIPE["patch"], **SHORT},
        "refinement": {**RECIPE["refinement"], **ONE},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**RECIPE, **training}), "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SHORT = {"batch_size": 4, "validation_steps": 1, "workers": 2}
ONE = {"batch_size": 2, "accumulation_steps": 1, "epochs": 1, "patience": None}


def _absolute(table: Path) -> str:
    """A cohort table whose paths do not depend on where it lies."""
    from h2g.folders.cohort import read_cohort

    lines = ["slide,annotation,split,grade,patient"]
    for row in read_cohort(table).slides:
        assert isinstance(row, CohortSlide)
        lines.append(f"{row.slide},{row.annotation},{row.split},{row.grade},{row.patient or ''}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("number", range(len(PIECES)))
def test_the_pieces_of_the_docs_run(
    number: int, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    started = []
    callback = keras.callbacks.TerminateOnNaN
    monkeypatch.setattr(callback, "on_train_begin", lambda *_: started.append(1), raising=False)
    names: dict[str, object] = {}
    exec(compile(PIECES[number], f"{DOCS.name}, piece {number + 1}", "exec"), names)
    assert "h2g" in names
    if "stop" in names:
        assert len(started) == 2  # the given callback is called in both stages' trainings


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in EXAMPLES.items() for name in names]
)
def test_the_examples_of_the_docstrings_run(module: str, name: str, workplace: Path) -> None:
    owner = importlib.import_module(module)
    target = owner
    for part in filter(None, name.split(".")):
        target = getattr(target, part)
    (found,) = doctest.DocTestFinder(recurse=False).find(target, name or module, owner)
    assert found.examples, f"{module}.{name} shows no example"
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.DocTestRunner(optionflags=flags).run(found)
    assert result.failed == 0


def test_every_public_name_has_an_example() -> None:
    shown = {name.partition(".")[0] for names in EXAMPLES.values() for name in names}
    assert {*h2g.__all__} - {"models"} <= shown
    assert dir(h2g) == sorted([*h2g.__all__, "__version__"])


def test_importing_h2g_loads_nothing() -> None:
    code = (
        "import sys, h2g\n"
        "heavy = {'numpy', 'pydantic', 'openslide', 'keras', 'tensorflow', 'pandas', 'cv2'}\n"
        "print(sorted(heavy.intersection(sys.modules)), hasattr(h2g, 'no_such_name'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[] False", done.stderr


def test_what_was_found_is_one_value(workplace: Path) -> None:
    found = h2g.load_model("bundle", engine="onnxruntime").predict("slide.tiff")
    assert found.labels.dtype == np.uint8
    assert found.heatmap is not None
    assert found.heatmap.values.shape[2] == 2
    shown = found.overlay()
    assert (shown.height, shown.width) == found.labels.shape
    assert found._repr_png_().startswith(b"\x89PNG")
    outlined = sum(region.geometry.area for region in found.regions.of_class("tumour"))
    assert outlined / 1e6 == pytest.approx(found.areas_mm2["tumour"], rel=0.05, abs=1e-3)
    found.save("saved")
    assert (workplace / "saved" / "geojson" / "slide.geojson").is_file()
    assert (workplace / "saved" / "summary.csv").read_text().splitlines()[1].startswith("slide,ok")


def test_a_slide_that_cannot_be_read_is_an_error(workplace: Path) -> None:
    from h2g.errors import SlideError

    model = h2g.load_model("bundle")
    with pytest.raises(SlideError, match="no such file"):
        model.predict("gone.svs")
