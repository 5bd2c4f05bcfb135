"""The graph from patch to cluster, out of Keras."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result

from h2g.cli.main import main
from h2g.clustering.graph import open_clusters
from h2g.errors import ModelError
from h2g.exporters.clusters import check_clusters, clear_patches, is_cluster_graph
from h2g.exporters.samples import noise_patches, run_patches
from h2g.folders.run import Run
from h2g.models.deployment import load_network
from h2g.recipes.clustering import ClusteringSettings
from h2g.stages.clusters.clusters_stage import cluster_run
from tests.exporters.bare_runtimes import run_file
from tests.exporters.random_run import PATCH_PX, prepare, write_run
from tests.small_patch_network import small_patch_network

FILES = {"clusters.onnx", "clusters.xml", "clusters.bin", "clusters.tflite"}


@pytest.fixture(scope="module")
def run(phantom_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Clusters of a random classifier's features, on generated slides."""
    folder = tmp_path_factory.mktemp("clusters")
    run = prepare(write_run(folder / "folder", phantom_cohort, refines=False))
    keras.utils.set_random_seed(2)
    features = folder / "features.keras"
    small_patch_network(size_px=PATCH_PX).save(features)
    cluster_run(run, ClusteringSettings(features=str(features), batches=6, clusters=4))
    return run


@pytest.fixture(scope="module")
def graph(run: Run) -> Path:
    return run.stage_folder("clusters") / "model.keras"


def export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_every_format_gives_keras_clusters(run: Run, graph: Path, tmp_path: Path) -> None:
    result = export(graph, "--format", "all", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["formats"]
    assert {name for row in rows for name in row["files"]} == FILES
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert [row["format"] for row in rows] == ["onnx", "openvino", "tflite"]
    for row in rows:
        assert row["patches"] > 50
    pixels = run_patches(run, count=40)
    wanted = open_clusters(graph)(pixels)
    assert len(np.unique(wanted)) > 2
    for row in rows:
        feeds = [{"input_0_patch": part.astype(np.float32)} for part in (pixels[:39], pixels[39:])]
        found = run_file(tmp_path / "out" / row["files"][0], feeds)
        numbers = np.concatenate([each["output_0_cluster"] for each in found])
        np.testing.assert_array_equal(numbers, wanted)


def test_away_from_its_run_it_is_checked_on_noise(graph: Path, tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(graph.read_bytes())
    (tmp_path / "notes.txt").write_text("mine")
    result = export(tmp_path / "model.keras", "--format", "onnx", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "patches in the same clusters as with Keras" in result.stdout
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"model.keras", "notes.txt", "clusters.onnx"}


def test_another_graph_is_refused(graph: Path, tmp_path: Path) -> None:
    assert export(graph, "--format", "onnx", "--no-check", "--out", tmp_path).exit_code == 0
    patches = clear_patches(graph, load_network(graph))
    check_clusters(tmp_path / "clusters.onnx", patches, format="onnx")
    wrong = dataclasses.replace(patches, clusters=np.roll(patches.clusters, 1))
    with pytest.raises(ModelError, match=r"\d+ of \d+ patches fall into another cluster"):
        check_clusters(tmp_path / "clusters.onnx", wrong, format="onnx")


def test_patches_between_two_centres_are_left_out(graph: Path) -> None:
    network = load_network(graph)
    centres = network.get_layer("output_0_cluster")
    first, *others = centres.get_weights()[0]
    centres.set_weights([np.stack([first, first, *others[1:]])])  # twice the same centre
    pixels = noise_patches(PATCH_PX, count=64)
    everywhere = clear_patches(Path("nowhere/clusters/model.keras"), network)
    assert len(everywhere.pixels) < len(pixels)
    assert not {0, 1} & {*everywhere.clusters}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--format", "fast"), "a cluster graph gives numbers. Give onnx, openvino or tflite"),
        (("--format", "onnx", "--precision", "int8"), "only in float32"),
        (("--format", "openvino", "--precision", "float16"), "only in float32"),
        (("--format", "onnx", "--name", "tissue"), "a cluster graph does not accept --name"),
    ],
)
def test_what_it_cannot_be(graph: Path, tmp_path: Path, arguments, sentence: str) -> None:
    result = export(graph, *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_run_is_no_place_for_it(run: Run, graph: Path) -> None:
    result = export(graph, "--format", "onnx", "--out", run.path)
    assert result.exit_code == 2
    assert "Give --out a folder of its own" in result.stderr


def test_slides_that_are_gone(run: Run, graph: Path, tmp_path: Path) -> None:
    table = run.path / "cohort.csv"
    before = table.read_text()
    table.write_text(before.replace("phantom_", "gone_"))
    try:
        result = export(graph, "--format", "onnx", "--out", tmp_path / "out")
    finally:
        table.write_text(before)
    assert result.exit_code == 2
    assert "--no-check" in result.stderr
    assert not (tmp_path / "out").exists()


def test_what_a_cluster_graph_is(run: Run, graph: Path) -> None:
    assert is_cluster_graph(graph)
    assert not is_cluster_graph(run.model_file("patch"))
    assert not is_cluster_graph(run.path)
