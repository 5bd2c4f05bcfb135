from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from h2g.engines.engine import HEATMAP_INPUT, IMAGE_INPUT, PATCH_INPUT
from h2g.errors import ModelError, RunError, WrongUseError
from h2g.exporters.fast_install import install
from h2g.exporters.fast_limits import check_suits_fast
from h2g.exporters.fast_text import gui_pipeline, headless_pipeline, pipeline_name, slug
from h2g.exporters.to_fast import item_id, write_model_item, write_pipeline_item
from h2g.fast_versions import FAST_VERSIONS, FastName
from h2g.folders.bundle import Bundle, Card, open_bundle, write_card
from h2g.models.deployment import deployed, load_network
from tests.fast_bundles import FIELD_PX, PATCH_PX, onnx_model, preprocessing, write_bundle
from tests.network_cards import patch_card, refinement_card

MODELS = {"patch": "p.onnx", "refinement": "r.onnx"}


def card_of(
    *,
    classes: tuple[str, ...] = ("background", "tumour"),
    refines: bool = True,
    tissue: dict[str, Any] = {},  # noqa: B006
    patch: dict[str, Any] = {},  # noqa: B006
    level: str | None = None,
    version: FastName = "4.9",
    **more: Any,
) -> Card:
    base = preprocessing(version)
    level = level or base.low_resolution.level
    changed = base.model_copy(
        update={
            "tissue": base.tissue.model_copy(update=tissue),
            "patch": base.patch.model_copy(update=patch),
            "low_resolution": base.low_resolution.model_copy(update={"level": level}),
        }
    )
    networks = {"patch": patch_card(), **({"refinement": refinement_card()} if refines else {})}
    values = {
        "name": "A model",
        "description": "Finds tumour",
        "class_names": classes,
        "preprocessing": changed,
        "networks": networks,
    }
    return Card(**{**values, **more})


def tiles_of(*, refines: bool = False, **more: Any) -> Card:
    """A network that answers with 8 x 8 cells."""
    networks = {"patch": patch_card(output=(None, 8, 8, 2))}
    if refines:
        networks["refinement"] = refinement_card()
    return card_of(networks=networks, **more)


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


@pytest.mark.parametrize("version", FAST_VERSIONS)
def test_every_value_is_the_cards(version: FastName) -> None:
    card = card_of(
        tissue={"threshold": 70, "closing_px": (5,)},
        patch={"mpp": 4.0, "size_px": 96, "min_tissue": 0.3},
        classes=("glass", "invasive", "in situ"),
        version=version,
    )
    # 4.9 stops at the attribute.
    method = {"4.9": [], "4.15": ["Attribute color-thresholding true"]}[version]
    extents = {"4.9": ["Input 3 extent 0"], "4.15": []}[version]
    for text in (gui_pipeline(card, MODELS), headless_pipeline(card, MODELS)):
        found = objects(text)
        assert (
            f"# For {'FastPathology with' if 'WSI' in text else 'runPipeline of'} FAST {version}"
            in text
        )
        assert found["tissue"][:-1] == [
            *method,
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
            *extents,
            f"Input {3 + len(extents)} lowres 0",
        ]
        # 96 px of 4 um are 384 um, of which 32nd parts are 12.
        extent = ["Attribute spacing-x 0.012", "Attribute spacing-y 0.012"]
        assert found.get("extent", [])[:2] == (extent if extents else [])
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


NAMES = [
    # name, FastPathology's, in files
    ("A model", "A model", "a-model"),
    ("H2G Net v1.2", "H2G Net v1.2", "h2g-net-v1.2"),
    ("x_y", "x_y", "x-y"),
    ("...", "model", "model"),
    ('a/b\\c: "d" <e>|f*?\n', "a b c d e f", "a-b-c-d-e-f"),
    (" Modèle (2). ", "Modele (2)", "modele-2"),
    ("\u7532", "model", "model"),
    ("con", "con model", "con-model"),
    ("Aux.v2", "Aux.v2 model", "aux.v2-model"),
    ("long " * 40, ("long " * 12).strip(), ("long-" * 12).strip("-")),
]


