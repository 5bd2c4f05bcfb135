"""What exports are tried on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from h2g.engines.engine import HEATMAP_INPUT, IMAGE_INPUT, PATCH_INPUT, Feed
from h2g.errors import RunError
from h2g.exporters.samples import noise_samples, run_patches, run_samples
from h2g.exporters.source import open_source
from h2g.folders.run import Run, open_run
from h2g.slides.reading import open_slide, read_low_resolution
from h2g.stages.chain import NETWORKS, STAGES
from h2g.stages.patch.classify import classify_slide
from h2g.stages.run_network import open_run_network
from tests.exporters.random_run import INPUT_PX, PATCH_PX, prepare, write_run


@pytest.fixture(scope="module")
def run(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return prepare(write_run(tmp_path_factory.mktemp("samples") / "both", phantom_cohort))


def pixels(feeds: list[Feed]) -> np.ndarray:
    return np.concatenate([feed[PATCH_INPUT] for feed in feeds])


def test_patches_are_those_that_training_draws(run: Run) -> None:
    samples = run_samples(run)
    assert samples.pixels == "slides"
    assert {feed[PATCH_INPUT].shape for feed in samples.feeds["patch"]} == {
        (1, PATCH_PX, PATCH_PX, 3)
    }
    patches = pixels(samples.feeds["patch"])
    assert patches.dtype == np.uint8
    # Tissue: darker than glass, and not all alike.
    assert patches.mean() < 240
    assert len(np.unique(patches, axis=0)) > 6
    np.testing.assert_array_equal(patches, pixels(run_samples(run).feeds["patch"]))
    np.testing.assert_array_equal(patches, run_patches(run, count=len(patches)))


@pytest.mark.parametrize("calibrate", [False, True])
def test_as_many_as_each_network_asks_for(run: Run, calibrate: bool) -> None:
    feeds = run_samples(run, calibrate=calibrate).feeds
    assert len(feeds["patch"]) == NETWORKS["patch"].sample_counts[calibrate]
    assert len(feeds["refinement"]) == 2  # the split has no more slides


def test_slides_go_in_whole_with_their_heatmaps(run: Run) -> None:
    feeds = run_samples(run).feeds["refinement"]
    for place, (row, feed) in enumerate(zip(run.cohort.split("train"), feeds, strict=True)):
        with open_slide(row.slide) as slide:
            plane = read_low_resolution(slide, run.recipe.preprocessing.low_resolution)
        np.testing.assert_array_equal(feed[IMAGE_INPUT], plane.rgb[np.newaxis])
        heatmap = feed[HEATMAP_INPUT]
        assert heatmap.shape == (1, 32 + place, 33, 1)
        assert heatmap.dtype == np.float32
        assert heatmap.flags.c_contiguous


def test_a_slide_without_heatmap_is_classified(run: Run) -> None:
    (row,) = run.cohort.split("val")
    (feed,) = run_samples(run, split="val").feeds["refinement"]
    network = open_run_network(run, STAGES["patch"])
    expected = classify_slide(row.slide, None, network, run.recipe.preprocessing, threads=1)
    np.testing.assert_allclose(feed[HEATMAP_INPUT][0], expected.heatmap.values[..., 1:], atol=1e-6)
    assert not run.heatmap_file(row.name).exists()  # the run stays as it was


def test_one_stage_has_patches_alone(phantom_cohort: Path, tmp_path: Path) -> None:
    run = prepare(write_run(tmp_path / "one", phantom_cohort, refines=False))
    assert set(run_samples(run).feeds) == {"patch"}


def test_slides_that_are_gone_name_no_check(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    table = (run.path / "cohort.csv").read_text()
    first = run.cohort.split("train")[0].slide
    (tmp_path / "run" / "cohort.csv").write_text(table.replace(first.name, "gone.svs"))
    moved = open_run(tmp_path / "run", slides_must_exist=False)
    assert len(run_samples(moved).feeds["refinement"]) == 1  # the other slide does
    (tmp_path / "run" / "cohort.csv").write_text(table.replace("/slides/", "/moved/"))
    moved = open_run(tmp_path / "run", slides_must_exist=False)
    with pytest.raises(RunError, match="no slide of the train split.*--no-check"):
        run_samples(moved)


def test_a_run_that_was_not_prepared_names_no_check(phantom_cohort: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "bare", phantom_cohort, refines=False)
    with pytest.raises(RunError, match="no train slide is indexed.*--no-check"):
        run_samples(run)


def test_noise_has_the_shapes_of_the_networks(run: Run) -> None:
    samples = noise_samples(open_source(run.path).card)
    assert samples.pixels == "noise"
    patches = pixels(samples.feeds["patch"])
    assert patches.shape == (64, PATCH_PX, PATCH_PX, 3)
    assert patches.dtype == np.uint8
    assert patches.std() > 20
    slides = samples.feeds["refinement"]
    assert len({feed[IMAGE_INPUT].shape for feed in slides}) == 2
    assert slides[0][IMAGE_INPUT].shape[1] == INPUT_PX
    for feed in slides:
        assert feed[IMAGE_INPUT].dtype == np.uint8
        heatmap = feed[HEATMAP_INPUT]
        assert heatmap.dtype == np.float32
        assert heatmap.shape[3] == 1
        assert 0 <= heatmap.min() < heatmap.max() <= 1


@pytest.mark.parametrize("name", ["patch", "refinement"])
def test_noise_is_for_the_networks_that_there_are(run: Run, name: str) -> None:
    assert set(noise_samples(open_source(run.model_file(name)).card).feeds) == {name}
