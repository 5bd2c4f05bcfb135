"""Opens a bundle: chooses its files and their engine, and checks that they are unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from h2g.engines.engine import HEATMAP_INPUT
from h2g.engines.specs import ENGINES, FILES_OF_PRECISION, fastest_engines
from h2g.errors import ModelError, WrongUseError
from h2g.folders.bundle import (
    Bundle,
    Export,
    FilePrecision,
    Format,
    check_export,
    open_bundle,
)
from h2g.hardware import has_onnxruntime_gpu
from h2g.prediction.model_files import ModelFiles, NetworkFile
from h2g.texts import shell_word


@dataclass(frozen=True)
class Choice:
    """The engine, device and precision that run a bundle, and the export they use."""

    engine: str
    device: str
    precision: str
    export: Export


def load_bundle(path: Path, *, engine: str, device: str, precision: str) -> ModelFiles:
    """The bundle as prediction needs it; arguments and errors are those of find_model."""
    bundle = open_bundle(path)
    _check_chain(bundle)
    choice = _choose(bundle, engine=engine, device=device, precision=precision)
    _refuse_rounded_rules(bundle, precision)
    _check_hardware(choice)
    check_export(bundle, choice.export)
    card, whole_slides = bundle.card, ENGINES[choice.engine].whole_slides
    return ModelFiles(
        path=path,
        recipe=card.name,
        class_names=card.class_names,
        preprocessing=card.preprocessing,
        sha256=dict(choice.export.files),
        networks={} if whole_slides else network_files(bundle, choice.export),
        takes_patches=card.takes_patches,
        engine=choice.engine,
        device=choice.device,
        precision=precision,
    )


def network_files(bundle: Bundle, export: Export) -> dict[str, NetworkFile]:
    """The network files of an export, by the names of their stages."""
    return {
        name: NetworkFile(bundle.path / export.networks[name], tuple(network.inputs))
        for name, network in bundle.card.networks.items()
        if name in export.networks
    }


def _choose(bundle: Bundle, *, engine: str, device: str, precision: str) -> Choice:
    if engine != "auto" and not ENGINES[engine].formats:
        raise WrongUseError(
            f"{bundle.path}: --engine {engine} runs run folders, but this is a bundle. Give the "
            "run folder, or --engine auto."
        )
    if engine != "auto" and precision not in ENGINES[engine].precisions:
        raise WrongUseError(
            f"--engine {engine} computes in {' or '.join(ENGINES[engine].precisions)}, not in "
            f"{precision}. Choose another --precision or --engine."
        )
    for name in _candidates(engine, device, precision):
        export = _find_export(bundle, name, precision)
        if export is not None:
            return Choice(name, _device(name, device), precision, export)
    raise WrongUseError(_missing_export_message(bundle, engine, precision))


def _candidates(engine: str, device: str, precision: str) -> list[str]:
    if engine != "auto":
        return [engine]
    names = list(fastest_engines())
    if device != "CPU" and has_onnxruntime_gpu():
        names.insert(0, "onnxruntime")
    return [name for name in names if precision in ENGINES[name].precisions]


def _device(engine: str, device: str) -> str:
    if device != "auto":
        return device
    return "GPU" if engine == "onnxruntime" and has_onnxruntime_gpu() else "CPU"


def _find_export(bundle: Bundle, engine: str, precision: str) -> Export | None:
    for format in ENGINES[engine].formats:
        export = bundle.card.find_export(format, FILES_OF_PRECISION[precision])
        if export is not None:
            return export
    return None


def _missing_export_message(bundle: Bundle, engine: str, precision: str) -> str:
    exports = bundle.card.exports
    found = ", ".join(f"{export.format} {export.precision}" for export in exports) or "no networks"
    formats = ENGINES[fastest_engines()[0] if engine == "auto" else engine].formats
    files = FILES_OF_PRECISION[precision]
    if engine == "auto" and {export.format for export in exports} == {"fast"}:
        return (
            f"{bundle.path}: this bundle only holds pipelines for FAST. Give --engine fast, or add "
            f"networks for other engines: {_export_command(bundle, formats[0], files)}."
        )
    option = "" if precision == "float32" else f" --precision {precision}"
    wanted = " or ".join(f"{format} {files}" for format in formats)
    return (
        f"{bundle.path}: --engine {engine}{option} needs {wanted}; this bundle holds {found}. "
        f"Add it: {_export_command(bundle, formats[0], files)}."
    )


def _export_command(bundle: Bundle, format: Format, precision: FilePrecision) -> str:
    option = "" if precision == "float32" else f" --precision {precision}"
    return f"h2g export RUN --format {format}{option} --out {shell_word(str(bundle.path))}"


def _check_chain(bundle: Bundle) -> None:
    """ModelError if a network takes a heatmap and no earlier network makes one."""
    has_heatmap = False
    for name, network in bundle.card.networks.items():
        if HEATMAP_INPUT in network.inputs and not has_heatmap:
            raise ModelError(
                f"{bundle.path}: this bundle holds no network that makes the heatmap for its "
                f"{name} network, so it cannot segment slides. Export a whole run: h2g export RUN "
                "--format openvino --out BUNDLE."
            )
        has_heatmap = has_heatmap or network.many


def _refuse_rounded_rules(bundle: Bundle, precision: str) -> None:
    """WrongUseError for a rule without weights in bfloat16, which would move its threshold."""
    rules = [name for name, network in bundle.card.networks.items() if not network.parameters]
    if precision == "bfloat16" and rules:
        raise WrongUseError(
            f"{bundle.path}: its {rules[0]} network is a rule without weights "
            f"({bundle.card.networks[rules[0]].architecture}), and bfloat16 would move its "
            "threshold. Leave out --precision."
        )


def _check_hardware(choice: Choice) -> None:
    spec = ENGINES[choice.engine]
    # Only if needed, because the library otherwise loads while the first slide is read.
    if choice.device != "CPU":
        spec.library.check_device(choice.device)
    if choice.precision == "bfloat16":
        spec.library.check_precision(choice.device, choice.precision)
