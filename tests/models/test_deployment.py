from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from h2g.errors import ModelError
from h2g.models.deployment import (
    deployed,
    load_network,
    resize_bilinear,
    scale_image,
)
from h2g.models.registry import build_patch_model, build_refinement_model

PX = 16


@pytest.fixture(scope="module")
def refinement() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_refinement_model("unet", input_px=PX, num_classes=3, options={"filters": [4, 8]})


@pytest.fixture(scope="module")
def slide() -> tuple[np.ndarray, np.ndarray]:
    """(1, H, W, 3) float32 of 0..255 and (1, h, w, 2) float32."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 37, 53, 3)).astype(np.float32)
    return image, rng.random((1, 5, 7, 2), np.float32)


@pytest.mark.parametrize("size_px", [(16, 16), (100, 40), (53, 37), (7, 90)])
def test_resize_is_opencvs_bilinear(size_px: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((37, 53, 3), np.float32)
    ours = keras.ops.convert_to_numpy(resize_bilinear(image, size_px))
    theirs = cv2.resize(image, size_px, interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    batch = keras.ops.convert_to_numpy(resize_bilinear(image[np.newaxis], size_px))
    np.testing.assert_array_equal(batch[0], ours)


def test_resize_keeps_fractions_of_integer_pixels() -> None:
    # Half-pixel centres: 2 pixels onto 4 lie at -0.25, 0.25, 0.75, 1.25 of the first two.
    image = np.array([[[0], [2]]], np.uint8)
    resized = keras.ops.convert_to_numpy(resize_bilinear(image, (4, 1)))
    np.testing.assert_allclose(resized[0, :, 0], [0.0, 0.5, 1.5, 2.0])


def test_scaling_divides_bytes_by_255() -> None:
    scaled = keras.ops.convert_to_numpy(scale_image(np.array([0, 51, 255], np.uint8)))
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, np.array([0, 0.2, 1], np.float32))


def test_patch_graph_takes_raw_pixels() -> None:
    keras.utils.set_random_seed(0)
    network = build_patch_model("mobilenet_v2", size_px=32, num_classes=3, options={"alpha": 0.35})
    graph = deployed(network)
    assert [tensor.name for tensor in graph.inputs] == ["input_0_patch"]
    assert graph.inputs[0].dtype == "float32"
    assert graph.output_names == ["output_0_probabilities"]
    patches = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(
        graph.predict_on_batch(patches),
        network.predict_on_batch(patches / np.float32(255)),
        atol=1e-6,
    )


def test_patch_graph_can_be_fixed_to_one_batch_size() -> None:
    network = build_patch_model("mobilenet_v2", size_px=32, num_classes=3, options={"alpha": 0.35})
    graph = deployed(network, batch_size=1)
    assert [tensor.shape for tensor in graph.inputs + graph.outputs] == [(1, 32, 32, 3), (1, 3)]
    free = deployed(network)
    assert [tensor.shape[0] for tensor in free.inputs + free.outputs] == [None, None]
    patch = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(graph.predict_on_batch(patch), free.predict_on_batch(patch))


def test_refinement_graph_scales_and_stretches(
    refinement: keras.Model, slide: tuple[np.ndarray, np.ndarray]
) -> None:
    image, heatmap = slide
    graph = deployed(refinement)
    assert [tensor.name for tensor in graph.inputs] == ["input_0_image", "input_1_heatmap"]
    assert [tensor.shape for tensor in graph.inputs] == [(1, None, None, 3), (1, None, None, 2)]
    assert graph.output_names == ["output_0_segmentation"]
    small = [
        cv2.resize(array, (PX, PX), interpolation=cv2.INTER_LINEAR)[np.newaxis]
        for array in (image[0] / np.float32(255), heatmap[0])
    ]
    found = graph.predict_on_batch([image, heatmap])
    assert found.shape == (1, PX, PX, 3)
    np.testing.assert_allclose(found, refinement.predict_on_batch(small), atol=1e-5)


def test_a_network_of_any_size_gets_the_picture_as_it_is() -> None:
    image = keras.Input((None, None, 3), name="image")
    heatmap = keras.Input((None, None, 1), name="heatmap")
    joined = keras.layers.Concatenate(name="output_0_joined")([image, heatmap])
    graph = deployed(keras.Model([image, heatmap], joined))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1, 6, 9, 3)).astype(np.float32)
    values = rng.random((1, 6, 9, 1), np.float32)
    found = graph.predict_on_batch([pixels, values])
    np.testing.assert_allclose(found[..., :3], pixels / 255, atol=1e-6)
    np.testing.assert_array_equal(found[..., 3:], values)


def test_inputs_of_other_names_are_a_sentence() -> None:
    picture = keras.Input((PX, PX, 3), name="picture")
    network = keras.Model(picture, keras.layers.Flatten()(picture))
    with pytest.raises(ModelError, match="inputs are named picture.* patch, image, heatmap"):
        deployed(network)


def test_spacing_frame_is_last_by_name_and_changes_nothing(
    refinement: keras.Model, slide: tuple[np.ndarray, np.ndarray]
) -> None:
    image, heatmap = slide
    graph = deployed(refinement, spacing_frame=True)
    names = [tensor.name for tensor in graph.inputs]
    assert names == sorted(names) == ["input_0_image", "input_1_heatmap", "input_2_frame"]
    frame = np.full((1, PX, PX, 3), 255, np.float32)
    without = deployed(refinement).predict_on_batch([image, heatmap])
    np.testing.assert_array_equal(graph.predict_on_batch([image, heatmap, frame]), without)


def test_graphs_survive_saving(
    refinement: keras.Model, slide: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    image, heatmap = slide
    inputs = [image, heatmap, np.zeros((1, PX, PX, 3), np.float32)]
    graph = deployed(refinement, spacing_frame=True)
    graph.save(tmp_path / "graph.keras")
    again = keras.saving.load_model(tmp_path / "graph.keras", compile=False)
    assert again.to_json() == graph.to_json()
    np.testing.assert_array_equal(again.predict_on_batch(inputs), graph.predict_on_batch(inputs))


def test_networks_trained_in_half_precision_run_in_float32(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        keras.utils.set_random_seed(0)
        trained = build_patch_model("mobilenet_v2", size_px=32, options={"alpha": 0.35})
        trained.save(tmp_path / "model.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)
    reference = build_patch_model("mobilenet_v2", size_px=32, options={"alpha": 0.35})
    loaded = load_network(tmp_path / "model.keras")
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
    patches = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    np.testing.assert_array_equal(
        loaded.predict_on_batch(patches), reference.predict_on_batch(patches)
    )


def test_files_that_are_no_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model file"):
        load_network(tmp_path / "model.keras")
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ModelError, match="not a Keras model that can be loaded"):
        load_network(tmp_path / "model.keras")


def test_a_sequential_file_is_loaded_as_a_functional_network(tmp_path: Path) -> None:
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3), name="patch"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax", name="output_0_probabilities"),
        ]
    )
    network.save(tmp_path / "a.keras")
    loaded = load_network(tmp_path / "a.keras")
    assert loaded.output_names == ["output_0_probabilities"]
    patches = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.float32)
    found = deployed(loaded).predict_on_batch(patches)
    np.testing.assert_allclose(found, network.predict_on_batch(patches / 255), atol=1e-6)


def test_a_layer_of_its_authors_own_code_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.keras"
    code = f"""
import keras
class Squeezer(keras.layers.Layer):
    def call(self, x):
        return 2 * x
patch = keras.Input((8, 8, 3))
keras.Model(patch, Squeezer()(patch)).save({str(file)!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    with pytest.raises(ModelError, match="has a layer 'Squeezer' of its author's own code"):
        load_network(file)
