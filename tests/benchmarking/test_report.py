from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from h2g.benchmarking.report import (
    bars,
    document,
    markdown,
    paper_cells,
    paper_columns,
    write_report,
)
from h2g.benchmarking.row import RowResult
from tests.markdown_text import narrow

# read, tissue, wait, patch, refinement, stitch, write, total
FIRST = (9.0, 1.0, 0.5, 4.0, 1.0, 0.5, 1.0, 8.0)
SECOND = (9.0, 1.0, 0.5, 6.0, 1.0, 0.5, 1.0, 10.0)
Rows = list[RowResult]


@pytest.fixture
def rows(timed: Callable[..., RowResult], skipped: RowResult) -> Rows:
    fast = timed((None,) * 7 + (20.0,), (None,) * 7 + (22.0,), engine="fast")
    return [timed(FIRST, SECOND), fast, skipped]


def test_the_documents_shape(rows: Rows) -> None:
    found = document(rows)
    assert found["slide"] == "slides/slide.svs"
    first, fast, skipped = found["rows"]
    assert (first["engine"], first["device"], first["precision"]) == ("openvino", "CPU", "float32")
    assert (first["status"], first["reason"], first["patches"]) == ("ok", "", 100)
    wanted = {"read", "tissue", "patch", "stitch", "refinement", "write", "total"}
    assert wanted <= set(first["mean_s"])
    assert set(first["sd_s"]) == set(first["mean_s"])
    assert first["mean_s"]["total"] == 9
    assert fast["mean_s"]["patch"] is None
    assert (skipped["status"], skipped["reason"]) == ("skipped", "no such file.")
    assert json.loads(json.dumps(found)) == found


def test_files(rows: Rows, tmp_path: Path) -> None:
    write_report(rows, tmp_path)
    assert json.loads((tmp_path / "benchmark.json").read_text()) == document(rows)
    table = pd.read_csv(tmp_path / "benchmark.csv")
    assert table["status"].tolist() == ["ok", "ok", "skipped"]
    assert table["seconds_total"][0] == 9
    assert table["sd_total"][0] == pytest.approx(2**0.5, abs=1e-4)
    assert pd.isna(table["seconds_patch"][1])
    assert (tmp_path / "benchmark.png").stat().st_size > 5000
    assert not list(tmp_path.glob(".*"))


def test_markdown_has_the_papers_columns(rows: Rows) -> None:
    lines = narrow("\n".join(markdown(rows))).splitlines()
    # Patch-wise is 6 and 8, with refinement 7 and 9, with writing 8 and 10: 100 patches in 9 s.
    assert (
        "| bundle | openvino | CPU | float32 | 7.00 ± 1.41 | 1.00 ± 0.00 | 8.00 ± 1.41 "
        "| 9.00 ± 1.41 | 11.1 |"
    ) in lines
    assert "| bundle | fast | CPU | float32 | – | – | – | 21.00 ± 1.41 | 4.8 |" in lines
    assert "- bundle tflite CPU int8: skipped, no such file." in lines
    text = "\n".join(lines)
    assert "Abacus 3, 4 cores (avx2)" in text
    assert "100 patches; 2 repeats after 1 warm-up" in text
    assert "FAST runs in its own process" in text


def test_a_network_that_no_row_has_is_no_column(rows: Rows) -> None:
    first = rows[0]
    one_stage = first.model_copy(
        update={
            "seconds": tuple(
                {phase: seconds for phase, seconds in repeat.items() if phase != "refinement"}
                for repeat in first.seconds
            )
        }
    )
    ends = ["total", "total with writing", "patches/s"]
    assert paper_columns([one_stage]) == ["patch-wise", *ends]
    assert paper_cells(one_stage, [one_stage])[:2] == ["7.00 ± 1.41", "7.00 ± 1.41"]
    assert paper_columns([one_stage, first]) == ["patch-wise", "refinement", *ends]
    beside = paper_cells(one_stage, [one_stage, first])
    assert beside[:3] == ["7.00 ± 1.41", "–", "7.00 ± 1.41"]


def test_a_report_of_nothing_that_ran(skipped: RowResult, tmp_path: Path) -> None:
    write_report([skipped], tmp_path)
    assert "- bundle tflite CPU int8: skipped" in (tmp_path / "benchmark.md").read_text()
    assert not (tmp_path / "benchmark.png").exists()


def test_bars_have_the_phases_that_are_told(rows: Rows) -> None:
    first, fast = bars(rows)
    assert first.label == "openvino, CPU\nfloat32"
    assert first.parts == {
        "tissue": 1.0,
        "waiting for patches": 0.5,
        "patch network": 5.5,
        "refinement network": 1.0,
        "writing": 1.0,
    }
    assert sum(first.parts.values()) == first.total == 9
    assert fast.parts == {"whole process": 21.0}


def test_bars_of_several_bundles_are_told_apart(rows: Rows) -> None:
    settings = rows[0].settings
    choice = settings.choice.model_copy(update={"model": Path("other")})
    other = rows[0].model_copy(update={"settings": settings.model_copy(update={"choice": choice})})
    labels = [bar.label for bar in bars([rows[0], other])]
    assert labels == ["bundle: openvino, CPU\nfloat32", "other: openvino, CPU\nfloat32"]
