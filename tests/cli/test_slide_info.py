import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from h2g.cli.main import main

CMU = Path(__file__).parents[1] / "data" / "CMU-1-Small-Region.svs"


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.svs"
    path.write_text("text")
    return path


def test_one_document(broken: Path) -> None:
    result = CliRunner().invoke(main, ["slide-info", "--json", str(broken), str(CMU)])
    assert result.exit_code == 1  # one failed, the other was still described
    failed, ok = json.loads(result.stdout)
    assert failed["status"] == "failed"
    assert "broken.svs" in failed["reason"]
    assert ok["status"] == "ok"
    assert ok["field_level0"] == [2220, 2967]
    assert (ok["mpp"], ok["mpp_source"]) == (0.499, "slide")
    assert ok["levels"] == [{"size_px": [2220, 2967], "downsample": 1.0, "mpp": 0.499}]
    assert ok["tile_px"] == [240, 240]


def test_table(broken: Path) -> None:
    good = CliRunner().invoke(main, ["slide-info", str(CMU)])
    assert good.exit_code == 0
    for text in ("2220 x 2967 at 0.499 um/px", "source: slide", "20x", "aperio", "240 x 240"):
        assert text in good.stdout
    bad = CliRunner().invoke(main, ["slide-info", str(CMU), str(broken)])
    assert bad.exit_code == 1
    assert "failed" in bad.stdout


def test_resolution_given_and_missing(tmp_path: Path) -> None:
    path = tmp_path / "region.png"
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(path)
    without = CliRunner().invoke(main, ["slide-info", str(path)])
    assert without.exit_code == 0
    assert "unknown" in without.stdout
    assert "--mpp 0.25" in without.stdout
    given = CliRunner().invoke(main, ["slide-info", "--mpp", "0.5", str(path)])
    assert "0.5 um/px, source: given" in given.stdout
    assert CliRunner().invoke(main, ["slide-info", "--mpp", "0", str(path)]).exit_code == 2


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_a_name_that_is_not_utf8(tmp_path: Path, encoding: str) -> None:
    """In a process of its own, because a test run's streams write every text."""
    names = [b"gr\xfcn.svs", "grün [x].svs".encode()]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_text("no slide")
    command = [sys.executable, "-c", "from h2g.cli.main import main; main()", "slide-info"]
    files = [os.fsencode(tmp_path) + b"/" + name for name in names]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for option in ("--json", "--quiet"):
        result = subprocess.run([*command, option, *files], capture_output=True, env=environment)
        assert result.returncode == 1, result.stderr.decode()
        assert not result.stderr
        if option == "--json":
            rows = json.loads(result.stdout.decode())
            assert [Path(row["slide"]).name for row in rows] == [os.fsdecode(n) for n in names]
        else:
            assert rb"gr\udcfcn.svs" in result.stdout
