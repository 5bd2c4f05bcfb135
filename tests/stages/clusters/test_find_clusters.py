"""The cluster stage of a run, and training guided by it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from h2g.clustering import features as features_module
from h2g.clustering.graph import open_clusters
from h2g.data.dataset import patch_dataset
from h2g.data.patch_source import BatchSettings, PatchSource, labelled_slides
from h2g.errors import RecipeError, RunError
from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, open_run, start_run
from h2g.recipes.clustering import ClusteringSettings
from h2g.recipes.reading import validate_recipe
from h2g.recipes.recipe import Recipe
from h2g.recipes.sections import clustering_settings
from h2g.slides.reading import open_slide
from h2g.stages.chain import chain
from h2g.stages.clusters.cluster_files import read_clusters
from h2g.stages.clusters.find_clusters import find_clusters
from h2g.stages.patch.cluster_weights import cluster_weights, open_weigher
from h2g.stages.patch.train_patch import train_patch
from h2g.stages.run_chain import reuse_stage, train_run, training_summary
from tests.small_patch_network import small_patch_network

BATCHES, BATCH_SIZE, CLUSTERS = 6, 16, 4


def guided_recipe(trained: Run, features: Path, loss: str = "cwce", **changes) -> Recipe:
    """A small design V: only stage 1, with clusters of another classifier's features."""
    clustering = ClusteringSettings(
        features=str(features),
        batches=BATCHES,
        batch_size=BATCH_SIZE,
        clusters=CLUSTERS,
        **changes,
    )
    patch = trained.recipe.patch.model_copy(update={"loss": loss})
    update = {"clustering": clustering, "patch": patch, "refinement": None}
    return trained.recipe.model_copy(update=update)


def prepared(trained: Run, folder: Path, recipe: Recipe) -> Run:
    for part in ("index", "tissue"):
        shutil.copytree(trained.path / part, folder / part)
    return start_run(folder, read_cohort(trained.cohort.path), recipe)


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> Path:
    """A classifier with random weights, whose features separate patches.

    Those of a classifier trained for nine steps do not.
    """
    keras.utils.set_random_seed(2)
    file = tmp_path_factory.mktemp("features") / "model.keras"
    small_patch_network(size_px=32).save(file)
    return file


@pytest.fixture(scope="module")
def guided_run(trained_run, features, tmp_path_factory) -> Run:
    """All stages of the small design V; read only."""
    recipe = guided_recipe(trained_run, features)
    run = prepared(trained_run, tmp_path_factory.mktemp("guided") / "run", recipe)
    train_run(run)
    return run


