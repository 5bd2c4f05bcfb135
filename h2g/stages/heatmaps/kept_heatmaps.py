"""The heatmaps that a run stores; each is made when it is first needed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from h2g.engines.engine import Network
from h2g.errors import SlideError
from h2g.folders.cohort import CohortSlide
from h2g.folders.run import Run
from h2g.recipes.recipe import Recipe
from h2g.slides.heatmap import Heatmap
from h2g.slides.tiff_files import read_heatmap, write_heatmap
from h2g.stages.patch.classify import classify_slide

logger = logging.getLogger(__name__)


def slide_heatmap(
    run: Run, row: CohortSlide, open_network: Callable[[], Network], *, threads: int
) -> Heatmap:
    """The slide's heatmap in the run folder, made by the run's patch network; see kept_heatmap."""
    file, model = run.heatmap_file(row.name), run.model_file("patch")
    return kept_heatmap(file, row, run.recipe, open_network, model=model, threads=threads)


def kept_heatmap(
    file: Path,
    row: CohortSlide,
    recipe: Recipe,
    open_network: Callable[[], Network],
    *,
    model: Path,
    threads: int,
) -> Heatmap:
    """The slide's heatmap in ``file``.

    It is made if the file is missing, cannot be read, or is older than the patch network.

    Args:
        model: file of the network that ``open_network`` opens.
    """
    if file.is_file():
        try:
            if file.stat().st_mtime >= model.stat().st_mtime:
                return read_heatmap(file)
            logger.info("%s is older than the patch network and is made again.", file)
        except SlideError as error:
            logger.warning("%s It is made again.", error)
    found = classify_slide(
        row.slide, row.mpp, open_network(), recipe.preprocessing, threads=threads
    )
    write_heatmap(file, found.heatmap)
    return found.heatmap
