"""Statistics against a published worked example, printed tables and sums done by hand."""

import numpy as np
import pandas as pd
import pytest

from h2g.evaluation.statistics import bootstrap_interval, paired_wilcoxon, tukey

# Sums of squares within: 4.992, 4.868, 7.592 and 3.840; mean square 21.292 / 16 = 1.331.
FOUR_GROUPS = pd.DataFrame(
    {
        "1": [6.9, 5.4, 5.8, 4.6, 4.0],
        "2": [8.3, 6.8, 7.8, 9.2, 6.5],
        "3": [8.0, 10.5, 8.1, 6.9, 9.3],
        "4": [5.8, 3.8, 6.1, 5.6, 6.2],
    }
)
# Darwin's cross- against self-fertilised maize, heights in eighths of an inch: Wilcoxon 1945.
DARWIN = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]


def test_tukey_by_the_table_of_the_studentised_range() -> None:
    pairs = tukey(FOUR_GROUPS).set_index(["first", "second"])
    # q(0.05; 4 groups, 16 degrees of freedom) = 4.05 in the printed tables: half width
    # 4.05 sqrt(1.331 / 5) = 2.09 around the differences of the means 2.38, 3.22 and -3.06.
    expected = {("1", "2"): (0.29, 4.47), ("1", "3"): (1.13, 5.31), ("3", "4"): (-5.15, -0.97)}
    for pair, (low, high) in expected.items():
        assert pairs.loc[pair, "low"] == pytest.approx(low, abs=0.01)
        assert pairs.loc[pair, "high"] == pytest.approx(high, abs=0.01)
    different = pairs[pairs["p"] < 0.05].index.tolist()
    assert different == [("1", "2"), ("1", "3"), ("2", "4"), ("3", "4")]


def test_tukey_of_one_design_or_one_slide_is_empty() -> None:
    assert tukey(FOUR_GROUPS[["1"]]).empty
    assert tukey(FOUR_GROUPS.head(1)).empty


def test_wilcoxon_is_darwins_example() -> None:
    table = paired_wilcoxon(pd.DataFrame({"self": 0.0, "cross": np.array(DARWIN, float)}))
    # Rank sum 24 of 15 pairs: exact two-sided p = 0.04126.
    assert table.loc[0, "p"] == pytest.approx(0.041259765625)
    assert table.loc[0, "difference"] == 24


def test_holm_corrects_by_the_number_of_pairs_that_are_left() -> None:
    rising = np.arange(1.0, 9.0)
    table = paired_wilcoxon(pd.DataFrame({"a": 0 * rising, "b": rising, "c": rising * 1.5}))
    # All eight differences of each pair have one sign: p = 2 / 2 ** 8 for each of three pairs.
    np.testing.assert_allclose(table["p"], 2 / 256)
    np.testing.assert_allclose(table["p_holm"], 6 / 256)
    table = paired_wilcoxon(pd.DataFrame({"a": rising, "b": rising, "c": rising + 1}))
    assert table["p"].tolist() == pytest.approx([1.0, 2 / 256, 2 / 256])
    assert table["p_holm"].tolist() == pytest.approx([1.0, 6 / 256, 6 / 256])


def test_bootstrap_draws_patients_not_slides() -> None:
    # Two patients: both drawn as a (1/4), one each (1/2: mean 3/4), both as b (1/4).
    interval = bootstrap_interval([1, 1, 1, 0], ["a", "a", "a", "b"])
    assert (interval.low, interval.high) == (0, 1)
    # One patient: nothing varies.
    interval = bootstrap_interval([0.2, 0.4], ["a", "a"])
    assert (interval.low, interval.high) == pytest.approx((0.3, 0.3))


def test_bootstrap_covers_the_known_spread_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(0.8, 0.1, 400)
    interval = bootstrap_interval(values, [str(number) for number in range(400)])
    # Standard error 0.1 / 20: 1.96 of them either way.
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)
    assert interval.low < values.mean() < interval.high
