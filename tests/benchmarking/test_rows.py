from __future__ import annotations

from collections.abc import Callable

import pytest

from h2g.benchmarking.rows import (
    PATCHWISE,
    RowResult,
    mean,
    sd,
    seconds_text,
    sum_phases,
)

# read, tissue, wait, patch, stitch, refinement, write, total
FIRST = (9.0, 1.0, 0.5, 4.0, 0.5, 1.0, 1.0, 8.0)
SECOND = (9.0, 1.0, 0.5, 6.0, 0.5, 1.0, 1.0, 10.0)


def test_means_and_deviations_by_hand(timed: Callable[..., RowResult]) -> None:
    row = timed(FIRST, SECOND)
    assert row.mean_s["total"] == 9
    # Of 8 and 10 around 9, one degree of freedom lost: sqrt((1 + 1) / 1).
    assert row.sd_s["total"] == pytest.approx(2**0.5)
    assert row.sd_s["tissue"] == 0
    assert row.patches_per_s == pytest.approx(100 / 9)


def test_patchwise_is_what_makes_the_heatmap(timed: Callable[..., RowResult]) -> None:
    row = timed(FIRST, SECOND)
    assert row.each(*PATCHWISE) == [6.0, 8.0]
    assert row.each(*PATCHWISE, "refinement", "write") == row.each("total")


def test_a_phase_that_is_not_told_is_no_zero(timed: Callable[..., RowResult]) -> None:
    row = timed((None,) * 7 + (8.0,), (None,) * 7 + (10.0,), engine="fast")
    assert row.mean_s["total"] == 9
    assert row.mean_s["patch"] is None
    assert row.each(*PATCHWISE) is None
    assert sum_phases([{"patch": 1.0}], "patch", "stitch") is None


def test_one_repeat_has_no_deviation(timed: Callable[..., RowResult]) -> None:
    row = timed(FIRST)
    assert row.sd_s["total"] is None
    assert seconds_text(row.each("total")) == "8.00"
    assert seconds_text([8.0, 10.0]) == "9.00 ± 1.41"
    assert seconds_text(None) == "–"
    assert mean(None) is sd(None) is None


def test_a_row_that_did_not_run_has_no_seconds(skipped: RowResult) -> None:
    assert skipped.patches_per_s is None
    assert set(skipped.mean_s.values()) == {None}


def test_results_survive_their_file(timed: Callable[..., RowResult], skipped: RowResult) -> None:
    for row in (timed(FIRST, SECOND), skipped):
        assert RowResult.model_validate_json(row.model_dump_json()) == row
