"""FAST and h2g run the same networks on the same slides, each from the slide on its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from h2g.engines.fast_process import run_pipeline
from h2g.fast_versions import FAST_VERSIONS, FastName
from h2g.folders.bundle import Bundle
from h2g.folders.cohort import read_cohort
from h2g.folders.predictions import SlideRequest
from h2g.phantom import Anatomy
from h2g.phantom.slide import SlideOptions, make_slide
from h2g.prediction.model_files import ModelFiles
from h2g.prediction.predict_slides import predict_slides
from h2g.results.labels import labels_of
from h2g.slides.reading import open_slide
from h2g.slides.tiff_files import read_heatmap
from tests.fast_bundles import fast_model, keras_model, onnx_model, write_bundle
from tests.fast_program import need_fast
from tests.odd_slides import write_odd_slide

pytestmark = pytest.mark.fast
HEATMAP_LIMIT = 1e-3
LABEL_LIMIT = 0.999
TWO = ("background", "tumour")


@pytest.fixture(scope="session")
def slides(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> list[SlideRequest]:
    """Phantoms whose coarsest level is below and above 5 MiB; with levels that fit no grid; without
    a level to read as it is; without an objective, where FAST resamples whatever there is."""
    folder = tmp_path_factory.mktemp("odd_slides")
    # FAST 4.9 closes tissue in the coarsest level of at least 5 MiB, in seconds per megapixel, so
    # that level is to be a small one.
    odd = {"mpp": 0.25, "objective": 40}
    bare = {"size_px": (1511, 1301), "mpp": 1.07, "objective": None}
    files = [
        read_cohort(phantom_cohort).split("test")[0].slide,
        write_phantom(folder / "larger.svs", size_px=(2816, 2048)),
        write_odd_slide(
            folder / "native.svs", size_px=(3003, 2407), downsamples=(2, 8, 16), seed=1, **odd
        ),
        write_odd_slide(
            folder / "resampled.svs", size_px=(5303, 4307), downsamples=(4, 16), seed=2, **odd
        ),
        write_odd_slide(folder / "no objective.svs", downsamples=(2, 4), seed=3, **bare),
    ]
    assert coarsest_mib(files[0]) < 5 < coarsest_mib(files[1])
    return [SlideRequest(file) for file in files]


def write_phantom(path: Path, *, size_px: tuple[int, int]) -> Path:
    options = SlideOptions(
        path.stem, 0, seed=8, grade=2, size_px=size_px, mpp=1.0, suffix="svs", anatomy=Anatomy()
    )
    make_slide(options, slide=path, annotation=path.with_suffix(".geojson"))
    return path


def coarsest_mib(slide: Path) -> float:
    """As FAST counts: four bytes a pixel."""
    with open_slide(slide) as opened:
        width, height = opened.info.levels[-1].size_px
    return width * height * 4 / 1024**2


@pytest.fixture(scope="module", params=list(FAST_VERSIONS))
def version(request: pytest.FixtureRequest) -> FastName:
    name: FastName = request.param
    need_fast(name)
    return name


@pytest.fixture(scope="module")
def both(
    version: FastName, slides: list[SlideRequest], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Prediction folders of two stages: FAST's and that of h2g with ONNX Runtime."""
    folder = tmp_path_factory.mktemp("both")
    bundle = write_bundle(folder / "bundle", classes=TWO, refines=True, name="Two", version=version)
    return predict_both(bundle, slides, folder)


def predict_both(
    bundle: Bundle, slides: list[SlideRequest], folder: Path, reference: ModelFiles | None = None
) -> tuple[Path, Path]:
    fast, ours = folder / "fast", folder / "h2g"
    for summary in (
        predict_slides(fast_model(bundle), slides, fast),
        predict_slides(reference or onnx_model(bundle), slides, ours),
    ):
        assert [row["status"] for row in summary] == ["ok"] * len(slides), summary
    return fast, ours


def label_pair(folders: tuple[Path, Path], name: str) -> tuple[np.ndarray, np.ndarray]:
    first, second = (
        tifffile.imread(folder / "segmentations" / f"{name}.tiff") for folder in folders
    )
    assert first.shape == second.shape
    return first, second


@pytest.mark.parametrize("number", range(5))
def test_fast_and_h2g_agree(
    number: int, both: tuple[Path, Path], slides: list[SlideRequest], record_property
) -> None:
    name = slides[number].name
    found, expected = (read_heatmap(folder / "heatmaps" / f"{name}.tiff") for folder in both)
    assert found.step_level0 == expected.step_level0
    kept, wanted = (heatmap.values.any(axis=2) for heatmap in (found, expected))
    np.testing.assert_array_equal(kept, wanted)
    assert 0.2 < kept.mean() < 1
    difference = np.abs(found.values - expected.values).max()
    assert difference <= HEATMAP_LIMIT
    assert expected.values[wanted, 1].std() > 0.1  # a heatmap of one value would agree too easily

    labels, ours = label_pair(both, name)
    agreement = (labels == ours).mean()
    assert agreement >= LABEL_LIMIT
    assert 0.02 < (ours > 0).mean() < 0.98
    record_property("heatmap_difference", float(difference))
    record_property("label_agreement", float(agreement))
    print(f"{name}: {kept.sum()} patches, heatmap {difference:.1e}, labels {agreement:.4%}")