@pytest.mark.parametrize(("name", "shown", "part"), NAMES)
def test_names_in_menus_and_of_files(name: str, shown: str, part: str) -> None:
    assert pipeline_name(name) == shown
    assert slug(name) == part


@pytest.mark.parametrize("name", [name for name, _, _ in NAMES])
def test_a_name_cannot_break_a_pipeline(name: str) -> None:
    card = card_of(name=f"{name} @@x@@ $CURRENT_PATH$")
    text = gui_pipeline(card, MODELS)
    assert text.startswith("# Written by h2g from the model ")
    lines = text.splitlines()
    assert lines[2] == f'PipelineName "{pipeline_name(card.name)}"'
    assert "@@" not in text
    assert text.count("$CURRENT_PATH$") == len(MODELS)


def test_what_fastpathology_saves_can_be_opened_again() -> None:
    """Outputs become folders below the pipeline's name. A tensor comes back as a heatmap, an image
    as a segmentation, with the attributes of the one renderer that shows it."""
    wanted = {
        ("patch",): {"heatmap": "HeatmapRenderer"},
        ("patch", "refinement"): {
            "heatmap": "HeatmapRenderer",
            "segmentation": "SegmentationRenderer",
        },
        ("refinement",): {"segmentation": "SegmentationRenderer"},
    }
    for stages, outputs in wanted.items():
        card = card_of(refines="refinement" in stages)
        if "patch" not in stages:
            card = card_of(networks={"refinement": refinement_card(takes=(IMAGE_INPUT,))})
        text = gui_pipeline(card, {stage: MODELS[stage] for stage in stages})
        kept = [line.split() for line in text.splitlines() if line.startswith("PipelineOutputData")]
        assert {name for _, name, _, _ in kept} == set(outputs)
        kinds = dict(line.split()[1:] for line in text.splitlines() if line.startswith("Renderer"))
        for _, name, producer, port in kept:
            shown = [
                kinds[view]
                for view, lines in objects(text).items()
                if view in kinds and f"Input 0 {producer} {port}" in lines
            ]
            assert shown == [outputs[name]]
        # An empty list of hidden channels would not be read again.
        hidden = [line for line in text.splitlines() if "hidden-channels" in line]
        assert all(line.split()[2:] == ["0", "255"] for line in hidden if line[0] != "#")
        assert 'Attribute classes "background;tumour"' in text


# -- items of the DataHub


def test_items_with_an_author_and_a_licence(tmp_path: Path) -> None:
    card = card_of(name="H2G Net v1.2", author="Jane Doe", licence="CC BY 4.0")
    folders = {kind: tmp_path / item_id(card, kind) for kind in ("pipeline", "model")}
    # The DataHub takes letters, digits, - and _ alone.
    assert [folder.name for folder in folders.values()] == ["h2g-net-v1-2", "h2g-net-v1-2-model"]
    write_pipeline_item(card, folders["pipeline"], "text")
    write_model_item(card, folders["model"])
    items = {
        kind: json.loads((folder / "METADATA.json").read_text("utf-8"))
        for kind, folder in folders.items()
    }
    # Needs are whole items: of a mere id FAST makes an item without one.
    assert items["pipeline"]["needs"] == [items["model"]]
    for kind, item in items.items():
        assert (item["id"], item["type"]) == (folders[kind].name, kind)
        assert item["author"] == "Jane Doe"
        assert re.fullmatch(r"20\d\d Jane Doe", item["copyright"])
        assert item["license_name"] == "CC BY 4.0"
        assert item["license_url"] == "https://spdx.org/licenses/CC-BY-4.0.html"
        for version in (item["min_fast_version"], item["max_fast_version"]):
            assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        licence = (folders[kind] / "LICENSE.txt").read_text("utf-8").splitlines()
        assert licence == ["CC BY 4.0", item["license_url"], f"Copyright {item['copyright']}"]


