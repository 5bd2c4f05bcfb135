"""Tests of the differences between designs: Tukey, Wilcoxon with Holm, bootstrap.

Tables have one row per slide and one column per design. Every design is scored on the same slides,
so the paired test has more power. Tukey's test treats the designs as independent samples; it is
included because the paper uses it (Pedersen et al. 2022, section 3.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

LEVEL = 0.05
RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def tukey(dice: pd.DataFrame) -> pd.DataFrame:
    """Tukey's range test over all pairs of designs.

    Returns:
        Columns first, second, difference of means (second minus first), low and high (95 %
        interval of the difference, corrected for the number of pairs), p. Empty with one design
        or one slide.
    """
    from statsmodels.stats.multicomp import pairwise_tukeyhsd

    columns = ["first", "second", "difference", "low", "high", "p"]
    if dice.shape[1] < 2 or len(dice) < 2:
        return pd.DataFrame(columns=columns)
    groups = np.repeat(np.arange(dice.shape[1]), len(dice))
    result = pairwise_tukeyhsd(dice.to_numpy().T.ravel(), groups, alpha=LEVEL)
    rows = [
        (dice.columns[first], dice.columns[second], difference, low, high, p)
        for (first, second), difference, (low, high), p in zip(
            combinations(range(dice.shape[1]), 2),
            result.meandiffs,
            result.confint,
            result.pvalues,
            strict=True,
        )
    ]
    return pd.DataFrame(rows, columns=columns)


def paired_wilcoxon(dice: pd.DataFrame) -> pd.DataFrame:
    """Wilcoxon's signed-rank test (two-sided, zero differences dropped) over all pairs of designs.

    Returns:
        Columns first, second, difference (median over slides of second minus first), p, and p_holm,
        corrected by Holm for the number of pairs. A pair that never differs has p = 1.
    """
    from scipy.stats import wilcoxon
    from statsmodels.stats.multitest import multipletests

    rows = []
    for first, second in combinations(dice.columns, 2):
        differences = (dice[second] - dice[first]).to_numpy()
        p = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
        rows.append((first, second, float(np.median(differences)), p))
    table = pd.DataFrame(rows, columns=["first", "second", "difference", "p"])
    table["p_holm"] = multipletests(table["p"], alpha=LEVEL, method="holm")[1] if rows else None
    return table


def bootstrap_interval(values: ArrayLike, patients: ArrayLike, *, seed: int = 0) -> Interval:
    """95 % percentile interval of the mean over slides, with patients drawn with replacement.

    Slides of one patient are drawn together, since they are not independent samples.

    Args:
        values, patients: one entry per slide.
    """
    table = pd.DataFrame({"value": values, "patient": patients})
    by_patient = table.groupby("patient")["value"].agg(["sum", "count"]).to_numpy()
    drawn = np.random.default_rng(seed).integers(len(by_patient), size=(RESAMPLES, len(by_patient)))
    sums, counts = by_patient[drawn].sum(axis=1).T
    low, high = np.percentile(sums / counts, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)])
    return Interval(float(low), float(high))
