from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from h2g.benchmarking.row import RowResult, mean, phases, sd, seconds_text, sum_phases
from h2g.results.slide_state import Seconds
from tests.benchmarking.conftest import PHASES

# read, tissue, wait, patch, refinement, stitch, write, total
FIRST = (9.0, 1.0, 0.5, 4.0, 1.0, 0.5, 1.0, 8.0)
SECOND = (9.0, 1.0, 0.5, 6.0, 1.0, 0.5, 1.0, 10.0)
PATCHWISE = ("tissue", "wait", "patch", "stitch")


def test_means_and_deviations_by_hand(timed: Callable[..., RowResult]) -> None:
    row = timed(FIRST, SECOND)
    assert row.mean_s["total"] == 9
    # Of 8 and 10 around 9, one degree of freedom lost: sqrt((1 + 1) / 1).
    assert row.sd_s["total"] == pytest.approx(2**0.5)
    assert row.sd_s["tissue"] == 0
    assert row.patches_per_s == pytest.approx(100 / 9)


def test_a_slides_time_by_the_names_of_columns(timed: Callable[..., RowResult]) -> None:
    seconds = Seconds(
        tissue=1.0,
        read=9.0,
        waiting=0.5,
        stitching=math.nan,
        networks={"patch": 4.0, "refinement": 1.0},
        writing=1.0,
        total=8.0,
    )
    found = phases(seconds)
    assert tuple(found) == timed(FIRST).phases == PHASES
    # NaN is what an engine does not tell.
    assert tuple(found.values()) == (9.0, 1.0, 0.5, 4.0, 1.0, None, 1.0, 8.0)


def test_the_networks_that_were_timed(timed: Callable[..., RowResult], skipped: RowResult) -> None:
    assert timed(FIRST, SECOND).networks == ("patch", "refinement")
    assert skipped.networks == ()


def test_phases_of_a_repeat_are_added_up(timed: Callable[..., RowResult]) -> None:
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