def test_items_of_nobody(tmp_path: Path) -> None:
    card = card_of(licence="ask Jane")
    write_model_item(card, tmp_path)
    item = json.loads((tmp_path / "METADATA.json").read_text("utf-8"))
    assert (item["author"], item["copyright"], item["license_url"]) == ("", "", "")
    assert (tmp_path / "LICENSE.txt").read_text("utf-8") == "ask Jane\n"


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
        (
            card_of(patch={"size_px": 100}),
            "100 px without margins .*multiple of 16",
        ),
        (
            tiles_of(patch={"size_px": 256, "margin_px": 20}),
            "patches have 216 px without margins .* multiple of 16",
        ),
        (
            card_of(patch={"size_px": 256, "margin_px": 32}),
            r"patch.margin_px is 32, and FAST has margins only around tiles .*answer mask",
        ),
        (
            tiles_of(refines=True),
            "has the networks tiles and refinement, and pipelines exist for: patch; .*; tiles",
        ),
        (card_of(patch={"tolerance": 0.2}, version="4.15"), "patch.tolerance is 0.2, and FAST's"),
        (
            card_of(tissue={"level": "coarsest"}),
            "tissue.level is 'coarsest', and the pipeline takes",
        ),
        (
            card_of(level="coarsest"),
            "low_resolution.level 'coarsest', and the pipeline takes 'fast-",
        ),
        (
            card_of(level="fast-4.9", version="4.15"),
            "'fast-4.9', and the pipeline takes 'coarsest'",
        ),
        (card_of(level="at-least"), "low_resolution.level 'at-least'"),
        (card_of(classes=("background", "a;b")), "class name 'a;b'"),
        (
            card_of(networks={"refinement": refinement_card()}),
            "refinement network takes a heatmap, and no network makes one",
        ),
        (
            card_of(
                networks={
                    "patch": patch_card(),
                    "refinement": refinement_card(takes=(HEATMAP_INPUT,)),
                }
            ),
            "refinement network sees only the heatmap",
        ),
        (
            card_of(networks={"patch": patch_card(), "other": refinement_card()}),
            "has the networks patch and other, and pipelines exist for: patch; patch and ref",
        ),
    ],
)
def test_what_fast_does_in_another_way(card: Card, sentence: str) -> None:
    with pytest.raises(WrongUseError, match=f"A model cannot be exported for FAST: .*{sentence}"):
        check_suits_fast(card)


def test_what_fast_does_alike() -> None:
    check_suits_fast(card_of())
    check_suits_fast(card_of(refines=False, level="at-least"))
    check_suits_fast(card_of(tissue={"closing_px": ()}, patch={"mpp": 0.75}))
    check_suits_fast(card_of(networks={"refinement": refinement_card(takes=(IMAGE_INPUT,))}))
    check_suits_fast(tiles_of())
    check_suits_fast(tiles_of(patch={"size_px": 256, "margin_px": 32}))


# -- networks and layouts


