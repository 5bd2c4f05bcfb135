"""h2g evaluate with real networks of random weights on generated slides."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from h2g.cli.main import main
from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, start_run
from h2g.recipes.reading import validate_recipe
from h2g.slides.tiff_files import read_heatmap
from tests.small_patch_network import MODEL, OPTIONS

RECIPE = {
    "name": "tiny",
    "description": "both stages, untrained",
    "preprocessing": {"patch": {"size_px": 32, "mpp": 8.0}},
    "patch": {"model": MODEL, "options": OPTIONS, "weights": "none"},
    "refinement": {"input_px": 32, "options": {"filters": [4, 8]}},
}


@pytest.fixture(scope="module")
def run(phantom_cohort: Path, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one training, one validation and one test slide, and one that is no slide."""
    folder = tmp_path_factory.mktemp("evaluate")
    lines = ["slide,annotation,split,grade"]
    for split in ("train", "val", "test"):
        row = read_cohort(phantom_cohort).split(split)[0]
        lines.append(f"{row.slide.resolve()},{row.annotation.resolve()},{split},{row.grade}")
    (folder / "broken.svs").write_text("no slide")
    (folder / "broken.geojson").write_text("{}")
    lines.append("broken.svs,broken.geojson,train,1")
    (folder / "cohort.csv").write_text("\n".join(lines))
    recipe = validate_recipe(RECIPE, source="tiny")
    run = start_run(folder / "run", read_cohort(folder / "cohort.csv"), recipe)
    for stage in ("patch", "refinement"):
        shutil.copytree(tiny_run / stage, run.path / stage)
    return run


def evaluate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def test_one_json_document_on_stdout(run: Run) -> None:
    result = evaluate(run.path, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    (slide,) = run.cohort.split("test")
    assert document["n"] == 1
    assert document["slides"][0]["slide"] == slide.name
    assert set(document["slides"][0]["refined"]) == {"recall", "precision", "dice"}
    outlines = {"hausdorff95_um", "boundary_f1", "compared"}
    assert set(document["smoothed"]) == {"recall", "precision", "dice", "sigma_um", *outlines}
    assert document["size_px"] == [32, 32]
    # 2 mm and a little more, in patches of 256 um.
    assert read_heatmap(run.heatmap_file(slide.name)).values.shape[2] == 2
    # Again: nothing is made anew, and the same is printed.
    written = run.heatmap_file(slide.name).stat().st_mtime_ns
    assert json.loads(evaluate(run.path, "--json").stdout) == document
    assert run.heatmap_file(slide.name).stat().st_mtime_ns == written


def test_the_table(run: Run) -> None:
    result = evaluate(run.path)
    assert result.exit_code == 0, result.output
    for word in ("patch-wise", "smoothed", "refined", "precision", "evaluation/test"):
        assert word in result.stdout.replace("\n", "")


def test_a_slide_that_fails_ends_with_exit_code_1(run: Run) -> None:
    result = evaluate(run.path, "--split", "train", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["n"] == 1
    assert [failed["slide"] for failed in document["failed"]] == ["broken"]
    assert "broken.svs" in result.stderr


def test_wrong_use_is_a_sentence(tmp_path: Path) -> None:
    result = evaluate(tmp_path)
    assert result.exit_code == 2
    assert "not a run folder" in result.stderr
    assert evaluate(tmp_path, "--split", "all").exit_code == 2