def test_the_tables_agree(both: tuple[Path, Path], slides: list[SlideRequest]) -> None:
    fast, ours = (pd.read_csv(folder / "summary.csv") for folder in both)
    same = ["slide", "mpp", "mpp_source", "tissue_mm2", "patches", "file"]
    pd.testing.assert_frame_equal(fast[same], ours[same])
    np.testing.assert_allclose(fast["tumour_mm2"], ours["tumour_mm2"], rtol=0.01)
    assert (fast["seconds_total"] > 0.2).all()
    for slide in slides:
        tables = [pd.read_csv(folder / "patches" / f"{slide.name}.csv") for folder in both]
        pd.testing.assert_frame_equal(*tables, rtol=0, atol=HEATMAP_LIMIT)
        for kind in ("geojson", "overlays"):
            assert len(list((both[0] / kind).glob(f"{slide.name}.*"))) == 1


def test_three_classes(version: FastName, slides: list[SlideRequest], tmp_path: Path) -> None:
    """One pipeline for any number of classes; the heatmap's channels reach the network in order."""
    bundle = write_bundle(
        tmp_path / "b", classes=(*TWO, "immune"), refines=True, name="Three", version=version
    )
    labels, ours = label_pair(predict_both(bundle, slides[2:3], tmp_path), "native")
    assert (labels == ours).mean() >= LABEL_LIMIT
    assert min(np.bincount(ours.ravel(), minlength=3)) > 0.01 * ours.size


def test_one_stage(version: FastName, slides: list[SlideRequest], tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", classes=TWO, refines=False, name="One", version=version)
    some = [slides[0], slides[1], slides[3]]
    folders = predict_both(bundle, some, tmp_path)
    shares = []
    for slide in some:
        labels, ours = label_pair(folders, slide.name)
        np.testing.assert_array_equal(labels, ours)
        shares.append((ours > 0).mean())
    assert 0.02 < max(shares) < 0.98


def test_tiles_with_margins(version: FastName, slides: list[SlideRequest], tmp_path: Path) -> None:
    """Patches overlap by their margins, and each is a square of 6 x 6 cells of labels."""
    tiles = {"cells": 6, "margin_px": 8, "refines": False, "name": "Tiles"}
    bundle = write_bundle(tmp_path / "b", classes=TWO, version=version, **tiles)
    some = [slides[1], slides[3]]
    folders = predict_both(bundle, some, tmp_path, reference=keras_model(bundle))
    for slide in some:
        labels, ours = label_pair(folders, slide.name)
        assert (labels == ours).mean() >= LABEL_LIMIT
        assert 0.02 < (ours > 0).mean() < 0.98
        heatmap = read_heatmap(folders[1] / "heatmaps" / f"{slide.name}.tiff").values[..., 1]
        squares = heatmap.reshape(len(heatmap) // 6, 6, -1, 6)
        assert squares.std(axis=(1, 3)).max() > 0.01  # cells of one patch differ


def test_the_slide_alone(version: FastName, slides: list[SlideRequest], tmp_path: Path) -> None:
    bundle = write_bundle(
        tmp_path / "b", classes=TWO, refines=True, name="Slide", version=version, sees="image"
    )
    folders = predict_both(bundle, slides[:2], tmp_path)
    for slide in slides[:2]:
        labels, ours = label_pair(folders, slide.name)
        assert (labels == ours).mean() >= LABEL_LIMIT
        assert 0 < (ours > 0).mean() < 1


def test_files_of_the_headless_pipeline(
    fast_bundle: Bundle, slides: list[SlideRequest], tmp_path: Path, record_property
) -> None:
    """What is written with either of FAST's engines; the pyramid lacks a border, the other not."""
    h5py = pytest.importorskip("h5py")
    runner, (pipeline,) = need_fast("4.9"), (fast_bundle.path / "fast").glob("*-headless.fpl")
    probabilities = {}
    for engine in ("ONNXRuntime", "OpenVINO"):
        out = tmp_path / f"with {engine}"
        variables = {"slide": str(slides[0].path), "out": str(out), "engine": engine}
        assert run_pipeline(runner, pipeline, variables) is None
        with h5py.File(f"{out}_probabilities.hdf5") as file:
            probabilities[engine] = file["tensor"][:]
    wanted = labels_of(probabilities["ONNXRuntime"])
    out = tmp_path / "with ONNXRuntime"
    whole = np.fromfile(f"{out}_segmentation.raw", np.uint8).reshape(wanted.shape)
    np.testing.assert_array_equal(whole, wanted)
    pyramid = tifffile.imread(f"{out}_segmentation.tiff")
    np.testing.assert_array_equal(pyramid[:-1, :-1], wanted[:-1, :-1])
    assert not pyramid[-1].any()
    assert not pyramid[:, -1].any()

    # OpenVINO computes in bfloat16 where the CPU has it, and cannot be told otherwise in a file.
    agreement = (labels_of(probabilities["OpenVINO"]) == wanted).mean()
    record_property("openvino_label_agreement", float(agreement))
    print(f"FAST's OpenVINO: labels {agreement:.4%} as with its ONNX Runtime")
    assert agreement > 0.8
