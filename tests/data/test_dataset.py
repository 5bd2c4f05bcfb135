import itertools
import logging
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from h2g.data.dataset import patch_dataset, raw_patch_dataset
from h2g.data.patch_source import BatchSettings, PatchSource
from h2g.data.sampler import SlidePatches
from h2g.errors import TrainingError
from h2g.recipes.patch import PatchAugmentation

SETTINGS = BatchSettings(batch_size=6, class_count=2, seed=11, workers=3)


def batches(source: PatchSource, count: int, augmentation: PatchAugmentation | None = None):
    dataset = patch_dataset(source, augmentation).take(count)
    return [(images.numpy(), labels.numpy()) for images, labels in dataset]


def assert_same(first: list, second: list) -> None:
    assert len(first) == len(second)
    for ours, theirs in zip(first, second, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def cut(slide: SlidePatches) -> None:
    """Leaves the header of a slide's file, so that it opens, and no pixels."""
    # The tiles come before the directory that says where they are, so overwrite them.
    with slide.path.open("r+b") as file:
        file.seek(16)
        file.write(b"\xff" * 6000)


@pytest.fixture
def slides(write_coded) -> list[SlidePatches]:
    return [write_coded(1, grade="1"), write_coded(2, grade="2"), write_coded(3, grade="2")]


def test_pixels_and_labels_are_those_of_the_draws(slides) -> None:
    source = PatchSource(slides, SETTINGS)
    seen = set()
    for pixels, labels, number in raw_patch_dataset(source).take(4):
        assert pixels.dtype == tf.uint8
        assert pixels.shape == (6, 32, 32, 3)
        draws = source.draws(int(number))
        for patch, label, item in zip(pixels.numpy(), labels.numpy(), draws, strict=True):
            x, y = slides[item.slide].xy_level0[item.patch]
            code = (10 * (item.slide + 1), y // 32, x // 32)
            np.testing.assert_array_equal(patch, np.broadcast_to(code, patch.shape))
            assert label == x // 32 % 2
            seen.add(code)
    assert len(seen) > 15  # 24 draws of 768 patches


def test_images_are_scaled_and_labels_one_hot(slides) -> None:
    (images, labels), *_ = batches(PatchSource(slides, SETTINGS), 1)
    pixels, numbers = PatchSource(slides, SETTINGS).read(0)
    assert images.dtype == labels.dtype == np.float32
    np.testing.assert_allclose(images, pixels / 255.0, atol=1e-7)
    np.testing.assert_array_equal(labels, np.eye(2)[numbers])


@pytest.mark.parametrize("augmentation", [None, PatchAugmentation()])
def test_a_resumed_training_sees_the_batches_it_would_have_seen(slides, augmentation) -> None:
    all_at_once = batches(PatchSource(slides, SETTINGS), 5, augmentation)
    resumed = replace(SETTINGS, first_batch=3, workers=1)
    assert_same(all_at_once[3:], batches(PatchSource(slides, resumed), 2, augmentation))
    other_seed = batches(PatchSource(slides, replace(SETTINGS, seed=12)), 1, augmentation)
    assert (other_seed[0][0] != all_at_once[0][0]).any()


def test_a_slide_that_fails_is_reported_once_and_left_out(slides, caplog) -> None:
    source = PatchSource(slides, SETTINGS)
    source.read(0)
    cut(slides[1])
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(8) as threads:
        # More than the cache can have seen: the slide's patches are read for the first time.
        found = list(threads.map(source.read, range(1, 60)))
    assert sum("coded_2" in record.message for record in caplog.records) == 1
    # As if that slide had never had a patch.
    empty = replace(slides[1], xy_level0=np.zeros((0, 2), np.int64), labels=np.zeros(0, np.int8))
    without = PatchSource([slides[0], empty, slides[2]], SETTINGS)
    late = found[40:]
    assert_same(late, [without.read(number) for number in range(41, 60)])


def test_the_data_set_goes_on_without_a_failing_slide(slides, caplog) -> None:
    cut(slides[2])
    found = batches(PatchSource(slides, SETTINGS), 8)
    assert len(found) == 8
    codes = {int(code) for images, _ in found for code in np.rint(images[:, 0, 0, 0] * 255)}
    assert codes == {10, 20}
    assert "Training continues without this slide (2 left)" in caplog.text


def test_training_stops_when_no_slide_is_left(slides) -> None:
    for slide in slides:
        cut(slide)
    source = PatchSource(slides, SETTINGS)
    with pytest.raises(TrainingError, match="None of the 3 slides"), source.raising_failure():
        batches(source, 1)
    with pytest.raises(TrainingError, match="None of the 3 slides"):
        source.read(1)


def test_training_stops_when_a_class_is_left_out(write_coded) -> None:
    both, background = write_coded(1), write_coded(2, classes=(0,))
    cut(both)
    source = PatchSource([both, background], SETTINGS)
    with pytest.raises(TrainingError, match="patches of class 1"), source.raising_failure():
        batches(source, 3)


def test_other_errors_pass_unchanged(slides) -> None:
    source = PatchSource(slides, SETTINGS)
    with pytest.raises(KeyError), source.raising_failure():
        raise KeyError("a bug")


def test_there_must_be_patches(slides) -> None:
    empty = replace(slides[0], xy_level0=np.zeros((0, 2), np.int64), labels=np.zeros(0, np.int8))
    with pytest.raises(TrainingError, match="no labelled patches"):
        PatchSource([empty], SETTINGS)


def test_a_closed_source_serves_nothing_more(slides) -> None:
    source = PatchSource(slides, SETTINGS)
    batch = iter(raw_patch_dataset(source))
    next(batch)
    source.close()
    # What was read before still comes.
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(itertools.islice(batch, 100))


def test_python_ends_while_batches_are_read(slides, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(f"""
        import pathlib, time
        import numpy as np
        from h2g.data.dataset import raw_patch_dataset
        from h2g.data.patch_source import BatchSettings, PatchSource
        from h2g.data.sampler import SlidePatches
        from h2g.recipes.preprocessing import PatchSettings
        from h2g.slides.reading import open_slide, plan_patches

        path = pathlib.Path({str(slides[0].path)!r})
        with open_slide(path) as slide:
            plan = plan_patches(slide.info, PatchSettings(mpp=1.0, size_px=32))
        patches = SlidePatches("coded", path, None, "1", plan,
                               np.zeros((1, 2), np.int64), np.zeros(1, np.int8))
        source = PatchSource([patches], BatchSettings(batch_size=2000, class_count=2, seed=0))
        alive = iter(raw_patch_dataset(source))
        next(alive)
        """)
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, str(program)], check=True, timeout=120, env=environment)
