"""h2g ablation, what is around the training of its designs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from h2g.ablation import run_ablation
from h2g.ablation.design_plan import Planned
from h2g.cli.main import main
from h2g.recipes.reading import load_recipe


def ablation(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["ablation", *map(str, arguments)])


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[Planned]:
    """The designs that were tried; each fails in place of being trained."""
    tried: list[Planned] = []

    def fail(design: Planned) -> str:
        tried.append(design)
        return "Not enough memory."

    monkeypatch.setattr(run_ablation, "in_own_process", fail)
    return tried


def test_designs_that_fail_are_rows_and_exit_code_1(
    phantom_cohort: Path, tmp_path: Path, attempts: list[Planned]
) -> None:
    out = tmp_path / "out"
    options = ("--design", "mob-pw", "--design", "otsu", "--seed", "3", "--set", "patch.epochs=2")
    result = ablation(phantom_cohort, "--out", out, *options, "--jobs", "2", "--json")
    assert result.exit_code == 1
    assert "h2g: Failed: otsu, mob-pw. Run the same command to try again." in result.stderr
    rows = json.loads(result.stdout)["designs"]
    assert [(row["number"], row["design"], row["status"]) for row in rows] == [
        ("I", "otsu", "failed"),
        ("IV", "mob-pw", "failed"),
    ]
    assert rows[1]["remark"] == "failed: Not enough memory."
    assert rows[1]["paper_dice_mean"] == load_recipe("mob-pw").paper.metrics["dice"][0]
    assert (attempts[1].recipe.seed, attempts[1].recipe.patch.epochs, attempts[1].jobs) == (3, 2, 2)
    assert "scale paper, seed 3" in (out / "ablation.md").read_text("utf-8").lower()

    result = ablation(phantom_cohort, "--out", out, *options)
    assert result.exit_code == 1
    for words in ("mob-pw", "failed: Not enough memory.", "tables: "):
        assert words in result.stdout
    assert len(attempts) == 4


def test_wrong_use(phantom_cohort: Path, tmp_path: Path, attempts: list[Planned]) -> None:
    out = tmp_path / "out"
    for options, sentence in (
        (("--design", "demo"), "There is no design 'demo'. Designs: otsu, unet-lr"),
        (("--scale", "large"), "large"),
        (("--scale", "small", "--design", "mob-km-pw"), "--design mob-pw --design mob-km-pw"),
    ):
        result = ablation(phantom_cohort, "--out", out, *options)
        assert result.exit_code == 2
        assert sentence in result.stderr
    assert not attempts
    assert not out.exists()


def test_folders_of_another_seed_are_refused(
    phantom_cohort: Path, tmp_path: Path, attempts: list[Planned]
) -> None:
    options = ("--out", tmp_path / "out", "--design", "otsu")
    assert ablation(phantom_cohort, *options).exit_code == 1
    result = ablation(phantom_cohort, *options, "--seed", "1")
    assert result.exit_code == 2
    assert "seed" in result.stderr
    assert len(attempts) == 1
