"""The stage that finds tissue types among patches, and saves a frozen graph for them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from h2g.clustering.features import (
    DrawnPatches,
    keep_features,
    missing_batches,
    open_cache,
    read_features,
)
from h2g.clustering.fit import fit_clusters
from h2g.clustering.graph import cluster_network, feature_network, on_pixels, save_clusters
from h2g.concurrency import ReadAhead
from h2g.data.patch_source import BatchSettings, PatchSource, labelled_slides
from h2g.data.sampler import SlidePatches
from h2g.files import file_sha256, replacing, write_text
from h2g.folders.run import Run
from h2g.recipes.clustering import ClusteringSettings
from h2g.recipes.sections import patch_settings
from h2g.stages.clusters.cluster_files import FOLDER
from h2g.stages.clusters.cluster_tables import cluster_table, describe_clusters, draw_pictures

AHEAD = 2  # batches that wait for the network, besides those in reading


def find_clusters(run: Run, settings: ClusteringSettings) -> None:
    """Finds the clusters of a prepared run's training patches; resumes an interrupted call.

    Writes clusters/{model.keras,saved_model,clusters.json,patches.parquet} and three images.

    Raises:
        RunError: the run is not prepared, or the features are those of its untrained classifier.
        ModelError, WrongUseError: the features or weights do not exist or cannot be loaded.
        TrainingError: no patch can be read, or the patches have no clusters.
    """
    folder, cache = run.stage_folder(FOLDER), run.stage_folder(FOLDER) / "features"
    slides = labelled_slides(run, "train")
    source = _features_file(run, settings)
    size_px = run.recipe.preprocessing.patch.size_px
    # So that random weights are also the same when an interrupted stage is resumed.
    keras.utils.set_random_seed(run.recipe.seed)
    network = feature_network(source, weights=settings.weights, size_px=size_px)
    open_cache(cache, _cache_key(source, settings, slides))
    _extract(run, settings, slides, cache, on_pixels(network))
    table = read_features(cache, settings.batches)
    clusters = fit_clusters(table.features, settings, seed=run.recipe.seed)
    patches = cluster_table(table, clusters, slides)
    with replacing(folder / "patches.parquet") as temporary:
        patches.to_parquet(temporary, index=False)
    document = {
        "settings": settings.model_dump(mode="json"),
        **describe_clusters(patches, clusters, run.recipe.class_names),
    }
    write_text(folder / "clusters.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    draw_pictures(folder, patches, document, slides, run.recipe.class_names)
    save_clusters(cluster_network(network, clusters), folder)
    # Only an interrupted stage needs them.
    shutil.rmtree(cache)


def _features_file(run: Run, settings: ClusteringSettings) -> str:
    if settings.features != "patch":
        return settings.features
    return str(run.trained_models(["patch"])["patch"])


def _cache_key(
    source: str, settings: ClusteringSettings, slides: Sequence[SlidePatches]
) -> dict[str, Any]:
    """The inputs of the features that may differ between calls on the same run."""
    files = [Path(name).expanduser() for name in (source, settings.weights)]
    return {
        "features": source,
        "weights": settings.weights,
        "sha256": [file_sha256(file) for file in files if file.is_file()],
        "batch_size": settings.batch_size,
        "slides": {slide.name: len(slide.labels) for slide in slides},
    }


def _extract(
    run: Run,
    settings: ClusteringSettings,
    slides: Sequence[SlidePatches],
    cache: Path,
    extract: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Adds the missing batches to the cache; threads read patches while the network runs."""
    numbers = missing_batches(cache, settings.batches)
    if not numbers:
        return
    workers = patch_settings(run.recipe).workers
    batches = BatchSettings(
        batch_size=settings.batch_size,
        class_count=len(run.recipe.class_names),
        seed=run.recipe.seed,
        workers=workers,
    )
    source = PatchSource(slides, batches, run.recipe.sampler.order)
    read = partial(_read, source)
    try:
        with ReadAhead(read, numbers, threads=workers, ahead=workers + AHEAD) as patch_batches:
            keep_features(cache, patch_batches, extract, count=len(numbers))
    finally:
        source.close()


def _read(source: PatchSource, number: int) -> DrawnPatches:
    while True:
        draws = source.draws(number)
        pixels, labels = source.read(number)
        # Another thread may have dropped a slide meanwhile, which changes the draws.
        if source.draws(number) == draws:
            return DrawnPatches(
                pixels=pixels,
                labels=labels,
                slides=np.array([draw.slide for draw in draws], np.int32),
                patches=np.array([draw.patch for draw in draws], np.int32),
            )
