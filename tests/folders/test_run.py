import json
from pathlib import Path

import pytest

from h2g.errors import CohortError, RunError
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


@pytest.fixture
def moved(tmp_path: Path, cohort: Cohort) -> Path:
    """The folder to which a started run's slides and annotations have moved."""
    start_run(tmp_path / "run", cohort, RECIPE)
    new = tmp_path / "archive" / "deep"
    new.mkdir(parents=True)
    for name in ("a.svs", "a.geojson", "cohort.csv"):
        (tmp_path / name).rename(new / name)
    return new


def test_the_table_given_again_tells_where_the_data_moved(tmp_path: Path, moved: Path) -> None:
    with pytest.raises(CohortError, match="a.svs' does not exist.*--data-root"):
        open_run(tmp_path / "run")
    started = start_run(tmp_path / "run", read_cohort(moved / "cohort.csv"), RECIPE)
    assert [slide.slide for slide in started.cohort.slides] == [moved / "a.svs"]
    assert open_run(tmp_path / "run") == started


def test_moved_data_are_found_below_a_root_by_the_end_of_their_paths(
    tmp_path: Path, moved: Path
) -> None:
    found = open_run(tmp_path / "run", data_root=moved)
    assert [slide.annotation for slide in found.cohort.slides] == [moved / "a.geojson"]
    assert open_run(tmp_path / "run") == found
    with pytest.raises(CohortError, match="none: no such folder"):
        open_run(tmp_path / "run", data_root=tmp_path / "none")


def test_the_longest_end_of_a_path_is_taken(tmp_path: Path) -> None:
    for name in ("x/a.svs", "a.svs"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    table = tmp_path / "old" / "cohort.csv"
    table.parent.mkdir()
    table.write_text("slide,annotation,split\nD:\\data\\x\\a.svs,/gone/y/a.svs,train\n")
    (slide,) = read_cohort(table, data_root=tmp_path).slides
    assert (slide.slide, slide.annotation) == (tmp_path / "x/a.svs", tmp_path / "a.svs")


def test_another_file_at_the_new_place_is_refused(tmp_path: Path, moved: Path) -> None:
    (moved / "a.geojson").write_text("another annotation")
    for open_again in (
        lambda: open_run(tmp_path / "run", data_root=moved),
        lambda: start_run(tmp_path / "run", read_cohort(moved / "cohort.csv"), RECIPE),
    ):
        with pytest.raises(RunError, match="another cohort .slides that differ: a"):
            open_again()


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


def test_links_keep_their_names_and_a_run_of_them_goes_on(tmp_path: Path) -> None:
    """As data stores with hashed names, or with the same name in each folder, are used."""
    (tmp_path / "store").mkdir()
    rows = []
    for name in "ab":
        folder = tmp_path / "store" / name
        folder.mkdir()
        for suffix in ("svs", "geojson"):
            (folder / f"0af3.{suffix}").write_text(name)
            (tmp_path / f"{name}.{suffix}").symlink_to(folder / f"0af3.{suffix}")
        rows.append(f"{name}.svs,{name}.geojson,train")
    table = tmp_path / "cohort.csv"
    table.write_text("\n".join(["slide,annotation,split", *rows]) + "\n")
    run = start_run(tmp_path / "run", read_cohort(table), RECIPE)
    assert [slide.name for slide in run.cohort.slides] == ["a", "b"]
    assert start_run(tmp_path / "run", read_cohort(table), RECIPE) == run
