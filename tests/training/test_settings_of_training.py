"""Settings that training refuses, and what they are when nothing is said."""

import pytest

from h2g.errors import RecipeError
from h2g.recipes.reading import load_recipe, validate_recipe

THREE = {"annotation": {"classes": {"low": ["low"], "high": ["high"]}}}


def recipe(patch=None, refinement=None, **more):
    document = {"name": "mine", "description": "a test", **more}
    return validate_recipe(
        document | {"patch": patch or {}, "refinement": refinement or {}}, source="mine"
    )


def test_all_are_off_by_default():
    for found in (recipe(), load_recipe("demo"), load_recipe("mob-pw-unet")):
        assert (found.patch.class_weights, found.patch.label_smoothing) == ("none", 0)
        refinement = found.refinement
        assert (refinement.loss, refinement.class_weights, refinement.cross_fit) == (
            "dice",
            "none",
            None,
        )
        augmentation = refinement.augmentation
        assert (augmentation.heatmap_noise, augmentation.heatmap_shift) == (0, 0)


def test_numbers_by_class_are_taken():
    weights = {"low": 2.0, "high": 1.5}
    found = recipe({"class_weights": weights}, {"class_weights": weights}, **THREE)
    assert found.patch.class_weights == found.refinement.class_weights == weights
    assert load_recipe("demo", ("patch.class_weights={tumour: 2}",)).patch.class_weights == {
        "tumour": 2.0
    }


@pytest.mark.parametrize(
    ("patch", "refinement", "sentence"),
    [
        ({"class_weights": {"tumor": 2}}, {}, "no class tumor; the classes are background, tumour"),
        ({}, {"class_weights": {"x": 2}}, "refinement.class_weights: no class x; the classes"),
        ({"class_weights": {"tumour": 0}}, {}, "greater than 0"),
        ({"label_smoothing": 1}, {}, "patch.label_smoothing: .*less than 1"),
        # One tumour class has nothing to be weighed against in a mean over tumour classes.
        ({}, {"class_weights": {"tumour": 2}}, "set refinement.loss: dice-crossentropy"),
        ({}, {"cross_fit": 1}, "refinement.cross_fit: .*greater than or equal to 2"),
        ({}, {"cross_fit": 3, "inputs": "image"}, "leave out one of the two"),
        ({}, {"augmentation": {"heatmap_noise": -1}}, "heatmap_noise: .*greater than or equal"),
        ({}, {"loss": "focal"}, "refinement.loss: .*'dice' or 'dice-crossentropy'"),
    ],
)
def test_mistakes_are_reported(patch, refinement, sentence):
    with pytest.raises(RecipeError, match=sentence):
        recipe(patch, refinement)


def test_the_background_has_no_weight_in_the_dice_loss():
    weights = {"background": 2, "high": 3}
    with pytest.raises(RecipeError, match="mean over the tumour classes alone"):
        recipe({}, {"class_weights": weights}, **THREE)
    found = recipe({}, {"class_weights": weights, "loss": "dice-crossentropy"}, **THREE)
    assert found.refinement.class_weights == weights
