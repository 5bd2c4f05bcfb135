"""FAST's own parser and renderers on the pipelines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from h2g.annotations.colours import class_colour
from h2g.exporters.fast_text import fast_version, pipeline_name
from h2g.fast_versions import FAST_VERSIONS, FastName
from h2g.folders.bundle import Bundle
from h2g.folders.cohort import read_cohort
from h2g.folders.predictions import SlideRequest
from h2g.prediction.predict_slides import predict_slides
from tests.fast_bundles import onnx_model, write_bundle
from tests.fast_program import need_fast, run_in_fast

pytestmark = pytest.mark.fast
HERE = Path(__file__).parent
SIDE_PX = 512


@pytest.fixture(scope="module")
def slide(phantom_cohort: Path) -> Path:
    return read_cohort(phantom_cohort).split("test")[0].slide


@pytest.fixture(scope="module", params=list(FAST_VERSIONS))
def bundles(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Bundle]:
    """Two stages, two with three classes, one stage, and the slide alone, for a version of FAST."""
    version, two = request.param, ("background", "tumour")
    need_fast(version)
    wanted: dict[str, dict[str, Any]] = {
        "two": {"classes": two, "refines": True},
        "three": {"classes": (*two, "immune cells"), "refines": True},
        "one": {"classes": two, "refines": False},
        "slide": {"classes": two, "refines": True, "sees": "image"},
    }
    folder = tmp_path_factory.mktemp("bundles")
    return {
        name: write_bundle(folder / name, name=f"Drawn {name}", version=version, **options)
        for name, options in wanted.items()
    }


def version_of(bundle: Bundle) -> FastName:
    return fast_version(bundle.card).name


def parse(slide: Path, files: list[Path], bundle: Bundle | None = None) -> dict[str, Any]:
    """What FAST makes of each file; that of a bundle, or 4.15."""
    version: FastName = version_of(bundle) if bundle else "4.15"
    printed = run_in_fast(HERE / "parse_in_fast.py", slide, *files, name=version)
    (document,) = [line for line in printed.splitlines() if line.startswith("JSON ")]
    return json.loads(document.removeprefix("JSON "))


def test_fast_reads_all_that_was_written(bundles: dict[str, Bundle], slide: Path) -> None:
    files = [
        file
        for bundle in bundles.values()
        for pattern in ("*.fpl", "METADATA.json")
        for file in sorted((bundle.path / "fast").rglob(pattern))
    ]
    assert len(files) == 4 * (3 + 2)
    told = parse(slide, [file for file in files if file.suffix == ".fpl"], bundles["two"])
    # 4.9 reads items from its server alone.
    told |= parse(slide, [file for file in files if file.suffix == ".json"])

    for kind, bundle in bundles.items():
        fast, card = bundle.path / "fast", bundle.card
        (headless,) = fast.glob("*-headless.fpl")
        (in_user_folder,) = (fast / "user" / "pipelines").glob("*.fpl")
        (in_datahub,) = (fast / "datahub").glob("*/pipeline.fpl")
        for gui in (told[str(in_user_folder)], told[str(in_datahub)]):
            assert gui["getName"] == pipeline_name(card.name)
            assert "For research only" in gui["getDescription"]
            assert list(gui["inputs"]) == ["WSI"]
            assert gui["attributes"]["classes"] == ";".join(card.class_names)
        alone = told[str(headless)]
        assert alone["inputs"] == {}
        made = list(alone["objects"].values())
        assert "HDF5TensorExporter" in made
        assert ("PatchGenerator" in made) == (kind != "slide")
        assert made.count("NeuralNetwork") == len(card.networks)

        item = told[str(in_datahub.with_name("METADATA.json"))]
        model = told[str(fast / "datahub" / item["needs"][0] / "METADATA.json")]
        assert (item["id"], item["type"], model["type"]) == (
            in_datahub.parent.name,
            "pipeline",
            "model",
        )
        assert item["license"] == model["license"] == card.licence
        versions = (item["minFASTVersion"], item["maxFASTVersion"])
        assert versions == (fast_version(card).oldest, fast_version(card).newest)


def test_results_of_fastpathology_open_again(
    fast_bundle_of_three: Bundle, slide: Path, tmp_path: Path
) -> None:
    """In the folder of the model's name, with the colours of the classes; no list of hidden
    channels is ever empty, which FastPathology could not read."""
    card = fast_bundle_of_three.card
    (pipeline,) = (fast_bundle_of_three.path / "fast" / "user" / "pipelines").glob("*.fpl")
    script, results = HERE / "reopen_in_fast.py", tmp_path / "results of a slide"
    printed = run_in_fast(script, pipeline, slide, results, name="4.9", display=True)
    (document,) = [line for line in printed.splitlines() if line.startswith("JSON ")]
    told = json.loads(document.removeprefix("JSON "))

    folder = results / pipeline_name(card.name)
    assert {name: Path(result["file"]) for name, result in told.items()} == {
        "heatmap": folder / "heatmap" / "heatmap.hdf5",
        "segmentation": folder / "segmentation" / "segmentation.tiff",
    }
    colours = " ".join(f'"{n}" "{";".join(map(str, class_colour(n)))}"' for n in (1, 2))
    for result in told.values():
        assert result["opened"] == result["saved"]
        assert all(len(line.split()) >= 3 for line in result["saved"])
        assert any(colours in line for line in result["saved"] if "-colors " in line)
    assert "Attribute hidden-channels 0 255" in map(str.strip, told["heatmap"]["saved"])


def render(bundle: Bundle, slide: Path, png: Path, *hidden: str) -> tuple[np.ndarray, str]:
    (pipeline,) = (bundle.path / "fast" / "user" / "pipelines").glob("*.fpl")
    said = run_in_fast(
        HERE / "render_in_fast.py",
        *(pipeline, slide, str(SIDE_PX), png, *hidden),
        name=version_of(bundle),
        display=True,
    )
    return np.asarray(Image.open(png).convert("RGB")).astype(int), said


def test_fast_draws_the_classes_where_they_are(
    bundles: dict[str, Bundle], slide: Path, tmp_path: Path
) -> None:
    hidden = ["HeatmapRenderer"]
    if version_of(bundles["three"]) == "4.9":
        hidden.append("ImagePyramidRenderer")
    shown, said = render(bundles["three"], slide, tmp_path / "shown.png", *hidden)
    assert "SHOWN ImagePyramidRenderer HeatmapRenderer SegmentationRenderer" in said
    assert "KEPT heatmap segmentation" in said

    out = tmp_path / "ours"
    predict_slides(onnx_model(bundles["three"]), [SlideRequest(slide)], out)
    labels = np.asarray(Image.open(out / "segmentations" / f"{slide.stem}.tiff"))
    for number in (1, 2):
        # Borders are drawn in the very colour of the class; the view shows the whole slide, its
        # longer side from edge to edge.
        outline = np.abs(shown - class_colour(number)).max(axis=2) <= 2
        assert outline.sum() > 50
        rows, cols = np.nonzero(labels == number)
        scale = SIDE_PX / max(labels.shape)
        margins = [(SIDE_PX - side * scale) / 2 for side in labels.shape]
        for places, drawn, margin in (
            (rows, np.nonzero(outline)[0], margins[0]),
            (cols, np.nonzero(outline)[1], margins[1]),
        ):
            expected = np.array([places.min(), places.max()]) * scale + margin
            np.testing.assert_allclose([drawn.min(), drawn.max()], expected, atol=8)
