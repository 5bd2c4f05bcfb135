"""Which rows a benchmark has: every engine that a model has files for, or those asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from h2g.benchmarking.hardware import Hardware
from h2g.benchmarking.rows import Choice
from h2g.bundle import is_bundle, open_bundle
from h2g.errors import RunError
from h2g.files import file_sha256
from h2g.inference.bundles import FILES_OF_PRECISION, FORMATS_OF_ENGINE
from h2g.inference.devices import has_onnxruntime_gpu
from h2g.inference.loaded_model import LoadedModel
from h2g.inference.loading import KINDS, load_model
from h2g.runs import is_run, open_run

ENGINES = ("keras", *FORMATS_OF_ENGINE)
DEVICES = ("CPU", "GPU")
PRECISIONS = ("float32", "bfloat16", "float16", "int8")


@dataclass(frozen=True)
class Wanted:
    """What is asked for; an empty choice takes what the models and the machine have."""

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
        RunError, ModelError: a folder is no model.
    """
    own_engines = {model: _engines_of(model) for model in wanted.models}
    return [
        Choice(model=model, engine=engine, device=device, precision=precision)
        for model in wanted.models
        for engine in (_asked_of(model, wanted) if wanted.engines else own_engines[model])
        for device in wanted.devices or _devices(engine, hardware)
        for precision in wanted.precisions or _precisions(model, engine, hardware)
    ]


def network_files(choice: Choice) -> dict[str, NetworkFile]:
    """What the engine would open, by name; empty where the model has no such files.

    Raises:
        RunError, ModelError: no model, or a run that is not trained.
    """
    if is_run(choice.model):
        run = open_run(choice.model, slides_must_exist=False)
        return {
            f"{stage}/{file.name}": NetworkFile(file_sha256(file), file.stat().st_size)
            for stage, file in run.trained_models(run.recipe.network_stages).items()
        }
    bundle = open_bundle(choice.model)
    for format in FORMATS_OF_ENGINE.get(choice.engine, ()):
        export = bundle.card.find_export(format, FILES_OF_PRECISION[choice.precision])
        if export is not None:
            return {
                name: NetworkFile(sha256, (bundle.path / name).stat().st_size)
                for name, sha256 in export.files.items()
                if (bundle.path / name).is_file()
            }
    return {}


def load_choice(choice: Choice) -> LoadedModel:
    """The model for its engine; H2GError when the engine cannot run it here."""
    return load_model(
        choice.model, engine=choice.engine, device=choice.device, precision=choice.precision
    )


def _engines_of(model: Path) -> tuple[str, ...]:
    if is_run(model):
        return ("keras",)
    if not is_bundle(model):
        raise RunError(f"{model}: not a model. {KINDS}")
    formats = {export.format for export in open_bundle(model).card.exports}
    return tuple(name for name, own in FORMATS_OF_ENGINE.items() if own[0] in formats)


def _asked_of(model: Path, wanted: Wanted) -> list[str]:
    """The engines asked for that run this kind of model."""
    kinds = {path: {"keras"} if is_run(path) else set(FORMATS_OF_ENGINE) for path in wanted.models}
    # What suits no model stays as a row of the first, which says why it cannot run.
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
    if is_run(model) or engine not in FORMATS_OF_ENGINE:
        return ["float32"]
    exports = open_bundle(model).card.exports
    own, *others = FORMATS_OF_ENGINE[engine]
    files = {export.precision for export in exports if export.format == own}
    files = files or {export.precision for export in exports if export.format in others}
    found = [precision for precision in PRECISIONS if FILES_OF_PRECISION[precision] in files]
    if engine != "openvino" or not hardware.has_bfloat16:
        found = [precision for precision in found if precision != "bfloat16"]
    return found or ["float32"]
