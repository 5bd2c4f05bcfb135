import json
from pathlib import Path

import pytest

from h2g.errors import RunError
from h2g.folders.cohort import Cohort, read_cohort
from h2g.folders.run import open_run, start_run
from h2g.recipes.recipe import Recipe


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    for name in ("a.svs", "a.geojson", "b.svs"):
        (tmp_path / name).touch()
    table = tmp_path / "cohort.csv"
    table.write_text("slide,annotation,split\na.svs,a.geojson,train\n")
    return read_cohort(table)


RECIPE = Recipe(name="mine", description="a test")


def test_a_run_opens_as_it_was_started(tmp_path, cohort):
    started = start_run(tmp_path / "run", cohort, RECIPE)
    opened = open_run(tmp_path / "run")
    assert opened == started
    assert opened.recipe == RECIPE
    assert opened.cohort.slides == cohort.slides
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["seed"] == 0
    assert record["versions"]["numpy"]


def test_another_recipe_is_refused_with_the_setting(tmp_path, cohort):
    start_run(tmp_path / "run", cohort, RECIPE)
    other = RECIPE.model_copy(update={"seed": 5})
    with pytest.raises(RunError, match="another recipe .seed was 0 and is 5 now"):
        start_run(tmp_path / "run", cohort, other)


def test_another_cohort_is_refused_with_the_slide(tmp_path, cohort):
    start_run(tmp_path / "run", cohort, RECIPE)
    table = tmp_path / "cohort.csv"
    table.write_text("slide,annotation,split\na.svs,a.geojson,train\nb.svs,a.geojson,val\n")
    with pytest.raises(RunError, match="another cohort .slides that differ: b"):
        start_run(tmp_path / "run", read_cohort(table), RECIPE)


def test_stages_are_timed_and_done_only_if_they_succeed(tmp_path, cohort):
    run = start_run(tmp_path / "run", cohort, RECIPE)
    assert not run.is_done("patch")
    with pytest.raises(ZeroDivisionError), run.stage("patch"):
        _ = 1 / 0
    assert not run.is_done("patch")
    with run.stage("patch"):
        pass
    assert run.is_done("patch")
    assert run.seconds()["patch"] >= 0


def test_not_a_run_folder(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        open_run(tmp_path)
