"""Folds of slides that keep patients together and balance grades."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from h2g.data.random_streams import RandomStream
from h2g.folders.cohort import CohortSlide


def patients_of(slides: Sequence[CohortSlide]) -> list[tuple[CohortSlide, ...]]:
    """Slides grouped by patient, sorted by name; a slide without a patient is its own group."""
    groups: dict[tuple[str, str], list[CohortSlide]] = defaultdict(list)
    for slide in slides:
        key = ("slide", slide.name) if slide.patient is None else ("patient", slide.patient)
        groups[key].append(slide)
    return [tuple(sorted(groups[key], key=lambda slide: slide.name)) for key in sorted(groups)]


def assign_folds(slides: Sequence[CohortSlide], count: int, *, seed: int) -> dict[str, int]:
    """The fold, 1 to ``count``, of every slide by its name.

    scikit-learn's StratifiedGroupKFold keeps a patient's slides in one fold, balances the grades as
    far as patients allow, and leaves no fold empty. The result depends on the seed, but not on the
    order of the slides.

    Raises:
        ValueError: there are fewer patients than folds.
    """
    patients = patients_of(slides)
    if len(patients) < count:
        raise ValueError(f"{len(patients)} patients cannot be split into {count} folds")
    # Every slide is repeated ``count`` times, which changes no share, because scikit-learn rejects
    # grades with fewer members than folds.
    members = [
        (slide, number) for number, patient in enumerate(patients) for slide in patient
    ] * count
    grades = [slide.grade for slide, _ in members]
    groups = [number for _, number in members]
    state = np.random.SeedSequence([seed, RandomStream.FOLDS]).generate_state(1)[0]
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=int(state))
    return {
        members[place][0].name: fold
        for fold, (_, places) in enumerate(splitter.split(grades, grades, groups), start=1)
        for place in places
    }
