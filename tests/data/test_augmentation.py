import colorsys

import numpy as np
import pytest
import tensorflow as tf

from h2g.data.augmentation import (
    augment_patches,
    move,
    move_masks,
    move_samples,
    random_numbers,
    random_zoom,
    shift_colours,
    zoom,
)
from h2g.recipes.patch import PatchAugmentation
from h2g.recipes.refinement import RefinementAugmentation

NOTHING = PatchAugmentation(flip=0, rotate=0, colour=0, brightness=0)


def random_patches(count: int = 8, size: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def augmented(pixels: np.ndarray, *, batch: int = 0, seed: int = 0, **settings) -> np.ndarray:
    changed = NOTHING.model_copy(update=settings)
    images = augment_patches(
        tf.constant(pixels), tf.constant(batch, tf.int64), seed=seed, settings=changed
    )
    assert images.dtype == tf.float32
    return images.numpy()


def positions(images: np.ndarray, candidates: list[np.ndarray]) -> list[int]:
    """Which candidate each sample equals; all candidates differ."""
    found = []
    for sample, image in enumerate(images):
        equal = [n for n, some in enumerate(candidates) if np.allclose(image, some[sample] / 255)]
        assert len(equal) == 1
        found += equal
    return found


def quarter_turns(pixels: np.ndarray) -> list[np.ndarray]:
    return [np.rot90(pixels, k, axes=(1, 2)) for k in range(4)]


def test_nothing_chosen_is_scaling() -> None:
    pixels = random_patches()
    np.testing.assert_allclose(augmented(pixels), pixels / 255.0, atol=1e-7)


def test_flips_are_the_four() -> None:
    pixels = random_patches(64)
    flips = [pixels, pixels[:, ::-1], pixels[:, :, ::-1], pixels[:, ::-1, ::-1]]
    counts = np.bincount(positions(augmented(pixels, flip=0.5), flips), minlength=4)
    # 16 of each of 64 are expected, with a standard deviation of 3.5.
    assert counts.min() >= 5
    assert set(positions(augmented(pixels, flip=1), flips)) == {3}


def test_rotations_are_by_quarters() -> None:
    pixels = random_patches(90)
    always = np.bincount(positions(augmented(pixels, rotate=1), quarter_turns(pixels)))
    # Never none; 30 of each other turn of 90 are expected, with a standard deviation of 4.5.
    assert always[0] == 0
    assert always[1:].min() >= 15
    half = np.bincount(positions(augmented(pixels, rotate=0.5), quarter_turns(pixels)))
    assert 25 <= half[0] <= 65  # 45 expected, standard deviation 4.7


def test_a_flip_and_a_rotation_are_one_after_the_other() -> None:
    pixels = random_patches(48)
    both = augmented(pixels, flip=1, rotate=1)
    # Both flips are a half turn; then a turn by one to three quarters: one to three remain of
    # 2 + 1, 2 + 2 and 2 + 3.
    assert set(positions(both, quarter_turns(pixels))) == {3, 0, 1}


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("horizontal", [False, True])
def test_move_by_numpy(transpose: bool, vertical: bool, horizontal: bool) -> None:
    pixels = random_patches(2)
    expected = pixels[1].transpose(1, 0, 2) if transpose else pixels[1]
    expected = expected[::-1] if vertical else expected
    expected = expected[:, ::-1] if horizontal else expected
    flags = [tf.constant([False, flag]) for flag in (transpose, vertical, horizontal)]
    moved = move(tf.constant(pixels), *flags).numpy()
    np.testing.assert_array_equal(moved[0], pixels[0])
    np.testing.assert_array_equal(moved[1], expected)


@pytest.mark.parametrize("flip", [0, 0.5, 1])
@pytest.mark.parametrize("rotate", [0, 0.5, 1])
def test_masks_move_with_their_patches(flip: float, rotate: float) -> None:
    """The mask is the patch's red channel; nothing else is changed, so it stays that."""
    masks = np.random.default_rng(1).integers(0, 3, (16, 8, 8), np.int32)
    pixels = random_patches(16, 8)
    pixels[..., 0] = masks
    settings = NOTHING.model_copy(update={"flip": flip, "rotate": rotate})
    ways = set()
    for number in (0, 1, 2, 3, 7, 500, 12_345, 2**40):
        batch = tf.constant(number, tf.int64)
        images = augment_patches(tf.constant(pixels), batch, seed=3, settings=settings)
        found = move_masks(tf.constant(masks), batch, seed=3, settings=settings)
        assert found.dtype == tf.int32
        np.testing.assert_array_equal(found, np.rint(images.numpy()[..., 0] * 255))
        ways.add(found.numpy().tobytes())
    chance = 0 < flip < 1 or rotate > 0
    assert len(ways) == (8 if chance else 1)


def test_masks_move_with_patches_whose_colours_change() -> None:
    """Grey has no hue, so a grey picture shows the mask through all changes of colour."""
    masks = np.random.default_rng(1).integers(0, 256, (16, 8, 8), np.int32)
    pixels = np.repeat(masks[..., None], 3, axis=-1).astype(np.uint8)
    settings = PatchAugmentation(brightness=0)
    for number in range(30):
        batch = tf.constant(number, tf.int64)
        images = augment_patches(tf.constant(pixels), batch, seed=3, settings=settings)
        found = move_masks(tf.constant(masks), batch, seed=3, settings=settings)
        np.testing.assert_array_equal(found, np.rint(images.numpy()[..., 1] * 255))


def shifted(pixel: tuple[int, int, int], hue=0.0, saturation=0.0, brightness=1.0) -> list[float]:
    values = {"hue": hue, "saturation": saturation, "brightness": brightness}
    tensors = {name: tf.constant([value], tf.float32) for name, value in values.items()}
    image = shift_colours(tf.constant([[[pixel]]], tf.uint8), **tensors)
    return image.numpy()[0, 0, 0].tolist()


def test_colours_by_hand() -> None:
    # A third of a turn takes red to green, minus a third to blue.
    assert shifted((255, 0, 0), hue=1 / 3) == pytest.approx([0, 1, 0], abs=1e-5)
    assert shifted((255, 0, 0), hue=-1 / 3) == pytest.approx([0, 0, 1], abs=1e-5)
    # V 200, smallest 100: saturation 0.5, plus 0.25 is 0.75, so the smallest is 50.
    assert shifted((200, 100, 100), saturation=0.25) == pytest.approx(
        [200 / 255, 50 / 255, 50 / 255]
    )
    # Saturation stops at 0 and 1.
    assert shifted((200, 100, 100), saturation=-0.9) == pytest.approx([200 / 255] * 3)
    assert shifted((200, 100, 100), saturation=0.9) == pytest.approx([200 / 255, 0, 0])
    # 100 x 1.2 = 120; 250 x 1.2 = 300 is more than 255.
    assert shifted((250, 100, 0), brightness=1.2) == pytest.approx([1, 120 / 255, 0])


def test_grey_and_white_stay() -> None:
    for grey in (0, 128, 255):
        assert shifted((grey,) * 3, hue=0.1, saturation=0.1) == pytest.approx([grey / 255] * 3)


def test_colours_are_those_of_colorsys() -> None:
    pixels = random_patches(4, size=16)
    hue, saturation = np.array([0.08, -0.08, 0.05, 0]), np.array([0.07, -0.07, 0, 0.05])
    images = shift_colours(
        tf.constant(pixels),
        hue=tf.constant(hue, tf.float32),
        saturation=tf.constant(saturation, tf.float32),
        brightness=tf.ones(4),
    ).numpy()
    for sample in range(4):
        for pixel, found in zip(
            pixels[sample].reshape(-1, 3), images[sample].reshape(-1, 3), strict=True
        ):
            h, s, v = colorsys.rgb_to_hsv(*(pixel / 255))
            if s > 0:
                s = min(1, max(0, s + saturation[sample]))
            expected = colorsys.hsv_to_rgb((h + hue[sample]) % 1, s, v)
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_shifts_stay_in_the_recipes_range() -> None:
    # Of pure colours the hue and the saturation can be read off again.
    pixels = np.full((200, 2, 2, 3), (200, 100, 100), np.uint8)
    images = augmented(pixels, colour=1.0)[:, 0, 0]
    hsv = np.array([colorsys.rgb_to_hsv(*image) for image in images.astype(float)])
    hue = (hsv[:, 0] + 0.5) % 1 - 0.5
    # 20 of 255 each way; of 200 uniform numbers some lie in the outer tenths.
    for shift in (hue, hsv[:, 1] - 0.5):
        assert -20 / 255 - 1e-5 <= shift.min() < -16 / 255
        assert 16 / 255 < shift.max() <= 20 / 255 + 1e-5


def test_brightness_stays_in_the_recipes_range() -> None:
    pixels = np.full((200, 2, 2, 3), 100, np.uint8)
    factors = augmented(pixels, brightness=0.5)[:, 0, 0, 0] * 2.55
    unchanged = np.isclose(factors, 1, atol=1e-6).mean()
    assert 0.36 < unchanged < 0.64  # 0.5 expected, standard deviation 0.035
    assert 0.8 - 1e-5 <= factors.min() < 0.84
    assert 1.16 < factors.max() <= 1.2 + 1e-5


def test_a_batch_is_augmented_alike_by_its_number() -> None:
    pixels = random_patches()
    everything = {"flip": 0.5, "rotate": 0.5, "colour": 0.5, "brightness": 0.5}
    first = augmented(pixels, batch=4, **everything)
    np.testing.assert_array_equal(first, augmented(pixels, batch=4, **everything))
    assert (first != augmented(pixels, batch=5, **everything)).any()
    assert (first != augmented(pixels, batch=4, seed=1, **everything)).any()
    assert first.min() >= 0
    assert first.max() <= 1


def test_streams_of_random_numbers_differ() -> None:
    numbers = {
        (seed, stream): float(random_numbers(seed, stream, tf.constant(0), [1])[0])
        for seed in (0, 1)
        for stream in (1, 2, 3, 4)
    }
    assert len(set(numbers.values())) == len(numbers)


def test_images_move_together() -> None:
    pixels = random_patches(16)
    images = (tf.constant(pixels), tf.cast(pixels[..., :1], tf.float32))
    settings = RefinementAugmentation(flip=0.5, rotate=0.5)
    moved, channel = move_samples(images, tf.constant(0), seed=0, settings=settings)
    assert (moved.numpy() != pixels).any()
    np.testing.assert_array_equal(moved.numpy()[..., :1], channel.numpy())


def test_zoom_by_hand() -> None:
    # Centre between the middle pixels. Twice as large: output 0..3 lies at input 0.75, 1.25, 1.75,
    # 2.25, so nearest takes pixels 1, 1, 2, 2. Half as large: at -1.5, 0.5, 2.5, 4.5; the ends
    # are outside, bilinear takes the means of pixels 0 and 1 and of 2 and 3.
    row = np.array([10, 20, 30, 40], np.float32)
    image = np.broadcast_to(row[None, None, :, None], (1, 4, 4, 1))
    large = zoom(tf.constant(image), tf.constant([2.0]), fill=0.0, nearest=True).numpy()
    np.testing.assert_allclose(large[0, 0, :, 0], [20, 20, 30, 30])
    small = zoom(tf.constant(image), tf.constant([0.5]), fill=7.0).numpy()
    np.testing.assert_allclose(small[0, 1, :, 0], [7, 15, 35, 7])
    np.testing.assert_allclose(small[0, 0, :, 0], 7)
    same = zoom(tf.constant(image), tf.constant([1.0]), fill=0.0).numpy()
    np.testing.assert_array_equal(same, image)


def test_zoom_factors_stay_in_the_recipes_range() -> None:
    settings = RefinementAugmentation(zoom=0.5, zoom_range=(0.8, 1.2))
    factors = random_zoom(tf.constant(0), tf.constant(200), seed=0, settings=settings).numpy()
    assert 0.36 < (factors == 1).mean() < 0.64  # 0.5 expected, standard deviation 0.035
    assert 0.8 <= factors.min() < 0.84
    assert 1.16 < factors.max() <= 1.2
