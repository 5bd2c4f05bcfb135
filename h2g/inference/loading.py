"""Opening a model for prediction: what it is first, its engine when it is needed."""

from __future__ import annotations

from pathlib import Path

from h2g.bundle import is_bundle
from h2g.errors import RunError, WrongUseError
from h2g.files import file_sha256
from h2g.inference.bundles import load_bundle
from h2g.inference.engine import Engine
from h2g.inference.loaded_model import LoadedModel
from h2g.runs import Run, is_run, open_run

# Of files that hold networks, which are often given in place of their folder.
NETWORK_SUFFIXES = {".onnx", ".xml", ".bin", ".tflite", ".keras", ".json", ".fpl"}
KINDS = "Give a run folder, as 'h2g train' makes it, or a bundle, as 'h2g export' does."


def load_model(
    path: Path, *, engine: str = "auto", device: str = "auto", precision: str = "float32"
) -> LoadedModel:
    """A model by its folder.

    Args:
        engine: ``auto`` takes the one that suits: Keras for a run folder, for a bundle the fastest
            that it has files for (h2g.inference.bundles).
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


def _load_run(path: Path, engine: str, device: str, precision: str) -> LoadedModel:
    run = open_run(path, slides_must_exist=False)
    if engine not in {"auto", "keras"}:
        raise WrongUseError(
            f"{path}: a run folder is run by --engine keras. For --engine {engine} export it "
            f"first: h2g export {path} --format {_format_of(engine)} --out BUNDLE, and give BUNDLE."
        )
    if precision != "float32":
        raise WrongUseError(
            f"{path}: a run folder is computed in float32. For --precision {precision} export it "
            f"first: h2g export {path} --format openvino"
            f"{'' if precision == 'bfloat16' else f' --precision {precision}'} --out BUNDLE, and "
            "give BUNDLE."
        )
    sha256 = _run_sha256(run)

    def open_engine(batch_size: int) -> Engine:
        from h2g.models.startup import start_keras

        start_keras()
        from h2g.inference.keras_engine import open_keras_engine

        return open_keras_engine(run, batch_size=batch_size, device=device)

    return LoadedModel(
        path=path,
        recipe=run.recipe.name,
        class_names=run.recipe.class_names,
        preprocessing=run.recipe.preprocessing,
        sha256=sha256,
        has_patch=run.recipe.patch is not None,
        open_engine=open_engine,
    )


def _run_sha256(run: Run) -> dict[str, str]:
    files = run.trained_models(run.recipe.network_stages)
    return {f"{stage}/{file.name}": file_sha256(file) for stage, file in files.items()}


def _format_of(engine: str) -> str:
    return {"onnxruntime": "onnx"}.get(engine, engine)


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
