"""One contract for every registered network."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from h2g.errors import WrongUseError
from h2g.models.blocks import batch_norms
from h2g.models.registry import (
    MODELS,
    PATCH_MODELS,
    build_default,
    build_patch_model,
    build_refinement_model,
    find_architecture,
)

PARAMETERS = {"mobilenet_v2": 2_386_686, "unet": 11_572_562}
# The published U-Net file, with batch renormalisation.
PUBLISHED = {"mobilenet_v2": 2_386_686, "unet": 11_581_782}
SMALLEST_PX = {"mobilenet_v2": 32, "unet": 256}


def small(name: str, num_classes: int = 2) -> keras.Model:
    """The full-size network at the smallest input that it takes."""
    keras.utils.set_random_seed(0)
    if name in PATCH_MODELS:
        return build_patch_model(name, size_px=SMALLEST_PX[name], num_classes=num_classes)
    return build_refinement_model(name, input_px=SMALLEST_PX[name], num_classes=num_classes)


def random_batch(model: keras.Model, count: int) -> tuple[Any, np.ndarray]:
    """Random inputs in [0, 1] and random one-hot targets."""
    rng = np.random.default_rng(0)
    arrays = [rng.random((count, *tensor.shape[1:]), np.float32) for tensor in model.inputs]
    shape = (count, *model.output_shape[1:-1])
    classes = model.output_shape[-1]
    inputs = arrays if len(arrays) > 1 else arrays[0]
    return inputs, np.eye(classes, dtype=np.float32)[rng.integers(0, classes, shape)]


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_the_papers(name: str) -> None:
    model = build_default(name)
    architecture = find_architecture(name)
    assert model.count_params() == PARAMETERS[name]
    # Batch renormalisation keeps 2 C + 2 more values a layer than batch norm.
    channels = [layer.gamma.shape[0] for layer in batch_norms(model)]
    extra = sum(2 * c + 2 for c in channels) if architecture.batch_renormalised else 0
    assert model.count_params() + extra == PUBLISHED[name]
    assert round(PUBLISHED[name], -4) == architecture.paper_parameters


@pytest.mark.parametrize("name", MODELS)
def test_three_classes_softmax_and_round_trip(name: str, tmp_path) -> None:
    model = small(name, num_classes=3)
    inputs, targets = random_batch(model, count=1)
    before = model.predict_on_batch(inputs)
    assert before.shape == targets.shape
    assert before.dtype == np.float32
    np.testing.assert_allclose(before.sum(axis=-1), 1.0, atol=1e-5)
    assert [output.split("_")[:2] for output in model.output_names] == [["output", "0"]]

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert again.to_json() == model.to_json()
    np.testing.assert_array_equal(again.predict_on_batch(inputs), before)


@pytest.mark.parametrize("name", MODELS)
def test_training_lowers_the_loss(name: str) -> None:
    model = small(name)
    # Four steps take less time than tracing a graph.
    model.compile(keras.optimizers.Adam(1e-2), "categorical_crossentropy", run_eagerly=True)
    # Constant targets: learnt by the last layer's bias alone, if gradients arrive anywhere.
    inputs, targets = random_batch(model, count=2)
    targets[...] = [1.0, 0.0]
    losses = [float(model.train_on_batch(inputs, targets)) for _ in range(4)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", MODELS)
def test_softmax_stays_float32_in_mixed_precision(name: str) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small(name)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.layers[-1].compute_dtype == "float32"
    assert {layer.compute_dtype for layer in batch_norms(model)} == {"bfloat16"}


def test_layer_names_do_not_depend_on_what_was_built_before() -> None:
    first, second = small("mobilenet_v2"), small("mobilenet_v2")
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


def test_unknown_names_and_options_say_what_there_is() -> None:
    with pytest.raises(WrongUseError, match=r"No model 'mobilenetv2'.*'mobilenet_v2'\?"):
        build_patch_model("mobilenetv2")
    with pytest.raises(WrongUseError, match=r"Models: unet\."):
        build_refinement_model("mobilenet_v2")
    with pytest.raises(WrongUseError, match=r"no option 'alfa'.*'alpha'\?"):
        build_patch_model("mobilenet_v2", options={"alfa": 0.5})
    # Set by the recipe's own keys, so not options.
    with pytest.raises(WrongUseError, match="no option 'inputs'"):
        build_refinement_model("unet", options={"inputs": "image"})


def test_values_that_do_not_fit_are_sentences() -> None:
    with pytest.raises(WrongUseError, match="1000 px is not divisible by 256"):
        build_refinement_model("unet", input_px=1000)
    with pytest.raises(WrongUseError, match="at least 32"):
        build_patch_model("mobilenet_v2", size_px=16)
