import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from h2g.cli.main import main

CMU = Path(__file__).parents[1] / "data" / "CMU-1-Small-Region.svs"


def run(*arguments: object):
    return CliRunner().invoke(main, ["tissue", "--quiet", *map(str, arguments)])


def test_masks_and_previews(tmp_path: Path) -> None:
    result = run(CMU, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0
    (row,) = json.loads(result.stdout)
    mask = np.asarray(Image.open(tmp_path / "out" / "CMU-1-Small-Region.png")) > 0
    assert row["tissue_percent"] == pytest.approx(100 * mask.mean(), abs=0.001)
    assert 30 < row["tissue_percent"] < 45
    assert row["mask_mpp"] == pytest.approx(8.0, rel=0.01)
    preview = Image.open(row["preview"])
    assert preview.size == mask.shape[::-1]
    assert preview.mode == "RGB"


def test_profiles_differ(tmp_path: Path) -> None:
    paper, fast = (
        json.loads(run(CMU, "--out", tmp_path / name, "--profile", name, "--json").stdout)[0]
        for name in ("paper", "fast")
    )
    assert fast["mask_mpp"] == 0.499  # the slide's only level
    assert paper["mask_mpp"] != fast["mask_mpp"]


def test_rule_from_a_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "name: mine\ndescription: mine\npreprocessing:\n  tissue: {threshold: 254, mpp: 16}\n"
    )
    (row,) = json.loads(run(CMU, "--out", tmp_path, "--recipe", recipe, "--json").stdout)
    assert row["mask_mpp"] == pytest.approx(16, rel=0.02)
    assert row["tissue_percent"] < 1
    both = run(CMU, "--out", tmp_path, "--recipe", recipe, "--profile", "fast")
    assert both.exit_code == 2
    assert "one of them" in both.stderr


def test_a_failing_slide_does_not_stop_the_others(tmp_path: Path) -> None:
    broken, glass = tmp_path / "broken.svs", tmp_path / "glass.png"
    broken.write_text("text")
    Image.fromarray(np.full((200, 300, 3), 250, np.uint8)).save(glass)
    result = run(broken, glass, CMU, "--out", tmp_path / "out", "--mpp", "0.5", "--json")
    assert result.exit_code == 1
    first, second, third = json.loads(result.stdout)
    assert first["status"] == "failed"
    assert "broken.svs" in first["reason"]
    assert (second["tissue_percent"], third["status"]) == (0, "ok")
    assert "no tissue" in second["reason"]
    table = run(broken, CMU, "--out", tmp_path / "out")
    assert table.exit_code == 1
    assert "39.3" in table.stdout


def test_slides_of_one_name_are_refused(tmp_path: Path) -> None:
    result = run(CMU, tmp_path / CMU.name, "--out", tmp_path)
    assert result.exit_code == 2
    assert "CMU-1-Small-Region" in result.stderr


def test_names_of_slides_and_of_their_files(tmp_path: Path) -> None:
    """A preview is no mask of another slide, and a name that is not UTF-8 gets its files."""
    names = ("x.png", "x_preview.png", os.fsdecode(b"gr\xfcn.png"))
    for name in names:
        Image.fromarray(np.full((200, 300, 3), 250, np.uint8)).save(tmp_path / "glass.png")
        (tmp_path / "glass.png").rename(tmp_path / name)
    first, second, latin = (tmp_path / name for name in names)
    result = run(first, second, "--out", tmp_path / "out", "--mpp", "0.5")
    assert result.exit_code == 2
    assert "would both write x_preview.png" in result.stderr
    result = run(first, latin, "--out", tmp_path / "out", "--mpp", "0.5", "--json")
    assert result.exit_code == 0, result.output
    assert Path(json.loads(result.stdout)[1]["mask"]).name == "gr%FCn.png"
    files = ["gr%FCn.png", "gr%FCn_preview.png", "x.png", "x_preview.png"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == files
