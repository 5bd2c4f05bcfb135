"""A tiny system of two stages whose networks have random weights, in a run folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from h2g.folders.cohort import read_cohort
from h2g.folders.run import start_run
from h2g.recipes.reading import validate_recipe
from h2g.slides.tiff_files import write_pyramid
from tests.small_patch_network import MODEL, OPTIONS, small_patch_network

PX = 32  # the sides of a patch and of the refinement network's input
RECIPE = {
    "name": "tiny",
    "description": "both stages, untrained",
    "preprocessing": {
        "patch": {"size_px": PX, "mpp": 1.0},
        "low_resolution": {"min_side_px": 256},
    },
    "patch": {"model": MODEL, "options": OPTIONS, "weights": "none"},
    "refinement": {"input_px": PX, "options": {"filters": [4, 8]}},
}


def write_tiny_run(folder: Path) -> None:
    """Writes FOLDER/run, and its cohort beside it: ``one.tiff`` for training, ``two.tiff`` for
    testing, and ``broken.svs``, which is no slide, for testing.

    The slides have 500 x 420 px at 1.0 um/px and tissue in an ellipse.
    """
    import keras

    from h2g.models.registry import build_refinement_model

    folder.mkdir()
    image = np.full((420, 500, 3), 255, np.uint8)
    cv2.ellipse(image, (250, 210), (200, 150), 0, 0, 360, (220, 130, 180), -1)
    for name in ("one.tiff", "two.tiff"):
        write_pyramid(folder / name, image, mpp=1.0, tile_px=256, compression="jpeg")
    (folder / "broken.svs").write_text("no slide")
    (folder / "a.geojson").touch()
    (folder / "cohort.csv").write_text(
        "slide,annotation,split\none.tiff,a.geojson,train\ntwo.tiff,a.geojson,test\n"
        "broken.svs,a.geojson,test\n"
    )
    recipe = validate_recipe(RECIPE, source="tiny")
    run = start_run(folder / "run", read_cohort(folder / "cohort.csv"), recipe)
    keras.utils.set_random_seed(0)
    networks = {
        "patch": small_patch_network(size_px=PX),
        "refinement": build_refinement_model("unet", input_px=PX, options={"filters": [4, 8]}),
    }
    for stage, network in networks.items():
        run.stage_folder(stage).mkdir()
        network.save(run.model_file(stage))
