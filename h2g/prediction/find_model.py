"""Opening a model for prediction: what it is first, its engine when it is needed."""

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

# Of files that hold networks, which are often given in place of their folder.
NETWORK_SUFFIXES = {".onnx", ".xml", ".bin", ".tflite", ".keras", ".json", ".fpl"}
KINDS = "Give a run folder, as 'h2g train' makes it, or a bundle, as 'h2g export' does."


def find_model(
    path: Path, *, engine: str = "auto", device: str = "auto", precision: str = "float32"
) -> ModelFiles:
    """A model by its folder.

    Args:
        engine: ``auto`` takes the one that suits: Keras for a run folder, for a bundle the fastest
            that it has files for (h2g.prediction.bundle_engines).
        device: ``auto`` is a GPU where Keras or ONNX Runtime has one, else the CPU.
        precision: ``float32``, ``bfloat16``, ``float16`` or ``int8``.
    Raises:
        RunError: not a model, or not trained yet.
        ModelError: a bundle whose files are missing or have changed.
        WrongUseError: an engine, device or precision that this model does not have here.
    """
    if is_run(path):
        return _load_run(path, engine, device, precision)
    if is_bundle(path):
        return load_bundle(path, engine=engine, device=device, precision=precision)
    raise RunError(_why_no_model(path))


def _load_run(path: Path, engine: str, device: str, precision: str) -> ModelFiles:
    run = open_run(path, slides_must_exist=False)
    if engine not in {"auto", "keras"}:
        raise WrongUseError(
            f"{path}: a run folder is run by --engine keras. For --engine {engine} export it "
            f"first: h2g export {path} --format {ENGINES[engine].formats[0]} --out BUNDLE, and "
            "give BUNDLE."
        )
    if precision != "float32":
        raise WrongUseError(
            f"{path}: a run folder is computed in float32. For --precision {precision} export it "
            f"first: h2g export {path} --format openvino"
            f"{'' if precision == 'bfloat16' else f' --precision {precision}'} --out BUNDLE, and "
            "give BUNDLE."
        )
    names = network_names(run.recipe)
    files = run.trained_models(names)
    return ModelFiles(
        path=path,
        recipe=run.recipe.name,
        class_names=run.recipe.class_names,
        preprocessing=run.recipe.preprocessing,
        sha256={f"{name}/{file.name}": file_sha256(file) for name, file in files.items()},
        networks={name: NetworkFile(file) for name, file in files.items()},
        takes_patches=any(NETWORKS[name].many for name in names),
        device=device,
    )


def _why_no_model(path: Path) -> str:
    if not path.exists():
        return f"{path}: there is no such folder. {KINDS}"
    if path.is_file():
        above = [folder for folder in (path.parent, path.parent.parent) if _is_model(folder)]
        if above:
            return f"{path}: this is a file of a model; give the folder: {above[0]}."
        if path.suffix.lower() in NETWORK_SUFFIXES:
            return (
                f"{path}: a file alone does not say its classes, um/px and patch size. {KINDS} "
                "'h2g export' makes a bundle of a .keras file too."
            )
        return f"{path}: this is a file. {KINDS}"
    inside = sorted(folder for folder in path.iterdir() if folder.is_dir() and _is_model(folder))
    if inside:
        return f"{path}: not a model, but {inside[0]} in it is one. Give that."
    empty = not any(path.iterdir())
    return f"{path}: {'this folder is empty' if empty else 'not a model'}. {KINDS}"


def _is_model(folder: Path) -> bool:
    return is_run(folder) or is_bundle(folder)
