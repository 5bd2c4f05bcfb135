import json

from click.testing import CliRunner

from h2g.cli.main import main


def recipes(*args: str) -> str:
    result = CliRunner().invoke(main, ["recipes", *args])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_papers_designs_come_first_with_their_dice() -> None:
    rows = json.loads(recipes("--json"))
    designs = [(row["paper"]["design"], row["name"]) for row in rows if row["paper"]]
    assert designs[0] == ("I", "otsu")
    assert designs[-1] == ("IX", "mob-pw-doubleunet")
    assert len(designs) == 9
    assert [row["paper"] for row in rows[9:]] == [None] * (len(rows) - 9)
    by_name = {row["name"]: row for row in rows}
    assert by_name["mob-pw-unet"]["paper"]["dice"] == [0.933, 0.069]
    assert by_name["unet-lr"]["models"] == ["unet"]


def test_the_table_shows_number_and_dice() -> None:
    lines = [line.split() for line in recipes().splitlines()]
    line = next(line for line in lines if "mob-pw-unet" in line)
    assert line[:6] == ["VI", "mob-pw-unet", "mobilenet_v2", "+", "unet", "0.933"]
    assert lines.index(line) < next(i for i, each in enumerate(lines) if each[:1] == ["demo"])


def test_the_schema_is_printed_alone() -> None:
    schema = json.loads(recipes("--schema"))
    assert schema["required"] == ["name", "description"]
    assert "extends" in schema["properties"]
    result = CliRunner().invoke(main, ["recipes", "demo", "--schema"])
    assert result.exit_code == 2
    assert "omit the name" in result.output
