from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from fast_bundles import FIELD_PX, PATCH_PX, onnx_model, preprocessing

from h2g.bundle import Bundle, Card, Network, open_bundle, write_card
from h2g.errors import ModelError, RunError, WrongUseError
from h2g.exporters.fast_limits import refuse_unsuited
from h2g.exporters.fast_text import gui_pipeline, headless_pipeline, slug
from h2g.exporters.to_fast import install
from h2g.models.deployment import deployed_patch_classifier, deployed_refinement, load_network

MODELS = {"patch": "p.onnx", "refinement": "r.onnx"}
NETWORK = Network(architecture="a", parameters=1, sha256="0")


def card_of(
    *,
    classes: tuple[str, ...] = ("background", "tumour"),
    refines: bool = True,
    tissue: dict[str, Any] = {},  # noqa: B006
    patch: dict[str, Any] = {},  # noqa: B006
    level: str = "coarsest",
    **more: Any,
) -> Card:
    base = preprocessing()
    changed = base.model_copy(
        update={
            "tissue": base.tissue.model_copy(update=tissue),
            "patch": base.patch.model_copy(update=patch),
            "low_resolution": base.low_resolution.model_copy(update={"level": level}),
        }
    )
    networks = {"patch": NETWORK, **({"refinement": NETWORK} if refines else {})}
    values = {
        "name": "A model",
        "description": "Finds tumour",
        "h2g_version": "0",
        "class_names": classes,
        "preprocessing": changed,
        "refinement_px": 64 if refines else None,
        "networks": networks,
    }
    return Card(**{**values, **more})


# -- text


