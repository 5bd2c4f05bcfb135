"""Folds of slides: patients stay together, grades are shared out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from h2g.cohort import CohortSlide
from h2g.data.random_streams import RandomStream


def patients_of(slides: Sequence[CohortSlide]) -> list[tuple[CohortSlide, ...]]:
    """Slides by patient, in the order of the patients' names; one without a patient is alone."""
    groups: dict[tuple[str, str], list[CohortSlide]] = defaultdict(list)
    for slide in slides:
        key = ("slide", slide.name) if slide.patient is None else ("patient", slide.patient)
        groups[key].append(slide)
    return [tuple(sorted(groups[key], key=lambda slide: slide.name)) for key in sorted(groups)]


def assign_folds(slides: Sequence[CohortSlide], count: int, *, seed: int) -> dict[str, int]:
    """The fold, 1 to ``count``, of every slide by its name.

    Patients are dealt out in an order that the seed gives, those of many slides first, each to the
    fold that has the fewest slides of the patient's grade and of those to the one that has the
    fewest slides. With several grades a patient counts as the one that most slides have.

    Raises:
        ValueError: fewer patients than folds.
    """
    patients = patients_of(slides)
    if len(patients) < count:
        raise ValueError(f"{len(patients)} patients cannot be dealt out to {count} folds")
    order = np.random.default_rng([seed, RandomStream.FOLDS]).permutation(len(patients))
    dealt = sorted((patients[place] for place in order), key=len, reverse=True)
    sizes = dict.fromkeys(range(1, count + 1), 0)
    of_grade: Counter[tuple[int, str]] = Counter()
    folds: dict[str, int] = {}
    for patient in dealt:
        grade = Counter(slide.grade for slide in patient).most_common(1)[0][0]
        fold = min(sizes, key=lambda fold: (of_grade[fold, grade], sizes[fold], fold))
        of_grade[fold, grade] += len(patient)
        sizes[fold] += len(patient)
        folds |= {slide.name: fold for slide in patient}
    return folds
