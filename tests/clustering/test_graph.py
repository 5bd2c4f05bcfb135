"""From patches to cluster numbers: the frozen graph, its features, and its exports."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import openvino
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from h2g.clustering.fit import FittedClusters, fit_clusters
from h2g.clustering.graph import (
    cluster_network,
    feature_network,
    on_pixels,
    open_clusters,
    save_clusters,
)
from h2g.errors import ModelError, WrongUseError
from h2g.exporters.to_onnx import write_onnx
from h2g.exporters.to_openvino import write_openvino
from h2g.exporters.to_tflite import write_tflite
from h2g.models.backbones import BACKBONES
from h2g.models.deployment import deployed as deploy
from h2g.models.deployment import load_network
from h2g.recipes.clustering import ClusteringSettings
from tests.small_patch_network import small_patch_network

SIZE_PX = 32
Ids = Callable[[np.ndarray], np.ndarray]


def patches(count: int, *, seed: int) -> np.ndarray:
    """(count, 32, 32, 3) uint8: grains of several sizes in several colours."""
    rng = np.random.default_rng(seed)
    pixels = np.empty((count, SIZE_PX, SIZE_PX, 3), np.uint8)
    for patch in pixels:
        grain = int(rng.choice([1, 2, 4, 8]))
        field = rng.normal(size=(SIZE_PX // grain, SIZE_PX // grain, 1))
        field = field.repeat(grain, axis=0).repeat(grain, axis=1)
        patch[:] = np.clip(rng.uniform(60, 220, 3) + 40 * field, 0, 255)
    return pixels


@dataclasses.dataclass(frozen=True)
class Clusters:
    folder: Path
    features: Callable[[np.ndarray], np.ndarray]
    fitted: FittedClusters

    def assert_same(self, ids: Ids) -> None:
        """The ids of held-out patches are scikit-learn's, on all but ties."""
        pixels = patches(96, seed=2)
        features = self.features(pixels)
        distances = np.sort(self.fitted.distances(features), axis=1)
        clear = distances[:, 0] < (1 - 1e-4) * distances[:, 1]
        assert clear.mean() > 0.98
        found = np.concatenate([ids(pixels[:32]), ids(pixels[32:])])
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found[clear], self.fitted.assign(features)[clear])
        assert len(np.unique(found)) > 3


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Path:
    keras.utils.set_random_seed(3)
    file = tmp_path_factory.mktemp("classifier") / "model.keras"
    small_patch_network(size_px=SIZE_PX).save(file)
    return file


@pytest.fixture(scope="module")
def clusters(classifier, tmp_path_factory) -> Clusters:
    network = feature_network(str(classifier), weights="none", size_px=SIZE_PX)
    features = on_pixels(network)
    settings = ClusteringSettings(clusters=6)
    fitted = fit_clusters(features(patches(400, seed=1)), settings, seed=0)
    folder = tmp_path_factory.mktemp("clusters")
    save_clusters(cluster_network(network, fitted), folder)
    return Clusters(folder, features, fitted)


@pytest.fixture(scope="module")
def deployed(clusters) -> keras.Model:
    return deploy(load_network(clusters.folder / "model.keras"))


def test_the_saved_graph_gives_scikit_learns_clusters(clusters):
    network = load_network(clusters.folder / "model.keras")
    assert network.output_names == ["output_0_cluster"]
    assert not network.trainable_variables
    assert {variable.dtype for variable in network.variables} == {"float32"}
    clusters.assert_same(open_clusters(clusters.folder / "model.keras"))


def test_the_saved_model_takes_raw_pixels(clusters):
    served = tf.saved_model.load(clusters.folder / "saved_model").signatures["serving_default"]
    assert list(served.structured_input_signature[1]) == ["input_0_patch"]

    def ids(pixels: np.ndarray) -> np.ndarray:
        outputs = served(input_0_patch=tf.constant(pixels, tf.float32))
        return outputs["output_0_cluster"].numpy()

    clusters.assert_same(ids)


def test_the_graph_is_float32_under_mixed_precision(clusters):
    # As in training: the graph is opened before, and traced within, the policy.
    ids = open_clusters(clusters.folder / "model.keras")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        clusters.assert_same(ids)
    finally:
        keras.config.set_dtype_policy("float32")


