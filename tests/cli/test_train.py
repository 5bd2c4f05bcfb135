import json

import pytest
from click.testing import CliRunner

from h2g.cli.main import main


def h2g(*args: object):
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def half_done(phantom_cohort, tmp_path):
    """The prepare stage alone."""
    args = ("train", phantom_cohort, "--recipe", "demo", "--out", tmp_path / "run", "--jobs", 1)
    result = h2g(*args, "--stage", "prepare", "--json")
    assert result.exit_code == 0, result.output
    return result, args


def test_a_stage_can_be_done_alone(half_done, tmp_path):
    result, args = half_done
    document = json.loads(result.stdout)
    assert document["run"] == str(tmp_path / "run")
    assert [(row["stage"], row["done"]) for row in document["stages"]] == [
        ("prepare", True),
        ("patch", False),
        ("heatmaps", False),
        ("refinement", False),
    ]
    assert len(list((tmp_path / "run" / "index").glob("*.parquet"))) == 6
    result = h2g(*args, "--stage", "prepare")
    assert result.exit_code == 0
    assert "not done" in result.stdout


def test_a_missing_stage_is_wrong_use(half_done):
    _, args = half_done
    result = h2g(*args, "--stage", "refinement")
    assert result.exit_code == 2
    assert "the refinement stage needs the patch stage" in result.stderr


def test_another_recipe_is_refused(half_done):
    _, args = half_done
    result = h2g(*args, "--set", "seed=9")
    assert result.exit_code == 2
    assert "this run has another recipe (seed was 0 and is 9 now)" in result.stderr


def test_mirrored_with_accumulation_is_wrong_use(phantom_cohort, tmp_path):
    args = ("--recipe", "mob-pw-unet", "--strategy", "mirrored", "--out", tmp_path / "run")
    result = h2g("train", phantom_cohort, *args)
    assert result.exit_code == 2
    assert "--set refinement.accumulation_steps=1" in result.stderr


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--recipe", "demmo"), "Did you mean 'demo'"),
        (("--recipe", "demo", "--set", "patch.epoch=3"), "did you mean 'epochs'"),
    ],
)
def test_wrong_recipes_are_wrong_use(phantom_cohort, tmp_path, args, sentence):
    result = h2g("train", phantom_cohort, *args, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not (tmp_path / "run").exists()


def test_recipes_are_listed_and_printed():
    listed = h2g("recipes", "--json")
    names = {row["name"]: row["models"] for row in json.loads(listed.stdout)}
    assert names["mob-pw"] == ["mobilenet_v2"]
    assert names["mob-pw-unet"] == ["mobilenet_v2", "unet"]
    text = h2g("recipes", "mob-pw-unet").stdout
    assert text.startswith("# Design VI of H2G-Net")
    assert "# the paper" in text
    assert h2g("recipes", "nosuch").exit_code == 2
