from __future__ import annotations

import json

from click.testing import CliRunner

from h2g.cli.main import main


def test_list_as_json() -> None:
    result = CliRunner().invoke(main, ["models", "--json"])
    assert result.exit_code == 0
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert rows["mobilenet_v2"]["parameters"] == 2_386_686
    assert rows["unet"] == {
        "name": "unet",
        "kind": "refinement",
        "answer": "mask",
        "parameters": 11_572_562,
        "paper_parameters": 11_580_000,
        "source": "Ronneberger et al. 2015; as in Pedersen et al. 2022 (H2G-Net)",
    }


def test_table_lists_every_model() -> None:
    result = CliRunner().invoke(main, ["models"])
    assert result.exit_code == 0
    assert "mobilenet_v2" in result.stdout
    assert "11,572,562" in result.stdout


def test_one_model_shows_its_layers() -> None:
    result = CliRunner().invoke(main, ["models", "unet"])
    assert result.exit_code == 0
    assert "bottleneck_0_conv" in result.stdout
    assert "11,572,562" in result.stdout


def test_unknown_name_is_a_sentence_and_wrong_use() -> None:
    result = CliRunner().invoke(main, ["models", "u-net"])
    assert result.exit_code == 2
    assert "No model 'u-net'. Did you mean 'unet'?" in result.stderr
