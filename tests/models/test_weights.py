from __future__ import annotations

import dataclasses
import uuid
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from h2g.errors import ModelError
from h2g.models.backbones import BACKBONES, Backbone
from h2g.models.blocks import batch_norms
from h2g.models.registry import build_patch_model, build_tile_model
from h2g.models.weights import DownloadError, initialise
from tests.small_patch_network import small_patch_network

FEATURES = BACKBONES["mobilenet_v2"].features
SMALL = {"size_px": 32, "options": {"alpha": 0.35}}


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    """Stands for a trained network: every weight differs from a fresh one's."""
    keras.utils.set_random_seed(1)
    model = build_patch_model("mobilenet_v2", **SMALL)
    rng = np.random.default_rng(1)
    model.set_weights([rng.random(w.shape, np.float32) + 0.5 for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def backbone(trained: keras.Model) -> keras.Model:
    """A bare Keras backbone, as the official files hold it, with the weights of ``trained``."""
    bare = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None)
    for layer in bare.layers[1:]:
        layer.set_weights(trained.get_layer(layer.name).get_weights())
    return bare


def save_as_published(backbone: keras.Model, path: Path) -> None:
    """The layout of the official files: what a whole model's HDF5 file keeps under
    ``model_weights`` lies at the root."""
    whole = path.with_name(f"whole_{path.name}")
    backbone.save(whole)
    with h5py.File(whole) as source, h5py.File(path, "w") as target:
        group = source["model_weights"]
        target.attrs.update(group.attrs)
        for layer in group:
            source.copy(group[layer], target)


def assert_same_layers(model: keras.Model, trained: keras.Model, *, head: bool) -> None:
    names = [layer.name for layer in model.layers]
    last = len(names) if head else names.index(FEATURES) + 1
    for name in names[:last]:
        pairs = zip(
            model.get_layer(name).get_weights(), trained.get_layer(name).get_weights(), strict=True
        )
        for ours, theirs in pairs:
            np.testing.assert_array_equal(ours, theirs)


def test_random_weights_get_the_low_momentum() -> None:
    model = build_patch_model("mobilenet_v2", weights="none", **SMALL)
    assert {layer.momentum for layer in batch_norms(model)} == {0.9}
    assert len(batch_norms(model)) == 53  # 52 in the backbone, 1 in the head


def test_inference_mode_is_as_good_as_training_mode_after_120_steps() -> None:
    """With Keras's momentum of 0.999 the running means are 0.999 ** 120 = 89 % those of the
    start: inference mode would be at chance."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    labels = np.arange(16) % 2
    targets = np.eye(2, dtype=np.float32)[labels]

    def tinted() -> np.ndarray:
        patches = 0.5 + 0.05 * rng.standard_normal((16, 32, 32, 3))
        patches[..., 0] += 0.4 * labels[:, np.newaxis, np.newaxis]
        return patches.astype(np.float32)

    model = small_patch_network(size_px=32)
    model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy", jit_compile=False)
    for _ in range(120):
        model.train_on_batch(tinted(), targets)
    batches = [tinted() for _ in range(8)]

    def accuracy(*, training: bool) -> float:
        found = [np.argmax(model(batch, training=training), axis=1) == labels for batch in batches]
        return float(np.mean(found))

    assert accuracy(training=True) > 0.9
    assert accuracy(training=False) > 0.9


@pytest.mark.parametrize("name", ["official_no_top.h5", "backbone.weights.h5"])
def test_backbone_files_fill_the_backbone_and_leave_the_head(
    name: str, trained: keras.Model, backbone: keras.Model, tmp_path: Path
) -> None:
    path = tmp_path / name
    if name.endswith(".weights.h5"):
        backbone.save_weights(path)
    else:
        save_as_published(backbone, path)
    model = build_patch_model("mobilenet_v2", weights=str(path), **SMALL)
    assert_same_layers(model, trained, head=False)
    assert not np.array_equal(
        model.get_layer("head_dense").kernel, trained.get_layer("head_dense").kernel
    )


def test_model_file_is_taken_whole_at_any_patch_size(trained: keras.Model, tmp_path: Path) -> None:
    trained.save(tmp_path / "model.keras")
    model = build_patch_model(
        "mobilenet_v2",
        size_px=64,
        weights=str(tmp_path / "model.keras"),
        options={"alpha": 0.35},
    )
    assert_same_layers(model, trained, head=True)


def test_the_last_layer_starts_again_for_another_number_of_classes(
    trained: keras.Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained.save(tmp_path / "model.keras")
    with caplog.at_level("INFO", "h2g"):
        model = build_patch_model(
            "mobilenet_v2", num_classes=3, weights=str(tmp_path / "model.keras"), **SMALL
        )
    assert_same_layers(model, trained, head=False)
    np.testing.assert_array_equal(
        model.get_layer("head_dense").kernel, trained.get_layer("head_dense").kernel
    )
    assert model.output_shape == (None, 3)
    assert "output_0_probabilities start from random weights" in caplog.text


def test_files_that_do_not_fit_are_sentences(
    trained: keras.Model, backbone: keras.Model, tmp_path: Path
) -> None:
    trained.save(tmp_path / "narrow.keras")
    backbone.save_weights(tmp_path / "narrow.weights.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    (tmp_path / "text.keras").write_text("not a zip")
    wide = {"size_px": 32, "options": {"alpha": 0.5}}
    for name, sentence in {
        "narrow.keras": "layer '.*' is missing or has other shapes",
        "narrow.weights.h5": "not weights of the backbone",
        "text.h5": "not weights of the backbone",
        "text.keras": "not a Keras model",
        "absent.h5": "no such weights file",
        "absent.keras": "no such model file",
    }.items():
        with pytest.raises(ModelError, match=sentence) as raised:
            build_patch_model("mobilenet_v2", weights=str(tmp_path / name), **wide)
        assert name in str(raised.value)


def published_at(url: str, name: str) -> Backbone:
    """MobileNetV2 whose ImageNet weights are ``url`` + ``name``, fetched as Keras fetches them."""

    def build(weights: str | None, **arguments: Any) -> keras.Model:
        if weights == "imagenet":
            weights = keras.utils.get_file(name, origin=url + name, cache_subdir="models")
        return keras.applications.MobileNetV2(weights=weights, **arguments)

    return dataclasses.replace(BACKBONES["mobilenet_v2"], builder=build)


def test_published_weights_come_through_the_keras_cache(
    trained: keras.Model, backbone: keras.Model, tmp_path: Path, capsys
) -> None:
    name = f"h2g_test_{uuid.uuid4().hex}.h5"
    save_as_published(backbone, tmp_path / name)
    published = published_at(f"{tmp_path.as_uri()}/", name)
    model = build_patch_model("mobilenet_v2", **SMALL)
    capsys.readouterr()
    try:
        initialise(model, "imagenet", backbone=published, options={"alpha": 0.35})
    finally:
        cached = keras.utils.get_file(
            name, origin=(tmp_path / name).as_uri(), cache_subdir="models"
        )
        Path(cached).unlink()
    assert_same_layers(model, trained, head=False)
    assert capsys.readouterr().out == ""


def test_without_a_network_the_sentence_names_the_file() -> None:
    name = f"h2g_test_{uuid.uuid4().hex}.h5"
    # Nothing listens on the discard port.
    unreachable = published_at("http://127.0.0.1:9/", name)
    model = build_patch_model("mobilenet_v2", **SMALL)
    sentence = f"http://127.0.0.1:9/{name} cannot be downloaded.*patch.weights=FILE"
    with pytest.raises(DownloadError, match=sentence) as raised:
        initialise(model, "imagenet", backbone=unreachable, options={"alpha": 0.35})
    assert raised.value.url == f"http://127.0.0.1:9/{name}"


def test_weights_that_nobody_published_are_refused_before_any_download() -> None:
    with pytest.raises(ModelError, match=r"alpha=0\.4.*Use weights: none"):
        build_patch_model("mobilenet_v2", size_px=32, weights="imagenet", options={"alpha": 0.4})
    with pytest.raises(ModelError, match="no ImageNet weights of ResNeXt-101.*or a file"):
        initialise(
            build_patch_model("mobilenet_v2", **SMALL),
            "imagenet",
            backbone=BACKBONES["resnext101"],
        )
    with pytest.raises(ModelError, match="no ImageNet weights for 'tile_unet'"):
        build_tile_model("tile_unet", size_px=32, weights="imagenet")


def test_a_classifiers_backbone_becomes_the_encoder_of_a_unet(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classifier = build_patch_model("mobilenet_v2", size_px=32)
    classifier.save(tmp_path / "model.keras")
    with caplog.at_level("INFO", "h2g"):
        unet = build_tile_model(
            "encoder_unet",
            size_px=64,
            weights=str(tmp_path / "model.keras"),
            options={"encoder": "mobilenet_v2", "decoder_filters": [4] * 5},
        )
    assert_same_layers(unet, classifier, head=False)
    assert "decoder_0_0_conv" in caplog.text
    assert "Conv_1" not in caplog.text


def test_no_other_encoder_takes_a_classifiers_file(trained: keras.Model, tmp_path: Path) -> None:
    trained.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="model.keras: not a 'encoder_unet' with these options"):
        build_tile_model("encoder_unet", size_px=32, weights=str(tmp_path / "model.keras"))
    (tmp_path / "unet.h5").write_bytes(b"")
    with pytest.raises(ModelError, match="unet.h5: weights of 'tile_unet' are read from .keras"):
        build_tile_model("tile_unet", size_px=32, weights=str(tmp_path / "unet.h5"))