def test_networks_as_fast_wants_them(fast_bundle: Bundle, fast_bundle_of_three: Bundle) -> None:
    for bundle, heatmaps in (
        (fast_bundle, ["input_1_heatmap"]),
        (fast_bundle_of_three, ["input_1_heatmap_01", "input_1_heatmap_02"]),
    ):
        patch, refinement = (
            onnx.load(network_file(bundle, name)) for name in ("patch", "refinement")
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
        assert sorted(names) == ["input_0_image", *heatmaps, "input_2_extent", "input_2_frame"]
        sizes = {each.name: _sizes(each) for each in refinement.graph.input}
        assert sizes["input_0_image"] == [1, None, None, 3]
        assert all(sizes[name] == [1, None, None, 1] for name in (*heatmaps, "input_2_extent"))
        assert sizes["input_2_frame"] == [1, FIELD_PX, FIELD_PX, 3]


def test_4_15_needs_no_extent(tmp_path: Path) -> None:
    bundle = write_bundle(
        tmp_path, classes=("glass", "tumour"), refines=True, name="New", version="4.15"
    )
    network = onnx.load(network_file(bundle, "refinement"))
    names = {each.name for each in network.graph.input}
    assert names == {"input_0_image", "input_1_heatmap", "input_2_frame"}


def test_heatmaps_are_cut_to_the_extent(fast_bundle: Bundle) -> None:
    """FAST 4.9's empty cells beyond the slide go; a cell that lies on it in part stays."""
    rng = np.random.default_rng(0)
    heatmap = rng.random((1, 5, 7, 1), np.float32)
    fed = {
        "input_0_image": rng.integers(1, 256, (1, 90, 70, 3)).astype(np.float32),
        "input_2_frame": np.zeros((1, FIELD_PX, FIELD_PX, 3), np.float32),
    }
    session = onnxruntime.InferenceSession(network_file(fast_bundle, "refinement"))

    def refine(heatmap: np.ndarray, extent_px: tuple[int, int]) -> np.ndarray:
        extent = np.ones((1, *extent_px, 1), np.float32)
        return session.run(None, {**fed, "input_1_heatmap": heatmap, "input_2_extent": extent})[0]

    expected = refine(heatmap, (5 * 32, 7 * 32))
    larger = np.zeros((1, 20, 28, 1), np.float32)
    larger[:, :5, :7] = heatmap
    np.testing.assert_array_equal(refine(larger, (5 * 32, 7 * 32)), expected)
    np.testing.assert_array_equal(refine(larger, (4 * 32 + 1, 6 * 32 + 16)), expected)
    # Never larger than what is there.
    np.testing.assert_array_equal(refine(heatmap, (6 * 32, 9 * 32)), expected)
    assert np.abs(refine(larger, (20 * 32, 28 * 32)) - expected).max() > 1e-3


def network_file(bundle: Bundle, name: str) -> Path:
    return bundle.path / bundle.card.exports[0].networks[name]


def _sizes(tensor: onnx.ValueInfoProto) -> list[int | None]:
    return [size.dim_value or None for size in tensor.type.tensor_type.shape.dim]


def test_networks_are_the_deployed_ones(fast_bundle_of_three: Bundle) -> None:
    bundle = fast_bundle_of_three
    keras_files = bundle.path.parent / "keras"
    rng = np.random.default_rng(0)
    patches = rng.integers(1, 256, (3, PATCH_PX, PATCH_PX, 3)).astype(np.float32)
    image = rng.integers(1, 256, (1, 90, 70, 3), np.uint8)
    heatmap = rng.random((1, 7, 9, 2), np.float32)
    networks = onnx_model(bundle).open_networks(2)
    found = networks["patch"].run({PATCH_INPUT: patches})
    expected = deployed(load_network(keras_files / "patch.keras"))(patches)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    found = networks["refinement"].run({IMAGE_INPUT: image, HEATMAP_INPUT: heatmap})
    refinement = deployed(load_network(keras_files / "refinement.keras"))
    expected = refinement([image.astype(np.float32), heatmap])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_black_is_white(fast_bundle: Bundle) -> None:
    """What was not scanned: black to FAST, white to the networks."""
    rng = np.random.default_rng(0)
    white = rng.integers(1, 256, (1, PATCH_PX, PATCH_PX, 3), np.uint8)
    white[:, :20] = 255
    black = white.copy()
    black[:, :20] = 0
    nearly = white.copy()
    nearly[:, :20] = (0, 0, 1)
    networks = onnx_model(fast_bundle).open_networks(1)
    found = [networks["patch"].run({PATCH_INPUT: each}) for each in (black, white, nearly)]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[2] - found[1]).max() > 1e-3
    heatmap = rng.random((1, 4, 4, 1), np.float32)
    feeds = [{IMAGE_INPUT: each, HEATMAP_INPUT: heatmap} for each in (black, white)]
    np.testing.assert_array_equal(*(networks["refinement"].run(feed) for feed in feeds))


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
    with pytest.raises(WrongUseError, match="this file exists and was not installed.*--name"):
        install(own_bundle, target)
    assert set(contents(target)) == {"models/drawn-one-patch.onnx", "models/mine.onnx"}

    other.unlink()
    pipeline = target / "pipelines" / "drawn-one.fpl"
    pipeline.parent.mkdir()
    pipeline.write_text("# Written by h2g from the model Drawn_One\nPipelineName x")
    with pytest.raises(WrongUseError, match="drawn-one.fpl: this file exists and was not"):
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
