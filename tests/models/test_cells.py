"""From pixels to cells: by hand, through a file, and as engines run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from h2g.models.cells import OUTPUT, Cells, with_cells
from h2g.models.deployment import deployed
from h2g.models.registry import build_tile_model

PX, MARGIN_PX, CELLS = 32, 4, 6

# Saves what a network of a file answers; nothing of h2g.models.cells is imported by name.
ANSWER = """
import sys
from pathlib import Path
import numpy as np
from h2g.models.deployment import load_network
network, tiles, answers = map(Path, sys.argv[1:])
np.save(answers, load_network(network)(np.load(tiles), training=False))
"""


@pytest.fixture(scope="module")
def pixels() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_tile_model("tile_unet", size_px=PX, num_classes=3, options={"filters": [4, 8]})


@pytest.fixture(scope="module")
def network(pixels: keras.Model) -> keras.Model:
    return with_cells(pixels, cells=CELLS, margin_px=MARGIN_PX)


@pytest.fixture(scope="module")
def tiles() -> np.ndarray:
    return np.random.default_rng(0).random((2, PX, PX, 3), np.float32)


def averaged(probabilities: np.ndarray, cells: int, margin_px: int) -> np.ndarray:
    return keras.ops.convert_to_numpy(Cells(cells, margin_px)(probabilities))


def test_margins_are_cut_off_and_pixels_averaged() -> None:
    # A margin of 1 around 4 x 4 pixels of 0 to 15; two cells of 2 x 2 pixels a side: the first has
    # 0, 1, 4 and 5, of the mean 2.5. The margin's 99 are in none.
    tile = np.full((1, 6, 6, 1), 99, np.float32)
    tile[0, 1:5, 1:5, 0] = np.arange(16).reshape(4, 4)
    assert averaged(tile, 2, 1)[0, ..., 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


def test_one_cell_is_the_mean_of_the_tile() -> None:
    tile = np.full((1, 6, 6, 1), 99, np.float32)
    tile[0, 1:5, 1:5, 0] = np.arange(16).reshape(4, 4)
    found = averaged(tile, 1, 1)
    assert found.shape == (1, 1, 1, 1)
    assert found.item() == 7.5


def test_cells_of_one_pixel_are_the_pixels() -> None:
    tile = np.random.default_rng(0).random((2, 6, 6, 3), np.float32)
    np.testing.assert_array_equal(averaged(tile, 4, 1), tile[:, 1:5, 1:5])
    np.testing.assert_array_equal(averaged(tile, 6, 0), tile)


def test_the_network_with_cells_averages_its_own_pixels(
    pixels: keras.Model, network: keras.Model, tiles: np.ndarray
) -> None:
    inner = pixels(tiles, training=False).numpy()[:, MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    means = inner.reshape(2, CELLS, 4, CELLS, 4, 3).mean(axis=(2, 4))
    found = network(tiles, training=False).numpy()
    np.testing.assert_allclose(found, means, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)


def test_cells_come_back_in_a_fresh_process(
    network: keras.Model, tiles: np.ndarray, tmp_path: Path
) -> None:
    network.save(tmp_path / "network.keras")
    np.save(tmp_path / "tiles.npy", tiles)
    files = (tmp_path / name for name in ("network.keras", "tiles.npy", "answers.npy"))
    command = [sys.executable, "-c", ANSWER, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "answers.npy")
    np.testing.assert_array_equal(found, network(tiles, training=False))
    layer = keras.saving.load_model(tmp_path / "network.keras", compile=False).get_layer(OUTPUT)
    assert (layer.cells, layer.margin_px) == (CELLS, MARGIN_PX)


def test_the_deployed_network_outputs_cells(network: keras.Model, tiles: np.ndarray) -> None:
    graph = deployed(network)
    assert graph.output_names == [OUTPUT]
    assert graph.outputs[0].shape == (None, CELLS, CELLS, 3)
    raw = np.rint(tiles * 255).astype(np.float32)
    expected = network(raw / 255, training=False)
    np.testing.assert_allclose(graph(raw), expected, atol=1e-6)
    assert deployed(network, batch_size=1).outputs[0].shape == (1, CELLS, CELLS, 3)
