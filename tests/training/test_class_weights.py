"""Weights by class: by hand, together with those by cluster, and in the batches of a run."""

import dataclasses

import numpy as np
import pytest

from h2g.data.patch_source import labelled_slides
from h2g.data.sampler import build_tree, class_rates
from h2g.recipes.annotation import SamplerSettings
from h2g.stages.patch.train_patch import classifier_training
from h2g.training.class_weights import by_class, class_weights, split_weigher
from h2g.training.fit import fit_stage

NAMES = ("background", "tumour", "necrosis")
RATES = np.array([0.75, 0.25, 0.0])


def test_balanced_by_hand():
    # Two classes are drawn: 1 / (2 * 3/4) and 1 / (2 * 1/4).
    weights = class_weights("balanced", class_names=NAMES, rates=RATES)
    np.testing.assert_allclose(weights, [2 / 3, 2, 0], rtol=1e-6)
    assert weights.dtype == np.float32


def test_numbers_by_name_keep_their_proportion_and_a_mean_of_1():
    # 1, 3, 5 before scaling; on average 3/4 + 3/4 = 3/2.
    weights = class_weights({"tumour": 3, "necrosis": 5}, class_names=NAMES, rates=RATES)
    np.testing.assert_allclose(weights, [2 / 3, 2, 10 / 3], rtol=1e-6)
    assert weights @ RATES == pytest.approx(1)


def test_together_with_clusters_the_product_keeps_their_sum():
    labels, pixels = np.array([0, 1, 1]), np.zeros((3, 4, 4, 3), np.uint8)
    weights = np.array([0.5, 2.0], np.float32)
    np.testing.assert_array_equal(by_class(weights)(pixels, labels), [0.5, 2, 2])
    # Products 0.5, 2, 4: scaled from 6.5 to the sum 4 of the clusters' weights.
    by_cluster = {"weigh": lambda pixels, labels: np.array([1.0, 1.0, 2.0], np.float32)}["weigh"]
    found = by_class(weights, by_cluster)(pixels, labels)
    np.testing.assert_allclose(found, np.array([0.5, 2, 4]) * 4 / 6.5, rtol=1e-6)
    assert found.dtype == np.float32


def test_without_class_weights_the_weights_by_cluster_stay(trained_run):
    slides = labelled_slides(trained_run, "train")
    assert split_weigher("none", slides, (), trained_run.recipe.class_names, None) is None

    def by_cluster(pixels, labels):
        return labels

    names = trained_run.recipe.class_names
    assert split_weigher("none", slides, (), names, by_cluster) is by_cluster


@pytest.fixture
def weighed_run(trained_run):
    """Without labels in the sampling tree, and with balanced weights."""
    patch = trained_run.recipe.patch.model_copy(
        update={"class_weights": "balanced", "epochs": 1, "label_smoothing": 0.2}
    )
    changes = {"patch": patch, "sampler": SamplerSettings(order=("grade", "slide"))}
    recipe = trained_run.recipe.model_copy(update=changes)
    return dataclasses.replace(trained_run, recipe=recipe)


def training_of(run, folder):
    slides = {split: labelled_slides(run, split) for split in ("train", "val")}
    return classifier_training(run, train=slides["train"], validation=slides["val"], folder=folder)


@pytest.mark.parametrize("split", ["train", "val"])
def test_weights_reach_training_and_validation_by_the_law_of_their_own_tree(
    weighed_run, tmp_path, split
):
    slides = labelled_slides(weighed_run, split)
    tree = build_tree(slides, ("grade", "slide"))
    rates = class_rates(tree, slides, 2)
    assert abs(rates[0] - 0.5) > 0.05, "balanced by chance: nothing is tested"
    stage = training_of(weighed_run, tmp_path)
    with stage.train(0) if split == "train" else stage.validation() as batches:
        _, truth, weights = next(iter(batches))
    labels = truth.numpy().argmax(axis=1)
    np.testing.assert_allclose(weights, 1 / (2 * rates[labels]), rtol=1e-5)


def test_training_with_class_weights(weighed_run, tmp_path):
    state = fit_stage(training_of(weighed_run, tmp_path))
    assert np.isfinite(state.history[0]["val_loss"])
    assert (tmp_path / "model.keras").is_file()


def test_label_smoothing_by_hand(weighed_run, tmp_path):
    # A fifth of the label goes to both classes alike: 0.9 and 0.1.
    loss = training_of(weighed_run, tmp_path).loss
    found = float(loss(np.array([[1.0, 0.0]]), np.array([[0.8, 0.2]])))
    assert found == pytest.approx(-(0.9 * np.log(0.8) + 0.1 * np.log(0.2)), rel=1e-5)
