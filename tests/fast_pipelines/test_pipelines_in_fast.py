"""FAST's own parser and renderers on the pipelines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fast_bundles import onnx_model
from fast_program import run_in_fast
from PIL import Image

from h2g.annotations.colours import class_colour
from h2g.bundle import Bundle
from h2g.cohort import read_cohort
from h2g.inference.predict import predict_slides
from h2g.inference.requests import SlideRequest

HERE = Path(__file__).parent
SIDE_PX = 512


@pytest.fixture(scope="module")
def slide(phantom_cohort: Path) -> Path:
    return read_cohort(phantom_cohort).split("test")[0].slide


def test_fast_reads_all_that_was_written(
    fast_bundle: Bundle, fast_bundle_of_three: Bundle, fast_bundle_of_one_stage: Bundle, slide: Path
) -> None:
    bundles = [fast_bundle, fast_bundle_of_three, fast_bundle_of_one_stage]
    files = [
        file
        for bundle in bundles
        for pattern in ("*.fpl", "METADATA.json")
        for file in sorted((bundle.path / "fast").rglob(pattern))
    ]
    assert len(files) == 3 * (3 + 2)
    printed = run_in_fast(HERE / "parse_in_fast.py", slide, *files)
    (document,) = [line for line in printed.splitlines() if line.startswith("JSON ")]
    told = json.loads(document.removeprefix("JSON "))

    for bundle in bundles:
        fast, card = bundle.path / "fast", bundle.card
        (headless,) = fast.glob("*-headless.fpl")
        (in_user_folder,) = (fast / "user" / "pipelines").glob("*.fpl")
        (in_datahub,) = (fast / "datahub").glob("*/pipeline.fpl")
        for gui in (told[str(in_user_folder)], told[str(in_datahub)]):
            assert gui["getName"] == card.name
            assert "For research only" in gui["getDescription"]
            assert list(gui["inputs"]) == ["WSI"]
            assert gui["attributes"]["classes"] == ";".join(card.class_names)
        alone = told[str(headless)]
        assert alone["inputs"] == {}
        assert {"PatchGenerator", "HDF5TensorExporter"} <= set(alone["objects"].values())
        has_two = card.refinement_px is not None
        assert list(alone["objects"].values()).count("NeuralNetwork") == 1 + has_two

        item = told[str(in_datahub.with_name("METADATA.json"))]
        model = told[str(fast / "datahub" / item["needs"][0] / "METADATA.json")]
        assert (item["id"], item["type"], model["type"]) == (
            in_datahub.parent.name,
            "pipeline",
            "model",
        )
        assert item["license"] == model["license"] == card.licence
        assert item["minFASTVersion"] == "4.15.1"


def render(pipeline: Path, slide: Path, png: Path, *hidden: str) -> tuple[np.ndarray, str]:
    script = HERE / "render_in_fast.py"
    said = run_in_fast(script, pipeline, slide, str(SIDE_PX), png, *hidden, display=True)
    return np.asarray(Image.open(png).convert("RGB")).astype(int), said


def test_fast_draws_the_classes_where_they_are(
    fast_bundle_of_three: Bundle, slide: Path, tmp_path: Path
) -> None:
    (pipeline,) = (fast_bundle_of_three.path / "fast" / "user" / "pipelines").glob("*.fpl")
    shown, said = render(pipeline, slide, tmp_path / "shown.png", "HeatmapRenderer")
    assert "SHOWN ImagePyramidRenderer HeatmapRenderer SegmentationRenderer" in said
    assert "KEPT heatmap segmentation" in said

    out = tmp_path / "ours"
    predict_slides(onnx_model(fast_bundle_of_three), [SlideRequest(slide)], out)
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
