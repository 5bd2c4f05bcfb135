"""What is exported: trained Keras networks with the card that describes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import keras

from h2g import __version__
from h2g.bundle import Card, Network, Stage
from h2g.errors import ModelError, RunError, WrongUseError
from h2g.exporters.run_facts import test_scores, training_data
from h2g.files import file_sha256
from h2g.inference.engine import NetworkFiles
from h2g.models.deployment import deployed_patch_classifier, deployed_refinement, load_network
from h2g.recipes.reading import load_recipe
from h2g.recipes.recipe import Recipe
from h2g.runs import Run, is_run, open_run

# A bundle's name becomes file names and entries of menus.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")
# Axes of a network's output -> its stage.
STAGE_OF_OUTPUT: dict[int, Stage] = {2: "patch", 4: "refinement"}


@dataclass(frozen=True)
class ExportSource:
    """Trained networks.

    Attributes:
        card: without exports.
        files: .keras files.
        run: where they come from; None for a single file.
    """

    card: Card
    files: NetworkFiles
    run: Run | None


def open_source(path: Path, *, recipe: str | None = None, name: str | None = None) -> ExportSource:
    """The networks of a run folder, or that of a single .keras file.

    A run's slides need not be there.

    Args:
        recipe: name or file of a single network's recipe; by default the recipe.yaml in the
            nearest folder above it that has one.
        name: of the bundle; by default the recipe's.
    Raises:
        RunError: neither of them, or a run that is not trained.
        RecipeError, WrongUseError: a recipe that is missing, wrong or not wanted.
        ModelError: a file that cannot be loaded, or is not of this recipe.
    """
    if name is not None and not NAME.fullmatch(name):
        raise WrongUseError(
            f"--name {name}: use letters, digits, spaces, '.', '_' and '-', starting with a "
            "letter or digit; files are named after it."
        )
    if is_run(path):
        if recipe is not None:
            raise WrongUseError(f"{path}: a run has a recipe of its own; leave out --recipe.")
        return _open_run(path, name)
    if path.is_file() and path.suffix == ".keras":
        return _open_file(path, recipe, name)
    raise RunError(
        f"{path}: nothing to export. Give a run folder, as 'h2g train' makes it, or a .keras file."
    )


def deployed_patch(source: ExportSource, *, batch_size: int | None = None) -> keras.Model:
    """The graph of stage 1 (h2g.models.deployment).

    Args:
        batch_size: None takes any.
    Raises:
        ModelError: there is no such network.
    """
    network = load_network(_file(source, "patch"))
    return deployed_patch_classifier(network, batch_size=batch_size)


def deployed_refinement_of(source: ExportSource, *, spacing_frame: bool = False) -> keras.Model:
    """The graph of stage 2 (h2g.models.deployment).

    Args:
        spacing_frame: with the third input that FAST needs.
    Raises:
        ModelError: there is no such network.
    """
    network = load_network(_file(source, "refinement"))
    if source.card.refinement_px is None:
        raise ValueError("a card with a refinement network and without its size")
    return deployed_refinement(network, source.card.refinement_px, spacing_frame=spacing_frame)


def _open_run(path: Path, name: str | None) -> ExportSource:
    run = open_run(path, slides_must_exist=False)
    # One by one: the first that is missing is the one to train first.
    files: dict[Stage, Path] = {
        stage: run.trained_models([stage])[stage] for stage in run.recipe.network_stages
    }
    return _source(files, run.recipe, name, run=run)


def _open_file(path: Path, recipe: str | None, name: str | None) -> ExportSource:
    found = load_recipe(recipe) if recipe is not None else _recipe_above(path)
    output = load_network(path).outputs[0]
    if len(output.shape) not in STAGE_OF_OUTPUT:
        raise ModelError(
            f"{path}: its output has {len(output.shape)} axes. A patch classifier's has 2 (patch, "
            "class), a refinement network's 4 (slide, row, column, class)."
        )
    stage = STAGE_OF_OUTPUT[len(output.shape)]
    if stage not in found.network_stages:
        raise ModelError(
            f"{path}: a {stage} network, but recipe '{found.name}' has no {stage} stage. Name its "
            "recipe with --recipe."
        )
    return _source({stage: path}, found, name, run=None)


def _recipe_above(path: Path) -> Recipe:
    for folder in path.resolve().parents:
        if (folder / "recipe.yaml").is_file():
            return load_recipe(folder / "recipe.yaml")
    raise WrongUseError(
        f"{path}: a single network needs its recipe, which says classes, um/px and patch size, and "
        "no folder above it holds a recipe.yaml. Add --recipe NAME or --recipe FILE."
    )


def _source(
    files: dict[Stage, Path], recipe: Recipe, name: str | None, *, run: Run | None
) -> ExportSource:
    networks = {stage: _network(stage, file, recipe) for stage, file in files.items()}
    refinement = recipe.refinement if "refinement" in files else None
    card = Card(
        name=name or recipe.name,
        description=recipe.description,
        h2g_version=__version__,
        class_names=recipe.class_names,
        preprocessing=recipe.preprocessing,
        refinement_px=refinement.input_px if refinement else None,
        refinement_inputs=refinement.inputs if refinement else "both",
        networks=networks,
        training=training_data(run.cohort) if run else None,
        scores=test_scores(run) if run else {},
    )
    keras_files = NetworkFiles(
        patch=files.get("patch"),
        refinement=files.get("refinement"),
        input_px=card.refinement_px,
        class_count=len(recipe.class_names),
    )
    return ExportSource(card, keras_files, run)


def _network(stage: Stage, file: Path, recipe: Recipe) -> Network:
    network = load_network(file)
    found = [tuple(tensor.shape[1:]) for tensor in (*network.inputs, *network.outputs)]
    wanted = _shapes(stage, recipe)
    if found != wanted:
        raise ModelError(
            f"{file}: not a {stage} network of recipe '{recipe.name}': its inputs and output are "
            f"{_text(found)}, the recipe's {_text(wanted)}."
        )
    settings = recipe.patch if stage == "patch" else recipe.refinement
    if settings is None:
        raise ValueError(f"a {stage} network of a recipe without one")
    return Network(
        architecture=settings.model,
        parameters=network.count_params(),
        sha256=file_sha256(file),
    )


def _shapes(stage: Stage, recipe: Recipe) -> list[tuple[int, ...]]:
    """Of the inputs and the output, without the batch."""
    classes = len(recipe.class_names)
    if stage == "patch":
        side = recipe.preprocessing.patch.size_px
        return [(side, side, 3), (classes,)]
    settings = recipe.refinement
    if settings is None:
        return []
    side = settings.input_px
    inputs = {"image": (side, side, 3), "heatmap": (side, side, classes - 1)}
    seen = [shape for name, shape in inputs.items() if settings.inputs in {name, "both"}]
    return [*seen, (side, side, classes)]


def _text(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(" x ".join(str(side or "any") for side in shape) for shape in shapes)


def _file(source: ExportSource, stage: Stage) -> Path:
    file = source.files.patch if stage == "patch" else source.files.refinement
    if file is None:
        raise ModelError(f"{source.card.name}: there is no {stage} network to export.")
    return file
