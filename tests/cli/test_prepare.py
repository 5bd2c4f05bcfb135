import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from h2g.cli.main import main
from h2g.folders.run import open_run


def prepare(cohort: Path, out: Path, *more: str) -> Result:
    sizes = ("--set", "preprocessing.patch.size_px=64")
    arguments = ["prepare", str(cohort), "--out", str(out), "--recipe", "demo", "--jobs", "1"]
    return CliRunner().invoke(main, [*arguments, *sizes, "--quiet", *more])


@pytest.fixture(scope="module")
def prepared(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("prepare") / "run"
    return out, prepare(phantom_cohort, out)


def test_table_of_every_slide(prepared: tuple[Path, Result], phantom_cohort: Path) -> None:
    out, result = prepared
    assert result.exit_code == 0, result.output
    for slide in pd.read_csv(phantom_cohort)["slide"]:
        assert Path(slide).stem in result.stdout
        assert (out / "index" / f"{Path(slide).stem}.parquet").exists()
        assert (out / "tissue" / f"{Path(slide).stem}.png").exists()
    for word in ("train", "val", "test", "background", "tumour"):
        assert word in result.stdout
    assert open_run(out).is_done("prepare")


def test_json_is_one_document_and_a_rerun_is_quick(
    prepared: tuple[Path, Result], phantom_cohort: Path
) -> None:
    out, _ = prepared
    before = {file: file.stat().st_mtime_ns for file in (out / "index").iterdir()}
    result = prepare(phantom_cohort, out, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["failed"] == []
    assert {slide["split"] for slide in document["slides"]} == {"train", "val", "test"}
    assert all(slide["patches"]["tumour"] > 0 for slide in document["slides"])
    assert before == {file: file.stat().st_mtime_ns for file in (out / "index").iterdir()}


def test_a_failing_slide_is_listed_and_the_exit_code_is_1(
    phantom_cohort: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(phantom_cohort, dtype=str)
    for column in ("slide", "annotation"):
        table[column] = [str((phantom_cohort.parent / file).resolve()) for file in table[column]]
    whole = Path(table.loc[table["split"] == "test", "slide"].iloc[0])
    half = tmp_path / f"half{whole.suffix}"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    table = pd.concat([table, table.iloc[[0]].assign(slide=str(half), patient=None)])
    table.to_csv(tmp_path / "cohort.csv", index=False)
    result = prepare(tmp_path / "cohort.csv", tmp_path / "run", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert [left_out["slide"] for left_out in document["failed"]] == ["half"]
    assert "half" in document["failed"][0]["reason"]
    assert len(document["slides"]) == len(table) - 1
    assert "1 of 7 slides were left out: half" in result.stderr


def test_wrong_use_is_exit_code_2(
    prepared: tuple[Path, Result], phantom_cohort: Path, tmp_path: Path
) -> None:
    out, _ = prepared
    other = prepare(phantom_cohort, out, "--set", "labels.min_class=0.5")
    assert other.exit_code == 2
    assert "another recipe (labels.min_class was 0.25 and is 0.5 now)" in other.stderr
    missing = prepare(tmp_path / "none.csv", tmp_path / "run")
    assert missing.exit_code == 2
    unknown = prepare(phantom_cohort, tmp_path / "run", "--set", "labels.min_clas=0.5")
    assert unknown.exit_code == 2
    assert "did you mean 'min_class'?" in unknown.stderr
    assert not (tmp_path / "run").exists()


def test_a_cohort_without_tumour_stops(phantom_cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(phantom_cohort.parent, tmp_path / "cohort")
    table = pd.read_csv(phantom_cohort, dtype=str)
    for file in table["annotation"]:
        empty = {"type": "FeatureCollection", "features": []}
        (tmp_path / "cohort" / file).write_text(json.dumps(empty))
    result = prepare(tmp_path / "cohort" / "cohort.csv", tmp_path / "run")
    assert result.exit_code == 2
    assert "split 'train' has no patch of class 'tumour'" in result.stderr
