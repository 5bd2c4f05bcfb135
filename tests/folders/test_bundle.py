"""Bundles on disk: reading them back, and refusing invalid ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from h2g.errors import ModelError
from h2g.files import file_sha256
from h2g.folders.bundle import (
    CARD_FILE,
    Bundle,
    Card,
    Check,
    Export,
    QuantisationCost,
    TrainingData,
    check_export,
    is_bundle,
    open_bundle,
    write_card,
)
from h2g.recipes.preprocessing import PROFILES
from tests.network_cards import patch_card, refinement_card


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Two exports with networks of a few bytes."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name in ("patch.onnx", "patch.xml", "patch.bin"):
        (folder / name).write_text(f"the bytes of {name}")

    def hashes(*names: str) -> dict[str, str]:
        return {name: file_sha256(folder / name) for name in names}

    card = Card(
        name="Mamma größer",
        description="one stage",
        class_names=("background", "tumour"),
        preprocessing=PROFILES["fast"],
        networks={"patch": patch_card()},
        training=TrainingData(slides={"train": 3}, patients={"train": 2}, grades={"1": 3}),
        scores={"patchwise": {"dice": 0.8, "recall": 0.7, "precision": 0.9}},
        exports=(
            Export(
                format="onnx",
                precision="float32",
                h2g_version="0.1.0",
                networks={"patch": "patch.onnx"},
                files=hashes("patch.onnx"),
                opset=17,
                check=Check(
                    engine="onnxruntime 1",
                    reference="keras 3",
                    pixels="slides",
                    max_difference={"patch": 1e-7},
                ),
            ),
            Export(
                format="openvino",
                precision="int8",
                h2g_version="0.1.0",
                networks={"patch": "patch.xml"},
                files=hashes("patch.xml", "patch.bin"),
                cost=QuantisationCost(calibration={"patch": 9}, accuracy={}, dice=None),
            ),
        ),
    )
    write_card(folder, card)
    return Bundle(folder, card)


def change_card(bundle: Bundle, **values: object) -> None:
    file = bundle.path / CARD_FILE
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **values}))


def test_a_card_is_read_as_it_was_written(bundle: Bundle) -> None:
    assert is_bundle(bundle.path)
    assert open_bundle(bundle.path) == bundle
    assert "größer" in (bundle.path / CARD_FILE).read_text("utf-8")  # people read it too


def test_exports_are_found_by_format_and_precision(bundle: Bundle) -> None:
    export = bundle.card.find_export("openvino", "int8")
    assert export is not None
    assert export.networks == {"patch": "patch.xml"}
    assert bundle.card.find_export("openvino") is None
    assert bundle.card.find_export("onnx").opset == 17


def test_networks_run_on_patches_or_slides(bundle: Bundle) -> None:
    card = bundle.card
    assert (card.takes_patches, card.slide_networks) == (True, ())
    both = card.model_copy(update={"networks": {**card.networks, "refinement": refinement_card()}})
    assert (both.takes_patches, both.slide_networks) == (True, ("refinement",))
    alone = card.model_copy(update={"networks": {"refinement": refinement_card()}})
    assert (alone.takes_patches, alone.slide_networks) == (False, ("refinement",))


def test_complete_exports_pass(bundle: Bundle) -> None:
    for export in bundle.card.exports:
        check_export(bundle, export)


@pytest.mark.parametrize("name", ["patch.xml", "patch.bin"])
def test_a_changed_byte_is_reported(bundle: Bundle, name: str) -> None:
    file = bundle.path / name
    content = bytearray(file.read_bytes())
    content[3] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=f"{name}: changed since it was exported"):
        check_export(bundle, bundle.card.exports[1])
    check_export(bundle, bundle.card.exports[0])


def test_a_missing_file_is_reported(bundle: Bundle) -> None:
    (bundle.path / "patch.bin").unlink()
    with pytest.raises(ModelError, match="patch.bin: this file of the bundle is missing"):
        check_export(bundle, bundle.card.exports[1])


def test_a_network_without_sha256_is_reported(bundle: Bundle) -> None:
    export = bundle.card.exports[0].model_copy(update={"files": {}})
    with pytest.raises(ModelError, match="no sha256 of patch.onnx"):
        check_export(bundle, export)


@pytest.mark.parametrize("version", [1, 3, "2", None])
def test_another_card_version_is_reported(bundle: Bundle, version: object) -> None:
    # A later card may hold unknown fields; the error names the version.
    change_card(bundle, card_version=version, later="field")
    with pytest.raises(ModelError, match=f"card version {version}; this h2g reads version 2"):
        open_bundle(bundle.path)


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"class_names": 3}, "class_names"),
        ({"unheard": "of"}, "unheard"),
        ({"exports": [{"format": "caffe"}]}, "exports.0.format"),
    ],
)
def test_an_invalid_card_is_reported(bundle: Bundle, values: dict[str, object], where: str) -> None:
    change_card(bundle, **values)
    with pytest.raises(ModelError, match=f"model.json: {where}: .*Export the run again"):
        open_bundle(bundle.path)


@pytest.mark.parametrize("content", [b'{"card_version": 2', b"\xff\xfe", b"[]", b"3"])
def test_a_file_that_is_no_card_is_reported(bundle: Bundle, content: bytes) -> None:
    (bundle.path / CARD_FILE).write_bytes(content)
    with pytest.raises(ModelError, match="model.json: "):
        open_bundle(bundle.path)


def test_a_folder_without_card_is_no_bundle(tmp_path: Path) -> None:
    assert not is_bundle(tmp_path)
    with pytest.raises(ModelError, match="not a bundle .no model.json.*'h2g export'"):
        open_bundle(tmp_path)


def test_files_outside_the_bundle_are_refused(bundle: Bundle) -> None:
    """A foreign card must not make h2g read or replace other files of the user."""
    export = json.loads(bundle.card.exports[0].model_dump_json())
    for name in ("../patch.onnx", "/etc/passwd", "fast/../../x"):
        change_card(bundle, exports=[{**export, "networks": {"patch": name}}])
        with pytest.raises(ModelError, match="lies outside the bundle"):
            open_bundle(bundle.path)
        change_card(bundle, exports=[{**export, "files": {name: "ab"}}])
        with pytest.raises(ModelError, match="lies outside the bundle"):
            open_bundle(bundle.path)
