from pathlib import Path

import numpy as np
import pytest

from h2g.data.sampler import SlidePatches, build_tree, class_rates, draw, without_slide
from tests.plain_plans import plain_plan

PLAN = plain_plan(32)


def slide(name: str, grade: str, labels: list[int]) -> SlidePatches:
    places = np.zeros((len(labels), 2), np.int64)
    return SlidePatches(name, Path(name), None, grade, PLAN, places, np.array(labels, np.int8))


# Tumour: 1 of 4, 1 of 2, 1 of 10; the last slide has none.
SLIDES = [
    slide("a", "I", [0, 0, 0, 1]),
    slide("b", "II", [0, 1]),
    slide("c", "II", [0] * 9 + [1]),
    slide("d", "II", [0, 0, 0]),
]


@pytest.mark.parametrize(
    ("order", "tumour"),
    [
        ((), 3 / 19),
        # Grade I 1/4, grade II 2 of 15 patches: (1/4 + 2/15) / 2.
        (("grade",), 23 / 120),
        # Grade II: (1/2 + 1/10 + 0) / 3 = 1/5. (1/4 + 1/5) / 2.
        (("grade", "slide"), 9 / 40),
        # With labels in the tree each is 1/2, but on the slide that has only one.
        (("grade", "slide", "label"), (1 / 2 + 1 / 3) / 2),
        (("label", "grade"), 1 / 2),
    ],
)
def test_by_hand_and_as_drawn(order, tumour):
    tree = build_tree(SLIDES, order)
    assert tree is not None
    rates = class_rates(tree, SLIDES, 3)
    np.testing.assert_allclose(rates, [1 - tumour, tumour, 0])
    drawn = draw(tree, np.random.default_rng(0), 20_000)
    share = np.mean([SLIDES[one.slide].labels[one.patch] for one in drawn])
    # Four standard deviations of the share.
    assert share == pytest.approx(tumour, abs=4 * np.sqrt(tumour * (1 - tumour) / 20_000))


def test_labels_may_have_their_own_rates():
    """Background to tumour 3 to 1, but on the slide that has no tumour."""
    tree = build_tree(SLIDES, ("grade", "slide", "label"), (3.0, 1.0, 5.0))
    assert tree is not None
    tumour = (1 / 4 + (1 / 4 + 1 / 4 + 0) / 3) / 2
    np.testing.assert_allclose(class_rates(tree, SLIDES, 3), [1 - tumour, tumour, 0])
    drawn = draw(tree, np.random.default_rng(0), 20_000)
    share = np.mean([SLIDES[one.slide].labels[one.patch] for one in drawn])
    assert share == pytest.approx(tumour, abs=4 * np.sqrt(tumour * (1 - tumour) / 20_000))

    first = build_tree(SLIDES, ("label", "slide"), (3.0, 1.0, 5.0))
    np.testing.assert_allclose(class_rates(first, SLIDES, 3), [3 / 4, 1 / 4, 0])
    without = first
    for dropped in (0, 1, 2):  # all slides with tumour
        without = without_slide(without, dropped)
    np.testing.assert_allclose(class_rates(without, SLIDES, 3), [1, 0, 0])
