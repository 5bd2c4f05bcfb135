"""Opens a model for prediction. Engines are loaded only when they are needed."""

from __future__ import annotations

from pathlib import Path

from h2g.engines.specs import ENGINES
from h2g.errors import RunError, WrongUseError
from h2g.files import file_sha256
from h2g.folders.bundle import is_bundle
from h2g.folders.run import is_run, open_run
from h2g.prediction.bundle_engines import load_bundle
from h2g.prediction.model_files import ModelFiles, NetworkFile
from h2g.stages.chain import NETWORKS, network_names
from h2g.texts import shell_command

# Suffixes of network files, which users often give in place of the folder.
NETWORK_SUFFIXES = {".onnx", ".xml", ".bin", ".tflite", ".keras", ".json", ".fpl"}
KINDS = "Give a run folder from 'h2g train' or a bundle from 'h2g export'."


def find_model(
    path: Path, *, engine: str = "auto", device: str = "auto", precision: str = "float32"
) -> ModelFiles:
    """The model in a run folder or a bundle.

    Args:
        engine: ``auto`` takes Keras for a run folder, and for a bundle the fastest engine that it
            has files for (h2g.prediction.bundle_engines).
        device: ``auto`` takes a GPU if Keras or ONNX Runtime has one, else the CPU.
        precision: ``float32``, ``bfloat16``, ``float16`` or ``int8``.
    Raises:
        RunError: ``path`` is no model, or is not trained yet.
        ModelError: files of the bundle are missing or have changed.
        WrongUseError: the engine, device or precision is not available for this model here.
    """
    if is_run(path):
        return _load_run(path, engine, device, precision)
    if is_bundle(path):
        return load_bundle(path, engine=engine, device=device, precision=precision)
    raise RunError(_no_model_message(path))


def _load_run(path: Path, engine: str, device: str, precision: str) -> ModelFiles:
    run = open_run(path, slides_must_exist=False)
    export = shell_command("h2g", "export", path)
    if engine not in {"auto", "keras"}:
        raise WrongUseError(
            f"{path}: --engine keras runs run folders. For --engine {engine}, export the run "
            f"first: {export} --format {ENGINES[engine].formats[0]} --out BUNDLE, and "
            "give BUNDLE."
        )
    if precision != "float32":
        raise WrongUseError(
            f"{path}: run folders are computed in float32. For --precision {precision}, export the "
            f"run first: {export} --format openvino"
            f"{'' if precision == 'bfloat16' else f' --precision {precision}'} --out BUNDLE, and "
            "give BUNDLE."
        )
    names = network_names(run.recipe)
    files = run.trained_models(names)
    return ModelFiles(
        path=path,
        recipe=run.recipe.name,
        class_names=run.recipe.class_names,
        preprocessing=run.recipe.deployed_preprocessing,
        sha256={f"{name}/{file.name}": file_sha256(file) for name, file in files.items()},
        networks={name: NetworkFile(file) for name, file in files.items()},
        takes_patches=any(NETWORKS[name].many for name in names),
        device=device,
    )


def _no_model_message(path: Path) -> str:
    if not path.exists():
        return f"{path}: there is no such folder. {KINDS}"
    if path.is_file():
        models = [folder for folder in (path.parent, path.parent.parent) if _is_model(folder)]
        if models:
            return f"{path}: this is a file of a model; give the folder: {models[0]}."
        if path.suffix.lower() in NETWORK_SUFFIXES:
            return (
                f"{path}: a network file lacks the classes, um/px and patch size. {KINDS} 'h2g "
                "export' also makes bundles from .keras files."
            )
        return f"{path}: this is a file. {KINDS}"
    models = sorted(folder for folder in path.iterdir() if folder.is_dir() and _is_model(folder))
    if models:
        return f"{path}: not a model, but it contains one. Give {models[0]}."
    empty = not any(path.iterdir())
    return f"{path}: {'this folder is empty' if empty else 'not a model'}. {KINDS}"


def _is_model(folder: Path) -> bool:
    return is_run(folder) or is_bundle(folder)
