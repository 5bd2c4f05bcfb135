"""One contract for every registered network."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest

from h2g.errors import WrongUseError
from h2g.models.attention import PositionAttention
from h2g.models.backbones import BACKBONES, feature_pyramid
from h2g.models.blocks import batch_norms, main_output
from h2g.models.registry import (
    MODELS,
    PATCH_MODELS,
    REFINEMENT_MODELS,
    TILE_MODELS,
    build_default,
    build_patch_model,
    build_refinement_model,
    build_tile_model,
    find_architecture,
)
from tests.narrow_networks import NARROW

# The least multiple of 32 that InceptionV3 takes.
PYRAMID_PX = 96
FILTERS = (8, 8, 16, 16)
# One function puts the same head on every backbone of Keras: what takes seconds for each is tested
# on the classifiers of a paper alone.
TRAINED = [
    name
    for name, architecture in MODELS.items()
    if architecture.is_trained and (name not in PATCH_MODELS or architecture.paper_parameters)
]
# Networks with further outputs, for training alone.
SUPERVISED = [*(name for name in TRAINED if name in REFINEMENT_MODELS), "pspnet", "hi_net"]


def small(name: str, num_classes: int = 2, **settings: Any) -> keras.Model:
    """A patch network at the smallest input that it takes; a refinement network of four levels
    at 32 px."""
    keras.utils.set_random_seed(0)
    size_px = MODELS[name].least_px
    if name in PATCH_MODELS:
        return build_patch_model(name, size_px=size_px, num_classes=num_classes)
    if name in TILE_MODELS:
        options = NARROW.get(name)
        return build_tile_model(
            name, size_px=size_px, num_classes=num_classes, options=options, **settings
        )
    options = {"filters": FILTERS} if MODELS[name].is_trained else {}
    return build_refinement_model(
        name, input_px=32, num_classes=num_classes, options=options, **settings
    )


@cache
def built(name: str) -> keras.Model:
    """A small one to share, for what does not look at its weights: building takes seconds."""
    return small(name)


def random_batch(model: keras.Model, count: int) -> tuple[Any, np.ndarray]:
    """Random inputs in [0, 1] and random one-hot targets."""
    rng = np.random.default_rng(0)
    arrays = [rng.random((count, *tensor.shape[1:]), np.float32) for tensor in model.inputs]
    shape = (count, *model.output_shape[1:-1])
    classes = model.output_shape[-1]
    inputs = arrays if len(arrays) > 1 else arrays[0]
    return inputs, np.eye(classes, dtype=np.float32)[rng.integers(0, classes, shape)]


def layers_of_our_own(model: keras.Model) -> set[type]:
    kinds = {type(layer) for layer in model.layers}
    return {kind for kind in kinds if kind.__module__.startswith("h2g.")}


def published_parameters(name: str, model: keras.Model) -> int:
    """What the public code counts in the network that ``model`` is ours of."""
    count = model.count_params()
    if MODELS[name].batch_renormalised:
        # Renormalisation keeps 2 C + 2 more values a layer than batch norm.
        count += sum(2 * layer.moving_mean.shape[0] + 2 for layer in batch_norms(model))
    for layer in model.layers:
        if isinstance(layer, PositionAttention):
            # There the projections are made inside the call, where nothing counts them.
            count -= sum(each.count_params() for each in (layer.query, layer.key, layer.value))
    return count


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_the_papers(name: str) -> None:
    architecture = find_architecture(name)
    # Of classifiers the parameters do not depend on the size of the input.
    model = built(name) if name in PATCH_MODELS else build_default(name)
    assert model.count_params() == architecture.parameters
    published = published_parameters(name, model)
    assert published == (architecture.published_parameters or architecture.parameters)
    if architecture.paper_parameters is not None:
        assert abs(architecture.paper_parameters - published) < 10_000


@pytest.mark.parametrize("name", PATCH_MODELS)
def test_every_classifier_stands_on_a_backbone_with_a_pyramid(name: str) -> None:
    backbone = BACKBONES[name]
    pyramid = feature_pyramid(name, (PYRAMID_PX, PYRAMID_PX, 3))
    assert pyramid.count_params() == backbone.parameters
    sides = [PYRAMID_PX // stride for stride in (2, 4, 8, 16, 32)]
    assert [output.shape[1:3] for output in pyramid.outputs] == [(side, side) for side in sides]

    classifier = [layer.name for layer in built(name).layers]
    assert classifier[classifier.index(backbone.features) + 1 :] == [
        "head_pool",
        "head_dense",
        "head_dropout",
        "head_relu",
        "head_bn",
        "output_0_probabilities",
    ]
    # Built at another time, so names that count what was built before would differ.
    assert [layer.name for layer in pyramid.layers] == classifier[:-6]


@pytest.mark.parametrize("encoder", BACKBONES)
def test_every_decoder_takes_every_encoder(encoder: str) -> None:
    for name in ("encoder_unet", "fpn", "pspnet", "hi_net"):
        options = {"encoder": encoder}
        model = build_tile_model(name, size_px=PYRAMID_PX, num_classes=3, options=options)
        assert model.output_shape == (None, PYRAMID_PX, PYRAMID_PX, 3)
        features = BACKBONES[encoder].pyramid
        assert {layer.name for layer in model.layers} >= set(features)


@pytest.mark.parametrize("name", TRAINED)
def test_three_classes_softmax_and_round_trip(name: str, tmp_path) -> None:
    model = small(name, num_classes=3)
    inputs, targets = random_batch(model, count=1)
    before = model(inputs).numpy()
    assert before.shape == targets.shape
    assert before.dtype == np.float32
    np.testing.assert_allclose(before.sum(axis=-1), 1.0, atol=1e-5)
    output = "probabilities" if MODELS[name].answer == "class" else "segmentation"
    assert model.output_names == [f"output_0_{output}"]

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert again.to_json() == model.to_json()
    np.testing.assert_array_equal(again(inputs), before)


def test_every_network_loads_in_a_program_that_built_none(tmp_path) -> None:
    names, seen = [], set[type]()
    for name in MODELS:
        ours = layers_of_our_own(built(name))
        if ours - seen:
            names.append(name)
            built(name).save(tmp_path / f"{name}.keras")
        seen |= ours
    program = (
        "import pathlib, sys\n"
        "from h2g.models.deployment import load_network\n"
        "for file in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    print(load_network(file).name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False
    )
    assert sorted(done.stdout.split()) == sorted(names), done.stderr[-500:]


@pytest.mark.parametrize("name", TRAINED)
def test_training_lowers_the_loss(name: str) -> None:
    model = built(name)
    # Four steps take less time than tracing a graph.
    model.compile(keras.optimizers.Adam(1e-2), "categorical_crossentropy", run_eagerly=True)
    # Constant targets: learnt by the last layer's bias alone, if gradients arrive anywhere.
    inputs, targets = random_batch(model, count=2)
    targets[...] = [1.0, 0.0]
    losses = [float(model.train_on_batch(inputs, targets)) for _ in range(4)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", SUPERVISED)
def test_kept_output_is_the_first_of_all(name: str) -> None:
    model = small(name, num_classes=3, all_outputs=True)
    side = model.outputs[0].shape[1]
    assert model.output_names[0] == "output_0_segmentation"
    assert model.outputs[0].shape == (None, side, side, 3)
    assert side == model.inputs[0].shape[1]
    for output in model.outputs:
        # Every s-th pixel of the truth is its target, or most of s x s pixels.
        assert side % output.shape[1] == 0
        assert output.shape[1:] == (output.shape[1], output.shape[1], 3)
    kept = main_output(model)
    assert kept.outputs == model.outputs[:1]
    assert kept.name == model.name == name


@pytest.mark.parametrize("name", TRAINED)
def test_softmax_stays_float32_in_mixed_precision(name: str) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small(name)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer(model.output_names[0]).compute_dtype == "float32"
    assert {layer.compute_dtype for layer in batch_norms(model)} <= {"bfloat16"}
    assert model.layers[1].compute_dtype == "bfloat16"


@pytest.mark.parametrize("name", TRAINED)
def test_layer_names_do_not_depend_on_what_was_built_before(name: str) -> None:
    first, second = built(name), small(name, num_classes=3)
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


def test_errors_of_unknown_names_and_options_list_the_known_ones() -> None:
    with pytest.raises(WrongUseError, match=r"No model 'mobilenetv2'.*'mobilenet_v2'\?"):
        build_patch_model("mobilenetv2")
    with pytest.raises(
        WrongUseError, match=r"Models: unet, agu_net, dagu_net, doubleu_net, otsu\."
    ):
        build_refinement_model("mobilenet_v2")
    with pytest.raises(WrongUseError, match=r"no option 'alfa'.*'alpha'\?"):
        build_patch_model("mobilenet_v2", options={"alfa": 0.5})
    with pytest.raises(WrongUseError, match=r"no option 'alpha'.*Options: dropout\."):
        build_patch_model("resnet50", options={"alpha": 0.5})
    with pytest.raises(WrongUseError, match=r"Models: tile_unet, encoder_unet, unet_2015, "):
        build_tile_model("unet")
    with pytest.raises(WrongUseError, match=r"No backbone 'resnet'.*Backbones: mobilenet_v2, "):
        build_tile_model("encoder_unet", options={"encoder": "resnet"})
    # Set by the recipe's own keys, so not options.
    with pytest.raises(WrongUseError, match="no option 'inputs'"):
        build_refinement_model("unet", options={"inputs": "image"})


def test_values_that_do_not_fit_are_sentences() -> None:
    for name, factor in {"unet": 256, "agu_net": 128, "dagu_net": 128, "doubleu_net": 256}.items():
        with pytest.raises(WrongUseError, match=f"1000 px is not divisible by {factor} = 2"):
            build_refinement_model(name, input_px=1000)
    with pytest.raises(WrongUseError, match="20 px is not divisible by 8 = 2.* change size_px"):
        build_tile_model("tile_unet", size_px=20)
    with pytest.raises(WrongUseError, match="48 px is not divisible by 32"):
        build_tile_model("encoder_unet", size_px=48)
    with pytest.raises(WrongUseError, match="decoder_filters needs 4 or 5 widths"):
        build_tile_model("encoder_unet", size_px=32, options={"decoder_filters": [8, 8]})
    with pytest.raises(WrongUseError, match="at least 32"):
        build_patch_model("mobilenet_v2", size_px=16)
    with pytest.raises(WrongUseError, match="at least 75"):
        build_patch_model("inception_v3", size_px=64)
