"""What exports are tried on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from h2g.engines.keras_engine import open_keras_engine
from h2g.errors import RunError
from h2g.exporters.samples import noise_samples, run_samples
from h2g.exporters.source import open_source
from h2g.folders.run import Run, open_run
from h2g.slides.reading import open_slide, read_low_resolution
from h2g.slides.tissue_patches import classify_slide
from tests.exporters.random_run import INPUT_PX, PATCH_PX, prepare, write_run


@pytest.fixture(scope="module")
def run(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prepare(write_run(tmp_path_factory.mktemp("samples") / "both", phantom_cohort))


def test_patches_are_those_that_training_draws(run: Run) -> None:
    samples = run_samples(run, patches=12)
    assert samples.pixels == "slides"
    assert samples.patches.shape == (12, PATCH_PX, PATCH_PX, 3)
    assert samples.patches.dtype == np.uint8
    # Tissue: darker than glass, and not all alike.
    assert samples.patches.mean() < 240
    assert len(np.unique(samples.patches, axis=0)) > 6
    np.testing.assert_array_equal(samples.patches, run_samples(run, patches=12).patches)


def test_fields_are_whole_slides_with_their_heatmaps(run: Run) -> None:
    samples = run_samples(run, patches=1, fields=5)
    assert len(samples.fields) == 2  # the split has no more
    for place, (image, heatmap) in enumerate(samples.fields):
        row = run.cohort.split("train")[place]
        with open_slide(row.slide) as slide:
            plane = read_low_resolution(slide, run.recipe.preprocessing.low_resolution)
        np.testing.assert_array_equal(image, plane.rgb)
        assert heatmap.shape == (32 + place, 33, 1)
        assert heatmap.dtype == np.float32
        assert heatmap.flags.c_contiguous


def test_a_slide_without_heatmap_is_classified(run: Run) -> None:
    (row,) = run.cohort.split("val")
    ((image, heatmap),) = run_samples(run, split="val", patches=1).fields
    engine = open_keras_engine(run, stages=("patch",))
    expected = classify_slide(row.slide, None, engine, run.recipe.preprocessing, 2, threads=1)
    np.testing.assert_allclose(heatmap, expected.heatmap.values[..., 1:], atol=1e-6)
    assert not run.heatmap_file(row.name).exists()  # the run stays as it was


def test_one_stage_has_no_fields(phantom_cohort: Path, tmp_path: Path) -> None:
    run = prepare(write_run(tmp_path / "one", phantom_cohort, refines=False))
    assert run_samples(run, patches=2).fields == ()


def test_slides_that_are_gone_name_no_check(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    table = (run.path / "cohort.csv").read_text()
    first = run.cohort.split("train")[0].slide
    (tmp_path / "run" / "cohort.csv").write_text(table.replace(first.name, "gone.svs"))
    moved = open_run(tmp_path / "run", slides_must_exist=False)
    assert len(run_samples(moved, patches=4).fields) == 1  # the other slide does
    (tmp_path / "run" / "cohort.csv").write_text(table.replace("/slides/", "/moved/"))
    moved = open_run(tmp_path / "run", slides_must_exist=False)
    with pytest.raises(RunError, match="no slide of the train split.*--no-check"):
        run_samples(moved)


def test_a_run_that_was_not_prepared_names_no_check(phantom_cohort: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "bare", phantom_cohort, refines=False)
    with pytest.raises(RunError, match="no train slide is indexed.*--no-check"):
        run_samples(run)


def test_noise_has_the_shapes_of_the_networks(run: Run) -> None:
    samples = noise_samples(open_source(run.path).card, patches=8)
    assert samples.pixels == "noise"
    assert samples.patches.shape == (8, PATCH_PX, PATCH_PX, 3)
    assert samples.patches.std() > 20
    sizes = {image.shape for image, _ in samples.fields}
    assert len(sizes) == 2
    for image, heatmap in samples.fields:
        assert image.dtype == np.uint8
        assert heatmap.shape[2] == 1
        assert 0 <= heatmap.min() < heatmap.max() <= 1
    patch_only = noise_samples(open_source(run.model_file("patch")).card, patches=8)
    assert (len(patch_only.patches), patch_only.fields) == (8, ())
    refinement_only = noise_samples(open_source(run.model_file("refinement")).card)
    assert (len(refinement_only.patches), len(refinement_only.fields)) == (0, 2)
    assert refinement_only.fields[0][0].shape[0] == INPUT_PX