def test_onnx_gives_the_same_clusters(clusters, deployed, tmp_path):
    write_onnx(deployed, tmp_path / "clusters.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "clusters.onnx")
    names = ["output_0_cluster"]
    clusters.assert_same(lambda p: session.run(names, {"input_0_patch": p.astype(np.float32)})[0])


def test_openvino_gives_the_same_clusters(clusters, deployed, tmp_path):
    write_openvino(deployed, tmp_path / "clusters.xml")
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(tmp_path / "clusters.xml", "CPU", hint)
    clusters.assert_same(
        lambda p: compiled({"input_0_patch": p.astype(np.float32)})["output_0_cluster"]
    )


def test_tflite_gives_the_same_clusters(clusters, deployed, tmp_path):
    write_tflite(deployed, tmp_path / "clusters.tflite")
    run = Interpreter(str(tmp_path / "clusters.tflite")).get_signature_runner()
    clusters.assert_same(lambda p: run(input_0_patch=p.astype(np.float32))["output_0_cluster"])


def test_features_of_networks_by_name():
    pixels = patches(5, seed=3)
    for name, width in (("vgg16", 512), ("mobilenet_v2", 1280)):
        network = feature_network(name, weights="none", size_px=SIZE_PX)
        assert on_pixels(network)(pixels).shape == (5, width)


def test_features_of_a_trained_classifier_are_its_pooled_maps(classifier):
    network = keras.saving.load_model(classifier, compile=False)
    maps = keras.Model(network.input, network.get_layer("conv5_out").output)
    pixels = patches(5, seed=3)
    wanted = np.asarray(maps(pixels / np.float32(255))).mean(axis=(1, 2))
    found = on_pixels(feature_network(str(classifier), weights="none", size_px=SIZE_PX))(pixels)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_vgg16_takes_its_weights_from_a_file(tmp_path):
    keras.utils.set_random_seed(8)
    trained = keras.applications.VGG16(
        input_shape=(SIZE_PX, SIZE_PX, 3), include_top=False, weights=None
    )
    file = tmp_path / "vgg16.weights.h5"
    trained.save_weights(file)
    loaded = feature_network("vgg16", weights=str(file), size_px=SIZE_PX)
    for ours, theirs in zip(loaded.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_without_a_network_the_sentence_names_the_ways_out(monkeypatch):
    # A name that no cache holds, at a port where nothing listens.
    name = f"{uuid.uuid4()}.h5"

    def build(*, weights, **arguments):
        if weights == "imagenet":
            keras.utils.get_file(name, f"http://127.0.0.1:9/{name}")
        return keras.applications.VGG16(weights=weights, **arguments)

    nowhere = dataclasses.replace(BACKBONES["vgg16"], builder=build)
    monkeypatch.setitem(BACKBONES, "vgg16", nowhere)
    with pytest.raises(ModelError, match="ImageNet weights of vgg16 cannot be") as caught:
        feature_network("vgg16", weights="imagenet", size_px=SIZE_PX)
    download = f"download http://127.0.0.1:9/{name} elsewhere (--weights FILE)"
    for way in (download, "--features RUN/patch/model.keras"):
        assert way in str(caught.value)


def test_wrong_features_are_told(classifier, tmp_path):
    with pytest.raises(WrongUseError, match="Unknown features 'vgg19'. Give mobilenet_v2,"):
        feature_network("vgg19", weights="none", size_px=SIZE_PX)
    with pytest.raises(ModelError, match="takes patches of 32 px, but the run has 64 px"):
        feature_network(str(classifier), weights="none", size_px=64)
    inputs = keras.Input((SIZE_PX, SIZE_PX, 3))
    keras.Model(inputs, keras.layers.Flatten()(inputs)).save(tmp_path / "other.keras")
    with pytest.raises(ModelError, match="not a patch model of h2g"):
        feature_network(str(tmp_path / "other.keras"), weights="none", size_px=SIZE_PX)
    with pytest.raises(ModelError, match="there is no such model file"):
        feature_network(str(tmp_path / "absent.keras"), weights="none", size_px=SIZE_PX)
