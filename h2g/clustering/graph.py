"""The frozen graph from patches to cluster numbers, and the networks whose features it takes."""

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
from h2g.models import vgg16
from h2g.models.deployment import deployed_patch_classifier, load_network, scale_image
from h2g.models.registry import PATCH_MODELS, build_patch_model
from h2g.models.weights import Pretrained, initialise

PRETRAINED = {
    "vgg16": Pretrained(
        features=vgg16.FEATURES,
        folder_url="https://storage.googleapis.com/tensorflow/keras-applications/vgg16/",
        file_name=vgg16.imagenet_file,
    )
} | {
    name: architecture.pretrained
    for name, architecture in PATCH_MODELS.items()
    if architecture.pretrained is not None
}
# In vgg16 and in every patch classifier: the mean of the feature maps over the patch.
POOLED = "head_pool"
OUTPUT = "output_0_cluster"


def feature_network(features: str, *, weights: str, size_px: int) -> keras.Model:
    """A network from patches, (N, size_px, size_px, 3) float32 RGB in [0, 1], to (N, d) features.

    Args:
        features: ``vgg16``, a patch model's name, or the ``.keras`` file of a trained one.
        weights: of a network by name: ``imagenet``, ``none`` (random) or a file.
    Raises:
        WrongUseError: no such network.
        ModelError: weights that cannot be had, or a file that is no patch model of that size.
    """
    if features.endswith(".keras"):
        return _features_of(Path(features).expanduser(), size_px)
    if features not in PRETRAINED:
        raise WrongUseError(
            f"No features '{features}'. Give {', '.join(PRETRAINED)}, patch (the run's own trained "
            "classifier), or the .keras file of a trained patch model."
        )
    try:
        if features == "vgg16":
            network = vgg16.vgg16((size_px, size_px, 3))
            initialise(network, weights, pretrained=PRETRAINED[features])
            return network
        return _pooled(build_patch_model(features, size_px=size_px, weights=weights))
    except ModelError as error:
        if weights != "imagenet":
            raise
        raise _without_imagenet(features, size_px) from error


def cluster_network(features: keras.Model, fitted: FittedClusters) -> keras.Model:
    """Patches, (N, S, S, 3) float32 RGB in [0, 1], -> ``output_0_cluster``, (N,) int32; frozen."""
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
    """Writes ``saved_model``, the deployed graph (raw pixels in), and ``model.keras``."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        exported = Path(temporary) / "saved_model"
        deployed = deployed_patch_classifier(network)
        # A dict: its keys are the names of the signature's outputs.
        named = keras.Model(deployed.input, {OUTPUT: deployed.output})
        named.export(exported, format="tf_saved_model", verbose=False)
        shutil.rmtree(folder / "saved_model", ignore_errors=True)
        os.replace(exported, folder / "saved_model")
    # Last: a folder with it is whole.
    with replacing(folder / "model.keras") as temporary_file:
        network.save(temporary_file)


def open_clusters(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A saved graph: (N, S, S, 3) uint8 RGB -> (N,) int32.

    Open it outside of a distribution strategy's scope, which would mirror its weights.
    """
    return on_pixels(load_network(file))


def centre_distances(network: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """(N, S, S, 3) uint8 RGB -> (N, k): how far a cluster graph sees patches from its centres."""
    components = keras.Model(network.input, network.get_layer("project").output)
    (centres,) = network.get_layer(OUTPUT).get_weights()
    return np.linalg.norm(on_pixels(components)(pixels)[:, None] - centres, axis=2)


def on_pixels(network: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """What a network makes of (N, S, S, 3) uint8 RGB; on the GPU if TensorFlow sees one."""

    # Not predict: it compiles with XLA, which on a CPU takes twice as long for these networks.
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
    # As PCA.transform bounds it.
    return np.maximum(np.sqrt(pca.explained_variance_), np.finfo(np.float64).eps)


def _features_of(file: Path, size_px: int) -> keras.Model:
    network = load_network(file)
    if not any(layer.name == POOLED for layer in network.layers):
        raise ModelError(f"{file}: not a patch model of h2g: it has no layer '{POOLED}'.")
    if network.input_shape[1:] != (size_px, size_px, 3):
        raise ModelError(
            f"{file}: this model takes patches of {network.input_shape[1]} px, the run has "
            f"{size_px} px. Give one that was trained with the run's preprocessing.patch."
        )
    return _pooled(network)


def _pooled(network: keras.Model) -> keras.Model:
    return keras.Model(network.input, network.get_layer(POOLED).output, name="features")


def _without_imagenet(features: str, size_px: int) -> ModelError:
    pretrained = PRETRAINED[features]
    url = pretrained.folder_url + pretrained.file_name(size_px, {})
    return ModelError(
        f"The ImageNet weights of {features} cannot be downloaded from here. Clusters can come "
        f"from: that file, downloaded elsewhere (--weights FILE; {url}); random weights, which "
        "still filter colour and texture (--weights none); a patch classifier that was trained "
        "before (--features RUN/patch/model.keras), or this run's own once it is trained "
        "(--features patch). In a recipe: clustering.weights and clustering.features."
    )