def test_the_stages_in_order(guided_run, trained_run):
    rows = training_summary(guided_run)
    assert [(row["stage"], row["done"]) for row in rows] == [
        ("prepare", True),
        ("cluster", True),
        ("patch", True),
    ]
    assert {file.name for file in (guided_run.path / "clusters").iterdir()} == {
        "model.keras",
        "saved_model",
        "clusters.json",
        "patches.parquet",
        "contact_sheet.png",
        "projection.png",
        "slides.png",
    }
    # The classifier's file holds only the classifier.
    sizes = [run.model_file("patch").stat().st_size for run in (guided_run, trained_run)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


def test_the_summary_counts_the_table(guided_run):
    document = read_clusters(guided_run)
    table = pd.read_parquet(guided_run.path / "clusters" / "patches.parquet")
    assert document["patches"] == len(table) == BATCHES * BATCH_SIZE
    assert sum(document["variance"]) >= 0.95
    assert document["components"] == len(document["variance"])
    rows = document["clusters"]
    assert [row["cluster"] for row in rows] == list(range(CLUSTERS))
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    for row in rows:
        members = table[table["cluster"] == row["cluster"]]
        assert row["patches"] == len(members)
        assert row["slides"] == members["slide"].nunique()
        assert row["classes"]["tumour"] == pytest.approx((members["label"] == 1).mean())


def test_the_graph_agrees_with_the_table(guided_run):
    cluster = open_clusters(guided_run.model_file("clusters"))
    slides = {slide.name: slide for slide in labelled_slides(guided_run, "train")}
    table = pd.read_parquet(guided_run.path / "clusters" / "patches.parquet")
    pixels = []
    for row in table.itertuples():
        slide = slides[row.slide]
        with open_slide(slide.path, mpp=slide.mpp) as reader:
            pixels.append(slide.plan.read(reader, (row.x_level0, row.y_level0)))
        place = (slide.xy_level0 == (row.x_level0, row.y_level0)).all(axis=1)
        assert slide.labels[place] == row.label
    found = cluster(np.stack(pixels))
    # One may lie on a border.
    assert (found == table["cluster"]).mean() > 0.98
    assert table["cluster"].nunique() == CLUSTERS


def test_a_second_run_finds_the_same_clusters(guided_run, trained_run, tmp_path):
    run = prepared(trained_run, tmp_path / "run", guided_run.recipe)
    find_clusters(run, clustering_settings(run.recipe))
    tables = [pd.read_parquet(r.path / "clusters" / "patches.parquet") for r in (run, guided_run)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-3)


def test_an_interrupted_stage_is_resumed(trained_run, features, tmp_path, monkeypatch):
    run = prepared(trained_run, tmp_path / "run", guided_recipe(trained_run, features))
    written = features_module.np.savez
    calls = []

    def stops_at_the_fourth(file, **arrays):
        calls.append(file)
        if len(calls) == 4:
            raise KeyboardInterrupt
        written(file, **arrays)

    monkeypatch.setattr(features_module.np, "savez", stops_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        train_run(run, ("prepare", "cluster"))
    kept = list((run.path / "clusters" / "features").glob("batch_*.npz"))
    assert len(kept) == 3
    assert not run.is_done("cluster")
    train_run(run, ("prepare", "cluster"))
    assert run.is_done("cluster")
    # The three stored batches were not made again.
    assert len(calls) == 4 + BATCHES - 3
    assert not (run.path / "clusters" / "features").exists()


def test_weights_in_the_pipeline_ignore_augmentation(guided_run):
    slides = labelled_slides(guided_run, "train")
    settings = BatchSettings(batch_size=12, class_count=2, seed=1)
    weigh = open_weigher(guided_run.model_file("clusters"), form="cwce")
    source = PatchSource(slides, settings)
    cluster = open_clusters(guided_run.model_file("clusters"))
    augmentation = guided_run.recipe.patch.augmentation
    seen = set()
    batches = patch_dataset(source, augmentation, weigh=weigh).take(4)
    for number, (images, labels, weights) in enumerate(batches):
        assert images.shape == (12, 32, 32, 3)
        pixels, numbers = PatchSource(slides, settings).read(number)
        wanted = cluster_weights(cluster(pixels), numbers, form="cwce")
        np.testing.assert_array_equal(weights.numpy(), wanted)
        assert labels.numpy().argmax(axis=1).tolist() == numbers.tolist()
        seen |= set(weights.numpy().tolist())
    assert len(seen) > 2


def test_guided_training_differs(guided_run, trained_run, features, tmp_path):
    # The first epoch's loss from the same start and the same batches, without clusters.
    plain, guided = (
        pd.read_csv(run.stage_folder("patch") / "history.csv") for run in (trained_run, guided_run)
    )
    assert abs(plain["val_loss"][0] - guided["val_loss"][0]) > 1e-4
    assert np.isfinite(guided[["loss", "val_loss"]].to_numpy()).all()
    recipe = guided_recipe(trained_run, features, "cwce-literal")
    literal = prepared(trained_run, tmp_path / "run", recipe)
    reuse_stage(literal, guided_run.path / "clusters")
    train_patch(literal)
    history = pd.read_csv(literal.stage_folder("patch") / "history.csv")
    # Batches of 8 in at most 4 clusters: at least 8 / 4 times the mean cross-entropy.
    assert history["loss"][0] > 1.5 * plain["loss"][0]


def test_clusters_are_reused_for_another_classifier(guided_run, trained_run, features, tmp_path):
    recipe = guided_recipe(trained_run, features, "cwce-per-class")
    run = prepared(trained_run, tmp_path / "run", recipe)
    reuse_stage(run, guided_run.path / "clusters")
    assert run.is_done("cluster")
    model = run.model_file("clusters")
    assert model.read_bytes() == guided_run.model_file("clusters").read_bytes()
    recipe = guided_recipe(trained_run, features, whiten=True)
    other = prepared(trained_run, tmp_path / "other", recipe)
    with pytest.raises(RunError, match="the runs differ in clustering"):
        reuse_stage(other, guided_run.path / "clusters")
    with pytest.raises(RunError, match="the runs differ in clustering"):
        reuse_stage(other, guided_run.path / "patch")


def test_the_runs_own_classifier_is_clustered_after_its_training(own_run, features):
    shutil.copy(features, own_run.model_file("patch"))
    clustering = ClusteringSettings(features="patch", batches=4, batch_size=8, clusters=2)
    recipe = own_run.recipe.model_copy(update={"clustering": clustering})
    assert [kind.name for kind in chain(recipe)][:3] == ["prepare", "patch", "cluster"]
    # For a run without clusters, the paper's settings are used except for the given ones.
    settings = clustering_settings(own_run.recipe, features="patch")
    assert settings == ClusteringSettings(features="patch")
    find_clusters(own_run, clustering)
    assert read_clusters(own_run)["features"] == 64
    own_run.model_file("patch").unlink()
    with pytest.raises(RunError, match="the patch network is not trained yet"):
        find_clusters(own_run, clustering)


def test_training_without_clusters_is_refused(trained_run, features, tmp_path):
    run = prepared(trained_run, tmp_path / "run", guided_recipe(trained_run, features))
    with pytest.raises(RunError, match="patch.loss cwce needs clusters.*h2g cluster"):
        train_patch(run)
    with pytest.raises(RunError, match="this run has no clusters"):
        read_clusters(run)
    train_run(run, ("prepare",))
    with pytest.raises(RunError, match="the patch stage needs the cluster stage"):
        train_run(run, ("patch",))


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"patch": {"loss": "cwce"}}, "patch.loss cwce needs a section 'clustering'"),
        (
            {"patch": {"loss": "cwce"}, "clustering": {"features": "patch"}},
            "give another run's patch/model.keras",
        ),
        ({"clustering": {"cluster": 3}}, "did you mean 'clusters'"),
        ({"clustering": {"variance": 0}}, "clustering.variance: .*greater than 0"),
    ],
)
def test_contradictory_recipes(document, sentence):
    with pytest.raises(RecipeError, match=sentence):
        validate_recipe({"name": "x", "description": "x", **document}, source="x.yaml")


def test_run_json_has_the_stage(guided_run):
    stages = json.loads((guided_run.path / "run.json").read_text())["stages"]
    assert stages["cluster"]["done"]
    assert stages["cluster"]["seconds"] > 0
    assert open_run(guided_run.path).is_done("cluster")
