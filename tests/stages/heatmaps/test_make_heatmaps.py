import dataclasses

import numpy as np
import pytest

from h2g.errors import RunError, TrainingError
from h2g.slides.tiff_files import read_heatmap
from h2g.stages.heatmaps.make_heatmaps import make_heatmaps


def test_every_training_and_validation_slide_has_a_heatmap(trained_run):
    for row in trained_run.cohort.slides:
        assert trained_run.heatmap_file(row.name).exists() == (row.split != "test")
    values = read_heatmap(trained_run.heatmap_file(trained_run.cohort.split("val")[0].name)).values
    classified = values.sum(axis=2) > 0
    assert values.shape[2] == 2
    assert 0 < classified.mean() < 1
    np.testing.assert_allclose(values[classified].sum(axis=1), 1, atol=1e-5)


def test_only_missing_or_broken_heatmaps_are_made(own_run):
    kept, lost = (own_run.heatmap_file(row.name) for row in own_run.cohort.split("train")[:2])
    before, wanted = kept.stat().st_mtime_ns, read_heatmap(lost).values
    lost.unlink()
    make_heatmaps(own_run, threads=1)
    assert kept.stat().st_mtime_ns == before
    np.testing.assert_allclose(read_heatmap(lost).values, wanted, atol=1e-5)


def test_a_slide_that_cannot_be_read_is_left_out(own_run, tmp_path, caplog):
    broken = tmp_path / "broken.svs"
    broken.write_text("no slide")
    val = own_run.cohort.split("val")[0].name
    victim = own_run.cohort.split("train")[0].name
    run = with_slide(own_run, victim, broken)
    run.heatmap_file(victim).unlink()
    make_heatmaps(run, threads=1)
    assert f"{victim} is left out of the refinement stage: " in caplog.text
    run = with_slide(own_run, val, broken)
    run.heatmap_file(val).unlink()
    with pytest.raises(TrainingError, match="No val slide has a heatmap"):
        make_heatmaps(run, threads=1)


def with_slide(run, name, path):
    slides = tuple(
        dataclasses.replace(row, slide=path) if row.name == name else row
        for row in run.cohort.slides
    )
    return dataclasses.replace(run, cohort=dataclasses.replace(run.cohort, slides=slides))


def test_a_run_without_classifier_is_refused(own_run):
    own_run.model_file("patch").unlink()
    with pytest.raises(RunError, match="patch network is not trained yet"):
        make_heatmaps(own_run, threads=1)
