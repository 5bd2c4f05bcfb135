"""The source of an export: trained networks with the card that describes them."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import keras

from h2g.errors import ModelError, RunError, WrongUseError
from h2g.evaluation.scores import METRICS
from h2g.exporters.foreign_network import adapted, check_probabilities
from h2g.files import file_sha256
from h2g.folders.bundle import Card, NetworkCard, TrainingData, check_export, open_bundle
from h2g.folders.cohort import SPLITS, Cohort
from h2g.folders.run import RECIPE_FILE, Run, is_run, open_run
from h2g.models.deployment import deployed, load_network
from h2g.recipes.reading import load_recipe
from h2g.recipes.recipe import Recipe
from h2g.stages.chain import NETWORKS, network_names, variants
from h2g.texts import shell_command

logger = logging.getLogger(__name__)

# A bundle's name is used in file names and menus.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")
OLD_SUFFIXES = {".h5", ".hdf5"}
# Sizes of a tensor without its batch axis; None is any size.
Sides = tuple[int | None, ...]
# A deployed graph: in Keras, or as an .onnx file of an earlier export.
Graph: TypeAlias = "keras.Model | Path"


@dataclass(frozen=True)
class ExportSource:
    """Trained networks to export.

    Attributes:
        card: the card without exports.
        files: by network, .keras files, or .onnx files of a bundle.
        run: the run of the networks; None for a single file or a bundle.
        scratch: the folder of a file that was adapted; removed with the source.
    """

    card: Card
    files: dict[str, Path]
    run: Run | None
    scratch: TemporaryDirectory[str] | None = None


def open_source(path: Path, *, recipe: str | None = None, name: str | None = None) -> ExportSource:
    """The networks of a run folder, or the network of a single .keras file.

    A run's slides need not exist.

    Args:
        recipe: name or file of a single network's recipe; by default the recipe.yaml in the
            nearest parent folder that has one.
        name: name of the bundle; by default the recipe's.
    Raises:
        RunError: ``path`` is neither of them, or the run is not trained.
        RecipeError, WrongUseError: the recipe is missing, wrong or not wanted.
        ModelError: a file cannot be loaded, or does not fit the recipe.
    """
    if name is not None and not NAME.fullmatch(name):
        raise WrongUseError(
            f"--name {name}: use letters, digits, spaces, '.', '_' and '-', starting with a "
            "letter or digit; files are named after it."
        )
    if is_run(path):
        if recipe is not None:
            raise WrongUseError(f"{path}: a run has its own recipe; leave out --recipe.")
        return _open_run(path, name)
    if path.is_file() and path.suffix == ".keras":
        return _open_file(path, recipe, name)
    if path.is_file() and path.suffix in OLD_SUFFIXES:
        raise RunError(
            f"{path}: Keras's old format. Save it as .keras: "
            "keras.saving.load_model(FILE, compile=False).save('model.keras')."
        )
    raise RunError(
        f"{path}: nothing to export. Give a run folder of 'h2g train', or a .keras file."
    )


def open_onnx_bundle(path: Path, *, name: str | None = None) -> ExportSource:
    """The float32 ONNX networks of a bundle, with its card, to be converted further.

    Args:
        name: replaces the card's name.
    Raises:
        ModelError: ``path`` is no bundle, or its files have changed since the export.
        RunError: the bundle has no float32 ONNX networks.
    """
    bundle = open_bundle(path)
    export = bundle.card.find_export("onnx")
    if export is None:
        raise RunError(
            f"{path}: this bundle holds no float32 ONNX networks to convert. Export the run, or "
            "add them first: --format onnx."
        )
    check_export(bundle, export)
    files = {network: path / file for network, file in export.networks.items()}
    card = bundle.card.model_copy(update={"exports": (), "name": name or bundle.card.name})
    return ExportSource(card, files, run=None)


def deployed_graph(
    source: ExportSource, name: str, *, batch_size: int | None = None, spacing_frame: bool = False
) -> keras.Model:
    """One network in the form that engines run (h2g.models.deployment).

    Args:
        batch_size: batch size of a network that runs on patches; None is any.
        spacing_frame: add the input that FAST needs.
    Raises:
        ModelError: there is no such network.
    """
    if name not in source.files:
        raise ModelError(f"{source.card.name}: there is no {name} network to export.")
    network = load_network(source.files[name])
    return deployed(network, batch_size=batch_size, spacing_frame=spacing_frame)


def deployed_graphs(source: ExportSource) -> dict[str, Graph]:
    """The graphs of all networks; ONNX files stay files."""
    return {
        name: file if file.suffix == ".onnx" else deployed_graph(source, name)
        for name, file in source.files.items()
    }


def _open_run(path: Path, name: str | None) -> ExportSource:
    run = open_run(path, slides_must_exist=False)
    # One by one, so that the error names the first missing network, which is trained first.
    files = {stage: run.trained_models([stage])[stage] for stage in network_names(run.recipe)}
    return _source(files, run.recipe, name, run=run)


def _open_file(path: Path, recipe: str | None, name: str | None) -> ExportSource:
    own = load_recipe(recipe) if recipe is not None else _recipe_above(path)
    wanted = {stage: NETWORKS[stage].shapes(own) for stage in network_names(own)}
    file_network = network = load_network(path)
    patch = next((stage for stage in wanted if NETWORKS[stage].many), None)
    if patch is not None:
        network = adapted(network, path, wanted[patch])
    found = _sides(network)
    fitting = [stage for stage, shapes in wanted.items() if shapes == found]
    if not fitting:
        known = "; ".join(f"{stage}: {_text(shapes)}" for stage, shapes in wanted.items())
        raise ModelError(
            f"{path}: this is no network of recipe '{own.name}': its inputs and output are "
            f"{_text(found)}, the recipe's are {known}. Name its recipe with --recipe."
        )
    check_probabilities(network, path)
    if network is file_network:
        return _source({fitting[0]: path}, own, name, run=None)
    scratch = TemporaryDirectory(prefix="h2g-")
    copy = Path(scratch.name) / path.name
    network.save(copy)
    return replace(_source({fitting[0]: copy}, own, name, run=None), scratch=scratch)


def _recipe_above(path: Path) -> Recipe:
    for folder in path.resolve().parents:
        if (folder / RECIPE_FILE).is_file():
            return load_recipe(folder / RECIPE_FILE)
    raise WrongUseError(
        f"{path}: a single network needs its recipe, which says classes, um/px and patch size, and "
        "no folder above it holds a recipe.yaml. Add --recipe NAME or --recipe FILE."
    )


def _source(
    files: dict[str, Path], recipe: Recipe, name: str | None, *, run: Run | None
) -> ExportSource:
    card = Card(
        name=name or recipe.name,
        description=recipe.description,
        class_names=recipe.class_names,
        preprocessing=recipe.deployed_preprocessing,
        networks={stage: _network_card(stage, file, recipe) for stage, file in files.items()},
        training=training_data(run.cohort) if run else None,
        scores=test_scores(run) if run else {},
    )
    return ExportSource(card, files, run)


def _network_card(stage: str, file: Path, recipe: Recipe) -> NetworkCard:
    network, kind = load_network(file), NETWORKS[stage]
    found, wanted = _sides(network), kind.shapes(recipe)
    if found != wanted:
        raise ModelError(
            f"{file}: this is no {stage} network of recipe '{recipe.name}': its inputs and output "
            f"are {_text(found)}, the recipe's are {_text(wanted)}."
        )
    graph = deployed(network)
    return NetworkCard(
        architecture=kind.architecture(recipe),
        parameters=network.count_params(),
        sha256=file_sha256(file),
        inputs={tensor.name: tuple(tensor.shape) for tensor in graph.inputs},
        output=tuple(graph.outputs[0].shape),
        many=kind.many,
        sees=kind.sees(recipe),
    )


def _sides(network: keras.Model) -> list[Sides]:
    return [tuple(tensor.shape[1:]) for tensor in (*network.inputs, *network.outputs)]


def _text(shapes: Iterable[Sides]) -> str:
    return ", ".join(" x ".join(str(side or "any") for side in shape) for shape in shapes)


def training_data(cohort: Cohort) -> TrainingData:
    """Counts of slides, patients and grades in the cohort table."""
    splits = {split: cohort.split(split) for split in SPLITS}
    patients = {
        split: len({slide.patient for slide in slides if slide.patient is not None})
        for split, slides in splits.items()
    }
    return TrainingData(
        slides={split: len(slides) for split, slides in splits.items() if slides},
        patients={split: count for split, count in patients.items() if count},
        grades=dict(sorted(Counter(slide.grade for slide in splits["train"]).items())),
    )


def test_scores(run: Run) -> dict[str, dict[str, float]]:
    """Macro means on the test split by variant, read from the file of 'h2g evaluate'.

    The result is empty if the file is missing or older than the networks.

    Raises:
        RunError: the file is damaged.
    """
    file = run.evaluation_folder("test") / "scores.json"
    if not file.is_file():
        return {}
    files = run.trained_models(network_names(run.recipe))
    trained = max(path.stat().st_mtime for path in files.values())
    if file.stat().st_mtime < trained:
        logger.warning(
            "%s is older than the networks and is left out of the card. Update it: %s",
            file,
            shell_command("h2g", "evaluate", run.path),
        )
        return {}
    try:
        document = json.loads(file.read_text("utf-8"))
        return {
            variant: {name: float(document[variant][name]["mean"]) for name in METRICS}
            for variant in variants()
            if document.get(variant) is not None
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{file}: not what 'h2g evaluate' writes ({error}). Delete it and evaluate again."
        ) from error
