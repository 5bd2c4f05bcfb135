from pathlib import Path

from click.testing import CliRunner, Result

from h2g.cli.main import main


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["phantom", "--quiet", *map(str, arguments)])


def test_makes_a_cohort_and_names_its_table(tmp_path: Path) -> None:
    out = tmp_path / "cohort"
    small = ("--slides", 1, "--size-mm", 1, "--jobs", 1, "--format", "tiff")
    result = run(out, *small)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out / 'cohort.csv'}\n"
    assert (out / "slides" / "phantom_01.tiff").is_file()
    refused = run(out, *small, "--seed", 1)
    assert refused.exit_code == 2
    assert "seed was 0 and is now 1" in refused.stderr
    assert refused.stdout == ""


def test_wrong_options_are_a_sentence(tmp_path: Path) -> None:
    result = run(tmp_path / "out", "--slides", 0)
    assert result.exit_code == 2
    assert "--slides 1 or more" in result.stderr


def test_help_has_an_example() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "h2g phantom cohort" in result.stdout
