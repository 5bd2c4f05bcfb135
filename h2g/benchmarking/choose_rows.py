"""The rows of a benchmark: the requested engines, or all that a model has files for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from h2g.benchmarking.row import Choice
from h2g.engines.specs import ENGINES, FILES_OF_PRECISION
from h2g.errors import RunError
from h2g.files import file_sha256
from h2g.folders.bundle import is_bundle, open_bundle
from h2g.folders.run import is_run, open_run
from h2g.hardware import Hardware, has_onnxruntime_gpu
from h2g.prediction.find_model import KINDS, find_model
from h2g.prediction.model_files import ModelFiles, with_patches
from h2g.stages.chain import network_names


@dataclass(frozen=True)
class Wanted:
    """The requested rows; an empty field means all that the models and the machine support."""

    models: tuple[Path, ...]
    engines: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkFile:
    sha256: str
    size_bytes: int


def choices(wanted: Wanted, hardware: Hardware) -> list[Choice]:
    """The rows of a table over engines, model by model.

    Raises:
        RunError, ModelError: a folder is not a model.
    """
    own_engines = {model: _engines_of(model) for model in wanted.models}
    return [
        Choice(model=model, engine=engine, device=device, precision=precision)
        for model in wanted.models
        for engine in (_requested_engines(model, wanted) if wanted.engines else own_engines[model])
        for device in wanted.devices or _devices(engine, hardware)
        for precision in wanted.precisions or _precisions(model, engine, hardware)
    ]


def network_files(choice: Choice) -> dict[str, NetworkFile]:
    """The files that the engine would open, by name; empty if the model has none.

    Raises:
        RunError, ModelError: not a model, or a run that is not trained.
    """
    if is_run(choice.model):
        run = open_run(choice.model, slides_must_exist=False)
        return {
            f"{stage}/{file.name}": NetworkFile(file_sha256(file), file.stat().st_size)
            for stage, file in run.trained_models(network_names(run.recipe)).items()
        }
    bundle = open_bundle(choice.model)
    for format in ENGINES[choice.engine].formats:
        export = bundle.card.find_export(format, FILES_OF_PRECISION[choice.precision])
        if export is not None:
            return {
                name: NetworkFile(sha256, (bundle.path / name).stat().st_size)
                for name, sha256 in export.files.items()
                if (bundle.path / name).is_file()
            }
    return {}


def load_choice(choice: Choice) -> ModelFiles:
    """Loads the model for its engine; H2GError if the engine cannot run it here."""
    model = find_model(
        choice.model, engine=choice.engine, device=choice.device, precision=choice.precision
    )
    return with_patches(model, choice.patches)


def _engines_of(model: Path) -> tuple[str, ...]:
    if is_run(model):
        return tuple(_engines_for(model))
    if not is_bundle(model):
        raise RunError(f"{model}: not a model. {KINDS}")
    formats = {export.format for export in open_bundle(model).card.exports}
    return tuple(name for name, spec in ENGINES.items() if formats.intersection(spec.formats[:1]))


def _engines_for(model: Path) -> set[str]:
    """The engines that run this kind of model."""
    return {name for name, spec in ENGINES.items() if bool(spec.formats) != is_run(model)}


def _requested_engines(model: Path, wanted: Wanted) -> list[str]:
    """The requested engines that run this kind of model."""
    kinds = {path: _engines_for(path) for path in wanted.models}
    # An engine that suits no model becomes a row of the first model, which gives the reason.
    first = model == wanted.models[0]
    return [
        engine
        for engine in wanted.engines
        if engine in kinds[model] or (first and not any(engine in kind for kind in kinds.values()))
    ]


def _devices(engine: str, hardware: Hardware) -> tuple[str, ...]:
    has_gpu = {"keras": bool(hardware.gpu), "onnxruntime": has_onnxruntime_gpu()}
    return ("CPU", "GPU") if has_gpu.get(engine) else ("CPU",)


def _precisions(model: Path, engine: str, hardware: Hardware) -> list[str]:
    if is_run(model) or not ENGINES[engine].formats:
        return ["float32"]
    exports = open_bundle(model).card.exports
    own, *others = ENGINES[engine].formats
    files = {export.precision for export in exports if export.format == own}
    files = files or {export.precision for export in exports if export.format in others}
    able = ENGINES[engine].precisions
    available = [precision for precision in able if FILES_OF_PRECISION[precision] in files]
    if not hardware.has_bfloat16:
        available = [precision for precision in available if precision != "bfloat16"]
    return available or ["float32"]
