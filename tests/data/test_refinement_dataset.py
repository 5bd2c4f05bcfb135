from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from h2g.data.patch_source import BatchSettings
from h2g.data.refinement_dataset import (
    ExampleSource,
    RefinementExample,
    load_example,
    refinement_dataset,
)
from h2g.data.stain import DEFAULT_STAIN_MATRIX
from h2g.errors import H2GError, TrainingError
from h2g.recipes.refinement import RefinementAugmentation
from h2g.slides.frame import Frame
from h2g.slides.heatmap import Heatmap
from h2g.slides.tiff_files import write_heatmap

PX = 64
SETTINGS = BatchSettings(batch_size=2, class_count=2, seed=5, workers=2)


@pytest.fixture
def write_example(tmp_path: Path) -> Callable[..., RefinementExample]:
    def write(
        name: str, image: np.ndarray, truth: np.ndarray, heatmap: np.ndarray
    ) -> RefinementExample:
        files = [tmp_path / f"{name}_{kind}" for kind in ("image.png", "truth.png", "map.tiff")]
        cv2.imwrite(str(files[0]), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(files[1]), truth)
        softmax = np.concatenate([1 - heatmap.sum(axis=2, keepdims=True), heatmap], axis=2)
        write_heatmap(
            files[2], Heatmap(softmax.astype(np.float32), 256.0, Frame((1000, 1000), 1.0))
        )
        return RefinementExample(name, *files, stain_matrix=DEFAULT_STAIN_MATRIX)

    return write


@pytest.fixture
def examples(write_example) -> list[RefinementExample]:
    """Five, each of one grey of its own."""
    truth, heatmap = np.zeros((PX, PX), np.uint8), np.zeros((4, 4, 1))
    return [
        write_example(str(number), np.full((PX, PX, 3), 10 * number, np.uint8), truth, heatmap)
        for number in range(5)
    ]


def blobs() -> np.ndarray:
    """(PX, PX) uint8 labels without any symmetry, background at the edges."""
    truth = np.zeros((PX, PX), np.uint8)
    truth[10:50, 14:24] = 1
    truth[40:50, 14:44] = 1
    return truth


def order_seen(examples, settings, batches: int, *, shuffle: bool) -> list[list[int]]:
    source = ExampleSource(examples, settings, shuffle=shuffle)
    dataset = refinement_dataset(source, input_px=PX, augmentation=None).take(batches)
    with source.raising_failure():
        return [
            np.rint(image[:, 0, 0, 0].numpy() * 25.5).astype(int).tolist()
            for (image, _), _ in dataset
        ]


def test_an_example_is_loaded(write_example) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (50, 70, 3), np.uint8)
    truth = rng.integers(0, 3, (PX, PX), np.uint8)
    heatmap = rng.uniform(0, 0.5, (3, 5, 2)).astype(np.float32)
    found = load_example(write_example("a", image, truth, heatmap))
    np.testing.assert_array_equal(found[0], image)
    np.testing.assert_allclose(found[1], heatmap)
    np.testing.assert_array_equal(found[2], truth)


def test_image_and_heatmap_are_stretched_as_in_deployment(write_example) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (50, 90, 3), np.uint8)
    truth, heatmap = blobs(), rng.uniform(0, 1, (3, 5, 1)).astype(np.float32)
    source = ExampleSource([write_example("a", image, truth, heatmap)], SETTINGS, shuffle=False)
    ((images, heatmaps), truths), *rest = refinement_dataset(source, input_px=PX, augmentation=None)
    assert not rest
    # What OpenCV calls linear is bilinear with half-pixel centres, without antialiasing.
    expected = cv2.resize(image.astype(np.float32) / 255, (PX, PX))
    np.testing.assert_allclose(images[0], expected, atol=1e-5)
    np.testing.assert_allclose(
        heatmaps[0, ..., 0], cv2.resize(heatmap[..., 0], (PX, PX)), atol=1e-5
    )
    np.testing.assert_array_equal(truths[0], np.eye(2)[truth])