def objects(text: str) -> dict[str, list[str]]:
    """The lines of each object, by its name."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] in (["ProcessObject"], ["Renderer"]):
            lines = found.setdefault(words[1], [])
        elif words and not line.startswith("#"):
            lines.append(line)
    return found


def test_every_value_is_the_cards() -> None:
    card = card_of(
        tissue={"threshold": 70, "closing_px": (5,)},
        patch={"mpp": 4.0, "size_px": 96, "min_tissue": 0.3},
        classes=("glass", "invasive", "in situ"),
    )
    for text in (gui_pipeline(card, MODELS), headless_pipeline(card, MODELS)):
        found = objects(text)
        assert found["tissue"][1:4] == [
            "Attribute threshold 70",
            "Attribute dilate-kernel-size 5",
            "Attribute erode-kernel-size 5",
        ]
        # 4 um/px is the objective 2.5x
        assert found["patches"][:3] == [
            "Attribute patch-size 96 96",
            "Attribute patch-magnification 2.5",
            "Attribute mask-threshold 0.3",
        ]
        assert 'Attribute classes "glass;invasive;in situ"' in text.splitlines()
        assert found["classifier"][1] == 'Attribute model "$CURRENT_PATH$/p.onnx"'
        assert found["refine"][1:] == [
            'Attribute model "$CURRENT_PATH$/r.onnx"',
            "Input 0 lowres 0",
            "Input 1 class1 0",
            "Input 2 class2 0",
            "Input 3 lowres 0",
        ]
        assert found["labels"][0] == "Attribute threshold 0.5"
        assert "{{" not in text
    colours = '"1" "200;0;0" "2" "0;150;60"'
    view = objects(gui_pipeline(card, MODELS))
    assert f"Attribute label-colors {colours}" in view["segmentationView"]
    assert f"Attribute channel-colors {colours}" in view["heatmapView"]


def test_without_closing_and_with_one_stage() -> None:
    card = card_of(refines=False, tissue={"closing_px": ()})
    for write in (gui_pipeline, headless_pipeline):
        found = objects(write(card, {"patch": "p.onnx"}))
        assert "Attribute dilate-kernel-size 0" in found["tissue"]
        assert "refine" not in found
    assert "PipelineOutputData heatmap stitched 0" in gui_pipeline(card, {"patch": "p.onnx"})


def test_rules_of_fasts_parser() -> None:
    """Attributes stand before inputs, producers before their users; a window knows no variables."""
    card = card_of(classes=("background", "tumour", "immune"))
    for text, inputs in (
        (gui_pipeline(card, MODELS), {"WSI"}),
        (headless_pipeline(card, MODELS), set()),
    ):
        known = set(inputs)
        for name, lines in objects(text).items():
            kinds = [line.split()[0] for line in lines]
            assert kinds == sorted(kinds), name  # Attribute ... Input
            used = {line.split()[2] for line in lines if line.startswith("Input")}
            assert used <= known, name
            known.add(name)
        assert all(line.count("@@") in (0, 2) for line in text.splitlines())
    assert "@@" not in gui_pipeline(card, MODELS)
    exporters = [name for name in objects(headless_pipeline(card, MODELS)) if name[1] == "_"]
    assert exporters == sorted(exporters)
    assert exporters[0] == "a_heatmap"


def test_descriptions_cannot_break_a_line() -> None:
    card = card_of(description='A "new"\nmodel for @@x@@ $CURRENT_PATH$.')
    (line,) = [
        line
        for line in gui_pipeline(card, MODELS).splitlines()
        if line.startswith("PipelineDescription")
    ]
    assert line.startswith("PipelineDescription \"A 'new' model for @ @x@ @ CURRENT_PATH. Patches")
    assert line.count('"') == 2
    changed = card_of(preprocessing_change="trained with profile 'paper'.")
    assert "Trained with other preprocessing" in gui_pipeline(changed, MODELS)


@pytest.mark.parametrize(
    ("name", "part"),
    [("A model", "a-model"), ("H2G Net v1.2", "h2g-net-v1.2"), ("...", "model"), ("x_y", "x-y")],
)
def test_names_of_files(name: str, part: str) -> None:
    assert slug(name) == part


# -- what FAST cannot do


@pytest.mark.parametrize(
    ("card", "sentence"),
    [
        (card_of(tissue={"rule": "saturation"}), "tissue.rule is 'saturation'"),
        (card_of(tissue={"mpp": 8.0}), "tissue.mpp is 8, and FAST finds tissue in the coarsest"),
        (card_of(tissue={"threshold": 85.5}), "tissue.threshold is 85.5"),
        (card_of(tissue={"closing_px": (5, 3)}), r"tissue.closing_px is \[5, 3\]"),
        (card_of(tissue={"closing_px": (4,)}), r"tissue.closing_px is \[4\]"),
        (card_of(patch={"rule": "mpp"}), "patch.rule is 'mpp'"),
        (card_of(patch={"size_px": 100}), "patch.size_px is 100, .* multiple of 16"),
        (card_of(patch={"tolerance": 0.2}), "patch.tolerance is 0.2, and FAST's is 0.1"),
        (card_of(level="at-least"), "low_resolution.level 'at-least'"),
        (card_of(classes=("background", "a;b")), "class name 'a;b'"),
        (card_of(networks={"refinement": NETWORK}), "no patch network"),
    ],
)
def test_what_fast_does_in_another_way(card: Card, sentence: str) -> None:
    with pytest.raises(WrongUseError, match=f"A model cannot be exported for FAST: .*{sentence}"):
        refuse_unsuited(card)


def test_what_fast_does_alike() -> None:
    refuse_unsuited(card_of())
    refuse_unsuited(card_of(refines=False, level="at-least"))
    refuse_unsuited(card_of(tissue={"closing_px": ()}, patch={"mpp": 0.75}))


# -- networks and layouts


def test_networks_as_fast_wants_them(fast_bundle: Bundle, fast_bundle_of_three: Bundle) -> None:
    for bundle, heatmaps in (
        (fast_bundle, ["input_1_heatmap"]),
        (fast_bundle_of_three, ["input_1_heatmap_01", "input_1_heatmap_02"]),
    ):
        export = bundle.card.exports[0]
        patch, refinement = (
            onnx.load(bundle.network_file(export, stage)) for stage in ("patch", "refinement")
        )
        assert patch.opset_import[0].version == 13
        sizes = {each.name: _sizes(each) for each in (*patch.graph.input, *patch.graph.output)}
        classes = len(bundle.card.class_names)
        assert sizes == {
            "input_0_patch": [1, PATCH_PX, PATCH_PX, 3],
            "output_0_probabilities": [1, classes],
        }
        names = [each.name for each in refinement.graph.input]
        # FAST numbers inputs by their sorted names.
        assert sorted(names) == ["input_0_image", *heatmaps, "input_2_frame"]
        sizes = {each.name: _sizes(each) for each in refinement.graph.input}
        assert sizes["input_0_image"] == [1, None, None, 3]
        assert all(sizes[name] == [1, None, None, 1] for name in heatmaps)
        assert sizes["input_2_frame"] == [1, FIELD_PX, FIELD_PX, 3]


def _sizes(tensor: onnx.ValueInfoProto) -> list[int | None]:
    return [size.dim_value or None for size in tensor.type.tensor_type.shape.dim]


def test_networks_are_the_deployed_ones(fast_bundle_of_three: Bundle) -> None:
    bundle = fast_bundle_of_three
    keras_files = bundle.path.parent / "keras"
    rng = np.random.default_rng(0)
    patches = rng.integers(1, 256, (3, PATCH_PX, PATCH_PX, 3)).astype(np.float32)
    image = rng.integers(1, 256, (90, 70, 3), np.uint8)
    heatmap = rng.random((7, 9, 2), np.float32)
    engine = onnx_model(bundle).open_engine(2)
    expected = deployed_patch_classifier(load_network(keras_files / "patch.keras"))(patches)
    np.testing.assert_allclose(engine.classify(patches), expected, atol=1e-5)
    refinement = deployed_refinement(load_network(keras_files / "refinement.keras"), FIELD_PX)
    expected = refinement([image[None].astype(np.float32), heatmap[None]])[0]
    np.testing.assert_allclose(engine.refine(image, heatmap), expected, atol=1e-4)


def test_black_is_white(fast_bundle: Bundle) -> None:
    """What was not scanned: black to FAST, white to the networks."""
    rng = np.random.default_rng(0)
    white = rng.integers(1, 256, (1, PATCH_PX, PATCH_PX, 3), np.uint8)
    white[:, :20] = 255
    black = white.copy()
    black[:, :20] = 0
    nearly = white.copy()
    nearly[:, :20] = (0, 0, 1)
    engine = onnx_model(fast_bundle).open_engine(1)
    np.testing.assert_array_equal(engine.classify(black), engine.classify(white))
    assert np.abs(engine.classify(nearly) - engine.classify(white)).max() > 1e-3
    heatmap = rng.random((4, 4, 1), np.float32)
    refined = [engine.refine(picture[0], heatmap) for picture in (black, white)]
    np.testing.assert_array_equal(*refined)


def test_both_layouts(fast_bundle: Bundle) -> None:
    fast = fast_bundle.path / "fast"
    files = {str(file.relative_to(fast)) for file in fast.rglob("*") if file.is_file()}
    assert files == {
        "drawn-one-headless.fpl",
        "user/models/drawn-one-patch.onnx",
        "user/models/drawn-one-refinement.onnx",
        "user/pipelines/drawn-one.fpl",
        "datahub/drawn-one/METADATA.json",
        "datahub/drawn-one/LICENSE.txt",
        "datahub/drawn-one/pipeline.fpl",
        "datahub/drawn-one-model/METADATA.json",
        "datahub/drawn-one-model/LICENSE.txt",
        "datahub/drawn-one-model/patch.onnx",
        "datahub/drawn-one-model/refinement.onnx",
    }
    for name in files:
        if name.endswith(".fpl"):
            pipeline = fast / name
            for line in pipeline.read_text().splitlines():
                if line.startswith("Attribute model"):
                    network = line.split('"')[1].replace("$CURRENT_PATH$", str(pipeline.parent))
                    assert onnxruntime.InferenceSession(network).get_inputs()
    # One file on the disk under two names.
    names = ("user/models/drawn-one-patch.onnx", "datahub/drawn-one-model/patch.onnx")
    assert os.path.samefile(*(fast / name for name in names))
    item = json.loads((fast / "datahub/drawn-one/METADATA.json").read_text())
    assert [need["id"] for need in item["needs"]] == ["drawn-one-model"]
    licence = (fast / "datahub/drawn-one/LICENSE.txt").read_text()
    assert licence.strip() == fast_bundle.card.licence


# -- install


@pytest.fixture
def own_bundle(fast_bundle: Bundle, tmp_path: Path) -> Bundle:
    shutil.copytree(fast_bundle.path, tmp_path / "bundle")
    return open_bundle(tmp_path / "bundle")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


INSTALLED = {
    "models/drawn-one-patch.onnx",
    "models/drawn-one-refinement.onnx",
    "pipelines/drawn-one.fpl",
}


def test_install_twice(own_bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "home" / "fastpathology"
    files = install(own_bundle, target)
    assert {str(file.relative_to(target)) for file in files} == INSTALLED
    assert set(contents(target)) == INSTALLED
    changed = {file: file.stat().st_mtime_ns for file in files}
    assert install(own_bundle, target) == files
    assert {file: file.stat().st_mtime_ns for file in files} == changed
    pipeline = target / "pipelines" / "drawn-one.fpl"
    assert '"$CURRENT_PATH$/../models/drawn-one-patch.onnx"' in pipeline.read_text()


def test_install_replaces_its_own(own_bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "fastpathology"
    install(own_bundle, target)
    before = contents(target)
    # As an earlier training of a model of this name left it.
    (target / "models" / "drawn-one-patch.onnx").write_bytes(b"older weights")
    pipeline = target / "pipelines" / "drawn-one.fpl"
    pipeline.write_text(pipeline.read_text().replace("mask-threshold 0.5", "mask-threshold 0.4"))
    install(own_bundle, target)
    assert contents(target) == before


def test_install_leaves_others_alone(own_bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "fastpathology"
    other = target / "models" / "drawn-one-patch.onnx"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"somebody's network")
    mine = target / "models" / "mine.onnx"
    mine.write_bytes(b"mine")
    with pytest.raises(WrongUseError, match="drawn-one-patch.onnx: is there already.*--name"):
        install(own_bundle, target)
    assert set(contents(target)) == {"models/drawn-one-patch.onnx", "models/mine.onnx"}

    other.unlink()
    pipeline = target / "pipelines" / "drawn-one.fpl"
    pipeline.parent.mkdir()
    pipeline.write_text("# Written by h2g from the model Drawn_One\nPipelineName x")
    with pytest.raises(WrongUseError, match="drawn-one.fpl: is there already"):
        install(own_bundle, target)
    assert set(contents(target)) == {"pipelines/drawn-one.fpl", "models/mine.onnx"}


def test_install_whole_or_not_at_all(own_bundle: Bundle, tmp_path: Path) -> None:
    target = tmp_path / "fastpathology"
    install(own_bundle, target)
    (target / "models" / "drawn-one-patch.onnx").write_bytes(b"older weights")
    # In the way of the last of the files, after the others were put in place.
    pipeline = target / "pipelines" / "drawn-one.fpl"
    pipeline.write_text(pipeline.read_text() + "# older\n")
    before = contents(target)
    real, calls = os.replace, []

    def failing(source: Path, place: Path) -> None:
        calls.append(place)
        if Path(place) == pipeline and Path(source).parent != pipeline.parent and len(calls) < 5:
            raise OSError(28, "No space left on device")
        real(source, place)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "replace", failing)
        with pytest.raises(WrongUseError, match="No space left on device.*--install DIR"):
            install(own_bundle, target)
    assert contents(target) == before


def test_install_of_what_is_no_export(own_bundle: Bundle, tmp_path: Path) -> None:
    (own_bundle.path / "fast/user/models/drawn-one-patch.onnx").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="changed since it was exported"):
        install(own_bundle, tmp_path / "a")
    card = own_bundle.card.model_copy(update={"exports": ()})
    write_card(own_bundle.path, card)
    with pytest.raises(RunError, match="no FAST pipelines. Export --format fast"):
        install(open_bundle(own_bundle.path), tmp_path / "a")
    assert not (tmp_path / "a").exists()
