"""The frozen graph from patches to cluster numbers, and the networks that give its features."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from h2g.clustering.fit import FittedClusters
from h2g.clustering.layers import Assign, Project, Standardize
from h2g.errors import ModelError, WrongUseError
from h2g.files import replacing
from h2g.models.backbones import BACKBONES, build_backbone
from h2g.models.deployment import deployed, load_network, scale_image
from h2g.models.weights import DownloadError, initialise

# Layer of every patch classifier: the mean of the feature maps over the patch.
POOLED = "head_pool"
OUTPUT = "output_0_cluster"


def feature_network(features: str, *, weights: str, size_px: int) -> keras.Model:
    """A network from patches, (N, size_px, size_px, 3) float32 RGB in [0, 1], to (N, d) features.

    Args:
        features: a name of BACKBONES, or the ``.keras`` file of a trained patch model.
        weights: weights of a named network: ``imagenet``, ``none`` (random) or a file.
    Raises:
        WrongUseError: the network is unknown.
        ModelError: the weights are not available, or the file is not a patch model of that size.
    """
    if features.endswith(".keras"):
        return _features_of(Path(features).expanduser(), size_px)
    if features not in BACKBONES:
        raise WrongUseError(
            f"Unknown features '{features}'. Give {', '.join(BACKBONES)}, patch (the run's own "
            "trained classifier), or the .keras file of a trained patch model."
        )
    try:
        network = build_backbone(features, (size_px, size_px, 3))
    except ValueError as error:
        raise WrongUseError(f"Features '{features}' of {size_px} px: {error}.") from error
    try:
        initialise(network, weights, backbone=BACKBONES[features])
    except DownloadError as error:
        raise _without_imagenet(features, error.url) from error
    pooled = keras.layers.GlobalAveragePooling2D(name=POOLED)(network.output)
    return keras.Model(network.input, pooled, name="features")


def cluster_network(features: keras.Model, fitted: FittedClusters) -> keras.Model:
    """The frozen graph: (N, S, S, 3) float32 RGB in [0, 1] -> (N,) int32 ``output_0_cluster``."""
    scaler, pca, kmeans = fitted.scaler, fitted.pca, fitted.kmeans
    standardize = Standardize(name="standardize")
    project = Project(len(pca.components_), name="project")
    assign = Assign(len(kmeans.cluster_centers_), name=OUTPUT)
    patch = keras.Input(features.input_shape[1:], dtype="float32", name="patch")
    clusters = assign(project(standardize(features(patch))))
    standardize.set_weights([scaler.mean_, scaler.scale_])
    project.set_weights([pca.mean_, pca.components_.T, _whitening(fitted)])
    assign.set_weights([kmeans.cluster_centers_])
    network = keras.Model(patch, clusters, name="clusters")
    network.trainable = False
    return network


def save_clusters(network: keras.Model, folder: Path) -> None:
    """Writes ``saved_model``, the deployed graph for raw pixels, and ``model.keras``."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        exported = Path(temporary) / "saved_model"
        graph = deployed(network)
        # The keys of the dict name the outputs of the signature.
        named = keras.Model(graph.input, {OUTPUT: graph.output})
        named.export(exported, format="tf_saved_model", verbose=False)
        shutil.rmtree(folder / "saved_model", ignore_errors=True)
        os.replace(exported, folder / "saved_model")
    # Written last, so a folder that holds it is complete.
    with replacing(folder / "model.keras") as temporary_file:
        network.save(temporary_file)


def open_clusters(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Opens a saved graph: (N, S, S, 3) uint8 RGB -> (N,) int32.

    Open it outside the scope of a distribution strategy, which would mirror its weights.
    """
    return on_pixels(load_network(file))


def centre_distances(network: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """Distances of patches to the centres of a cluster graph: (N, S, S, 3) uint8 RGB -> (N, k)."""
    components = keras.Model(network.input, network.get_layer("project").output)
    (centres,) = network.get_layer(OUTPUT).get_weights()
    return np.linalg.norm(on_pixels(components)(pixels)[:, None] - centres, axis=2)


def on_pixels(network: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """A network as a function of (N, S, S, 3) uint8 RGB; on a GPU if TensorFlow sees one."""

    # predict would compile with XLA, which takes twice as long for these networks on a CPU.
    @tf.function(autograph=False)
    def graph(pixels: tf.Tensor) -> tf.Tensor:
        return network(scale_image(pixels), training=False)

    def run(pixels: np.ndarray) -> np.ndarray:
        return graph(pixels).numpy()

    return run


def _whitening(fitted: FittedClusters) -> np.ndarray:
    pca = fitted.pca
    if not pca.whiten:
        return np.ones(len(pca.components_))
    # The same lower bound as in PCA.transform.
    return np.maximum(np.sqrt(pca.explained_variance_), np.finfo(np.float64).eps)


def _features_of(file: Path, size_px: int) -> keras.Model:
    network = load_network(file)
    if not any(layer.name == POOLED for layer in network.layers):
        raise ModelError(f"{file}: not a patch model of h2g, since it has no layer '{POOLED}'.")
    if network.input_shape[1:] != (size_px, size_px, 3):
        raise ModelError(
            f"{file}: this model takes patches of {network.input_shape[1]} px, but the run has "
            f"{size_px} px. Give a model that was trained with the run's preprocessing.patch."
        )
    return _pooled(network)


def _pooled(network: keras.Model) -> keras.Model:
    return keras.Model(network.input, network.get_layer(POOLED).output, name="features")


def _without_imagenet(features: str, url: str) -> ModelError:
    return ModelError(
        f"The ImageNet weights of {features} cannot be downloaded from here. Either download "
        f"{url} elsewhere (--weights FILE), use random weights, which still filter colour and "
        "texture (--weights none), use a trained patch classifier "
        "(--features RUN/patch/model.keras), or use this run's own once it is trained "
        "(--features patch). In a recipe, set clustering.weights and clustering.features."
    )
