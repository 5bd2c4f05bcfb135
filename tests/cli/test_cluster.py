import json

import pytest
from click.testing import CliRunner

from h2g.cli.main import main

RECIPE = """\
name: small
description: Clusters, small enough for a test.
preprocessing:
  patch: {mpp: 2.0, size_px: 32}
clustering: {weights: none, batches: 4, batch_size: 8, clusters: 3}
patch: {workers: 2}
"""


def h2g(*args: object):
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "small.yaml"
    file.write_text(RECIPE)
    return file


@pytest.fixture
def prepared(phantom_cohort, recipe, tmp_path):
    result = h2g("prepare", phantom_cohort, "--recipe", recipe, "--out", tmp_path / "run", "-q")
    assert result.exit_code == 0, result.output
    return tmp_path / "run"


@pytest.fixture
def classifier(tiny_run):
    return tiny_run / "patch" / "model.keras"


def test_clusters_of_another_runs_classifier(prepared, classifier):
    result = h2g("cluster", prepared, "--features", classifier, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["settings"]["features"] == str(classifier)
    assert document["features"] == 64
    assert [row["cluster"] for row in document["clusters"]] == [0, 1, 2]
    assert document["patches"] == 32
    # Again, without saying which: nothing is done, and the table is printed.
    model = (prepared / "clusters" / "model.keras").stat().st_mtime_ns
    again = h2g("cluster", prepared)
    assert again.exit_code == 0, again.output
    assert "share" in again.stdout
    assert str(prepared / "clusters") in again.stdout
    assert (prepared / "clusters" / "model.keras").stat().st_mtime_ns == model
    # Others are refused, and what is there stays done.
    other = h2g("cluster", prepared, "--features", "mobilenet_v2")
    assert other.exit_code == 2
    assert f"have features {classifier}, not mobilenet_v2. Delete that folder" in other.stderr
    assert json.loads((prepared / "run.json").read_text())["stages"]["cluster"]["done"]


def test_train_has_the_stage(phantom_cohort, recipe, prepared):
    args = ("train", phantom_cohort, "--recipe", recipe, "--out", prepared, "--jobs", 1)
    result = h2g(*args, "--stage", "prepare", "--stage", "cluster", "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["stages"]
    assert [(row["stage"], row["done"]) for row in rows] == [
        ("prepare", True),
        ("cluster", True),
        ("patch", False),
    ]
    assert json.loads((prepared / "clusters" / "clusters.json").read_text())["features"] == 512


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (("--features", "vgg19"), 2, "Unknown features 'vgg19'. Give mobilenet_v2, "),
        (("--features", "patch"), 2, "the patch network is not trained yet"),
        (("--features", "nowhere.keras"), 1, "there is no such model file"),
        (("--weights", "nowhere.h5"), 1, "there is no such weights file"),
    ],
)
def test_what_cannot_be_is_told(prepared, args, code, sentence):
    result = h2g("cluster", prepared, *args)
    assert result.exit_code == code
    assert sentence in result.stderr


def test_a_folder_that_is_no_run_is_told(tmp_path):
    result = h2g("cluster", tmp_path)
    assert result.exit_code == 2
    assert "not a run folder" in result.stderr


def test_a_run_that_is_not_prepared_is_told(phantom_cohort, recipe, prepared):
    for file in (prepared / "index").iterdir():
        file.unlink()
    result = h2g("cluster", prepared)
    assert result.exit_code == 2
    assert "no train slide is indexed. Run 'h2g prepare' first." in result.stderr