def test_every_epoch_passes_all_in_its_own_order(examples) -> None:
    batches = order_seen(examples, SETTINGS, 15, shuffle=True)
    assert all(len(batch) == 2 for batch in batches)
    sequence = sum(batches, [])
    epochs = [sequence[start : start + 5] for start in range(0, 30, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    resumed = order_seen(examples, replace(SETTINGS, first_batch=9), 6, shuffle=True)
    assert resumed == batches[9:]


def test_without_shuffling_all_pass_once(examples) -> None:
    assert order_seen(examples, SETTINGS, 100, shuffle=False) == [[0, 1], [2, 3], [4]]
    late = replace(SETTINGS, first_batch=2)
    assert order_seen(examples, late, 100, shuffle=False) == [[4]]
    later = replace(SETTINGS, first_batch=3)
    assert order_seen(examples, later, 100, shuffle=False) == []


def test_image_heatmap_and_truth_move_together(write_example) -> None:
    # The picture is the truth's negative, so that what zooming out uncovers fits too: white image,
    # heatmap 0, background.
    truth = blobs()
    image = np.repeat(255 * (1 - truth)[..., None], 3, axis=2)
    example = write_example("a", image, truth, truth[..., None].astype(float))
    source = ExampleSource([example], replace(SETTINGS, batch_size=32), shuffle=True)
    always = RefinementAugmentation(flip=0.5, rotate=0.5, zoom=1.0, stain=0.0)
    (images, heatmaps), truths = next(
        iter(refinement_dataset(source, input_px=PX, augmentation=always))
    )
    tumour = truths.numpy()[..., 1] > 0
    # Bilinear and nearest differ at edges alone: half a pixel along a length of about 140 of 4096.
    assert ((images.numpy()[..., 0] < 0.5) == tumour).mean() > 0.97
    assert ((heatmaps.numpy()[..., 0] > 0.5) == tumour).mean() > 0.97
    np.testing.assert_allclose(images[..., 0], 1 - heatmaps[..., 0], atol=1e-5)
    # Areas are zoomed by 0.8 to 1.2 squared, shapes turned and mirrored.
    areas = tumour.sum(axis=(1, 2)) / truth.sum()
    assert 0.55 < areas.min() < 0.8
    assert 1.2 < areas.max() < 1.55
    corners = {tuple(np.argwhere(one).mean(axis=0) > PX / 2) for one in tumour}
    assert len(corners) > 1
    source.close()


def test_stains_change_the_image_alone(write_example) -> None:
    truth = blobs()
    image = np.where(truth[..., None] == 1, (120, 60, 140), 255).astype(np.uint8)
    example = write_example("a", image, truth, truth[..., None].astype(float))
    source = ExampleSource([example], replace(SETTINGS, batch_size=8), shuffle=True)
    stains = RefinementAugmentation(flip=0, rotate=0, zoom=0, stain=1.0)
    (images, heatmaps), truths = next(
        iter(refinement_dataset(source, input_px=PX, augmentation=stains))
    )
    np.testing.assert_array_equal(truths[..., 1], np.broadcast_to(truth, (8, PX, PX)))
    np.testing.assert_allclose(heatmaps[..., 0], truths[..., 1], atol=1e-6)
    difference = np.abs(images.numpy() - image / 255.0).max(axis=-1)
    assert difference[:, truth == 0].max() < 1e-6
    assert (difference[:, truth == 1].max(axis=1) > 1e-3).all()
    source.close()


def test_augmentation_is_by_number(examples) -> None:
    def one(first_batch: int) -> np.ndarray:
        settings = replace(SETTINGS, first_batch=first_batch)
        source = ExampleSource(examples, settings, shuffle=True)
        dataset = refinement_dataset(source, input_px=PX, augmentation=RefinementAugmentation())
        (images, _), _ = next(iter(dataset.skip(4 - first_batch)))
        source.close()
        return images.numpy()

    np.testing.assert_array_equal(one(0), one(4))


def test_a_lost_file_is_named(examples) -> None:
    examples[1].truth_file.unlink()
    source = ExampleSource(examples, SETTINGS, shuffle=False)
    with pytest.raises(TrainingError, match="1_truth.png"), source.raising_failure():
        list(refinement_dataset(source, input_px=PX, augmentation=None))
    examples[0].heatmap_file.write_bytes(b"no TIFF")
    source = ExampleSource(examples[:1], SETTINGS, shuffle=False)
    with pytest.raises(H2GError, match="0_map.tiff"), source.raising_failure():
        list(refinement_dataset(source, input_px=PX, augmentation=None))


def test_there_must_be_examples() -> None:
    with pytest.raises(TrainingError, match="no slide"):
        ExampleSource([], SETTINGS, shuffle=True)
