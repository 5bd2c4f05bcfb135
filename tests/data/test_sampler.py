from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chisquare

from h2g.data.sampler import Draw, SlidePatches, build_tree, draw, without_slide
from tests.plain_plans import plain_plan

PLAN = plain_plan(64)
# Grades of 2, 1 and 3 slides; slides of 1 to 43 patches; slides 1 and 4 lack a class.
GRADES = ("1", "1", "2", "3", "3", "3")
LABELS = ([0] * 5 + [1] * 2, [0] * 30, [1] * 40 + [0] * 3, [0, 1], [1] * 7, [0] * 10 + [1] * 4)
DRAWS = 12_000


def slide(grade: str, labels: list[int]) -> SlidePatches:
    return SlidePatches(
        name="slide",
        path=Path("slide.svs"),
        mpp=None,
        grade=grade,
        plan=PLAN,
        xy_level0=np.zeros((len(labels), 2), np.int64),
        labels=np.array(labels, np.int8),
    )


COHORT = [slide(grade, labels) for grade, labels in zip(GRADES, LABELS, strict=True)]


def drawn(order: tuple[str, ...], seed: int = 0) -> list[Draw]:
    return draw(build_tree(COHORT, order), np.random.default_rng(seed), DRAWS)


def grade_of(item: Draw) -> str:
    return GRADES[item.slide]


def label_of(item: Draw) -> int:
    return LABELS[item.slide][item.patch]


def p_uniform(values: list, possible: set) -> float:
    """The chance of counts at least so uneven if all of ``possible`` were equally likely."""
    counts = Counter(values)
    assert set(counts) <= possible
    return 1.0 if len(possible) == 1 else chisquare([counts[key] for key in possible]).pvalue


def test_every_level_is_uniform() -> None:
    draws = drawn(("grade", "slide", "label"))
    p_values = [p_uniform([grade_of(item) for item in draws], set(GRADES))]
    for grade in set(GRADES):
        inside = [item for item in draws if grade_of(item) == grade]
        slides = {number for number, other in enumerate(GRADES) if other == grade}
        p_values.append(p_uniform([item.slide for item in inside], slides))
    for number, labels in enumerate(LABELS):
        inside = [item for item in draws if item.slide == number]
        p_values.append(p_uniform([label_of(item) for item in inside], set(labels)))
        for label in set(labels):
            patches = {place for place, other in enumerate(labels) if other == label}
            of_label = [item.patch for item in inside if label_of(item) == label]
            p_values.append(p_uniform(of_label, patches))
    # 1 + 3 + 6 + 10 tests: with the uniform law the smallest of 20 is above 0.0005 in 99 %.
    assert len(p_values) == 20
    assert min(p_values) > 0.0005


def test_the_chi_square_sees_a_law_that_is_not_uniform() -> None:
    # All patches alike: grades then come as often as they have patches (37, 43 and 23 of 103).
    draws = drawn(())
    assert p_uniform([grade_of(item) for item in draws], set(GRADES)) < 1e-6
    everything = {(n, patch) for n, labels in enumerate(LABELS) for patch in range(len(labels))}
    assert p_uniform([(item.slide, item.patch) for item in draws], everything) > 0.001


def test_the_order_is_the_tree() -> None:
    # Labels first: half the draws of each label although 48 patches of 103 are background, and
    # within a label all slides that have it alike.
    draws = drawn(("label", "slide"))
    assert p_uniform([label_of(item) for item in draws], {0, 1}) > 0.001
    for label in (0, 1):
        having = {number for number, labels in enumerate(LABELS) if label in labels}
        inside = [item.slide for item in draws if label_of(item) == label]
        assert p_uniform(inside, having) > 0.001
    # Without grades every slide is as likely as any other.
    assert p_uniform([item.slide for item in drawn(("slide",))], set(range(6))) > 0.001


def test_a_seed_gives_one_sequence() -> None:
    order = ("grade", "slide", "label")
    assert drawn(order, seed=3) == drawn(order, seed=3)
    assert drawn(order, seed=3) != drawn(order, seed=4)


def test_a_dropped_slide_leaves_the_others_uniform() -> None:
    tree = without_slide(build_tree(COHORT), 2)  # the only slide of grade 2
    draws = draw(tree, np.random.default_rng(0), DRAWS)
    assert p_uniform([grade_of(item) for item in draws], {"1", "3"}) > 0.001
    tree = without_slide(tree, 3)
    draws = draw(tree, np.random.default_rng(0), DRAWS)
    third = [item.slide for item in draws if grade_of(item) == "3"]
    assert p_uniform(third, {4, 5}) > 0.001


def test_a_dropped_slide_leaves_mixed_leaves_too() -> None:
    tree = without_slide(build_tree(COHORT, ("grade",)), 5)
    draws = draw(tree, np.random.default_rng(0), 1000)
    # Grade 3 keeps slides 3 (2 patches) and 4 (7), drawn by patch.
    third = Counter(item.slide for item in draws if grade_of(item) == "3")
    assert set(third) == {3, 4}
    assert third[4] > 2 * third[3]


def test_nothing_is_left_of_an_empty_tree() -> None:
    tree = build_tree(COHORT)
    for number in range(len(COHORT)):
        assert tree is not None
        tree = without_slide(tree, number)
    assert tree is None
    assert build_tree([slide("1", [])]) is None


def test_slides_without_patches_take_no_part() -> None:
    tree = build_tree([slide("1", []), slide("2", [0, 1])])
    draws = draw(tree, np.random.default_rng(0), 50)
    assert {item.slide for item in draws} == {1}


@pytest.mark.parametrize("order", [("grade", "grade"), ("patient",)])
def test_an_order_of_other_levels_is_refused(order: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="order"):
        build_tree(COHORT, order)
