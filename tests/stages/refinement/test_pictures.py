import dataclasses

import cv2
import numpy as np
import pytest

from h2g.annotations.reading import read_annotations
from h2g.data.refinement_dataset import read_picture
from h2g.errors import TrainingError
from h2g.slides.reading import open_slide, read_low_resolution
from h2g.stages.refinement.pictures import image_file, truth_file, write_inputs
from tests.region_areas import area_level0


def test_the_image_is_resized_as_in_deployment(trained_run):
    row = trained_run.cohort.split("train")[1]
    with open_slide(row.slide, mpp=row.mpp) as slide:
        plane = read_low_resolution(slide, trained_run.recipe.preprocessing.low_resolution)
    assert min(plane.rgb.shape[:2]) >= 1024
    # The deployed graph's resize equals OpenCV's.
    wanted = cv2.resize(plane.rgb.astype("float32"), (64, 64), interpolation=cv2.INTER_LINEAR)
    written = cv2.imread(str(image_file(trained_run, row.name)), cv2.IMREAD_COLOR_RGB)
    assert np.abs(written - wanted).max() <= 0.501


def test_the_truth_covers_the_annotation(trained_run):
    row = trained_run.cohort.split("train")[1]
    truth = read_picture(truth_file(trained_run, row.name))
    with open_slide(row.slide, mpp=row.mpp) as slide:
        frame = slide.info.frame
        field = frame.field_level0
    settings = trained_run.recipe.annotation
    regions = read_annotations(row.annotation, settings, frame)
    assert truth.shape == (64, 64)
    assert {*np.unique(truth)} == {0, 1}
    share = area_level0(regions, "tumour") / (field[0] * field[1])
    assert truth.mean() == pytest.approx(share, abs=0.01)


def test_files_are_written_once_and_failed_slides_left_out(own_run, tmp_path, caplog):
    train = own_run.cohort.split("train")
    kept = truth_file(own_run, train[0].name)
    before = kept.stat().st_mtime_ns
    truth_file(own_run, train[1].name).unlink()
    wrong = tmp_path / "wrong.geojson"
    wrong.write_text("{")
    slides = [train[0], dataclasses.replace(train[1], annotation=wrong), train[2]]
    assert write_inputs(own_run, slides, jobs=2) == [train[0], train[2]]
    assert kept.stat().st_mtime_ns == before
    assert f"{train[1].name} is left out" in caplog.text
    assert write_inputs(own_run, list(train), jobs=2) == list(train)
    assert truth_file(own_run, train[1].name).exists()


def test_a_damaged_file_is_reported(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"no picture")
    with pytest.raises(TrainingError, match=r"a\.png: cannot be read"):
        read_picture(path)
