from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from h2g.data.folds import assign_folds, patients_of
from h2g.folders.cohort import CohortSlide


def slide(name: str, grade: str = "I", patient: str | None = None) -> CohortSlide:
    return CohortSlide(name, Path(f"{name}.svs"), Path(f"{name}.xml"), "train", grade, patient)


def test_patients_stay_together_and_slides_without_one_are_their_own():
    slides = [slide("a", patient="p"), slide("b", patient="q"), slide("c", patient="p")]
    # A slide of the name of a patient is not that patient's.
    slides += [slide("p"), slide("d")]
    groups = [tuple(one.name for one in group) for group in patients_of(slides)]
    assert sorted(groups) == [("a", "c"), ("b",), ("d",), ("p",)]
    folds = assign_folds(slides, 4, seed=0)
    assert folds["a"] == folds["c"]
    assert sorted(folds[name] for name in "abpd") == [1, 2, 3, 4]


@pytest.mark.parametrize("seed", range(5))
def test_grades_are_shared_out(seed):
    slides = [slide(f"{grade}{n}", grade) for grade in ("I", "II", "III") for n in range(4)]
    folds = assign_folds(slides, 2, seed=seed)
    assert Counter((fold, name[:-1]) for name, fold in folds.items()) == {
        (fold, grade): 2 for fold in (1, 2) for grade in ("I", "II", "III")
    }


def test_grades_that_do_not_divide_still_give_folds_of_one_size():
    # One slide a grade: each of 3 folds gets 2 of 6.
    folds = assign_folds([slide(f"s{n}", f"grade {n}") for n in range(6)], 3, seed=1)
    assert Counter(folds.values()) == {1: 2, 2: 2, 3: 2}


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.filterwarnings("error")
def test_no_fold_is_empty_and_no_patient_in_two(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 7))
    # Each patient once, and some of them again; a patient's slides may differ in grade.
    patients = [*range(count + int(rng.integers(5)))]
    patients += rng.choice(patients, int(rng.integers(8))).tolist()
    slides = [
        slide(f"s{n:02}", str(rng.integers(1, 4)), f"p{patient}")
        for n, patient in enumerate(patients)
    ]
    folds = assign_folds(slides, count, seed=seed)
    assert set(folds.values()) == set(range(1, count + 1))
    assert sorted(folds) == [one.name for one in slides]
    together = {(one.patient, folds[one.name]) for one in slides}
    assert len(together) == len(set(patients))


def test_the_seed_decides_and_the_order_of_the_table_does_not():
    slides = [slide(f"s{n:02}") for n in range(12)]
    folds = assign_folds(slides, 3, seed=0)
    assert assign_folds(slides[::-1], 3, seed=0) == folds
    assert any(assign_folds(slides, 3, seed=seed) != folds for seed in range(1, 4))


def test_more_folds_than_patients():
    with pytest.raises(ValueError, match="2 patients cannot"):
        assign_folds([slide("a"), slide("b", patient="p"), slide("c", patient="p")], 3, seed=0)
