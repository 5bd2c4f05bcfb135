"""The direction of imports: every module's imports, lazy ones too, held to one table."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What a module may import of ours: its own package, and packages of lower rows, which stand first.
ROWS = [
    {"h2g.errors", "h2g.progress", "h2g.files", "h2g.concurrency", "h2g.hardware", "h2g.tables"}
    | {"h2g.fast_versions", "h2g.quiet", "h2g.texts"},
    {"h2g.recipes"},
    {"h2g.folders", "h2g.models"},
    {"h2g.engines", "h2g.slides"},
    {"h2g.annotations"},
    {"h2g.data", "h2g.clustering", "h2g.reporting"},
    {"h2g.results"},
    {"h2g.training", "h2g.evaluation"},
    {"h2g.stages"},
    {"h2g.prediction", "h2g.exporters"},
    {"h2g.benchmarking", "h2g.phantom", "h2g.ablation"},
    {"h2g.cli"},
]
ROW_OF = {package: number for number, row in enumerate(ROWS) for package in row}
GROUPS = {package: package for package in ROW_OF} | {package: "bottom" for package in ROWS[0]}
GROUPS["h2g.fast_pipelines"] = "h2g.exporters"
ROW_OF["h2g.fast_pipelines"] = ROW_OF["h2g.exporters"]

HEAVY = {"tensorflow", "tensorflow_io", "keras", "openvino", "onnxruntime", "torch", "tf2onnx"} | {
    "ai_edge_litert",
    "nncf",
}
MAY_USE = {
    "tensorflow": (
        "h2g.data.dataset",
        "h2g.data.refinement_dataset",
        "h2g.data.augmentation",
        "h2g.data.stain",
        "h2g.data.augmentation",
        "h2g.clustering.graph",
        "h2g.training",
        "h2g.stages",
        "h2g.exporters",
    ),
    "tensorflow_io": ("h2g.data.augmentation",),
    "keras": (
        "h2g.models",
        "h2g.clustering.layers",
        "h2g.clustering.graph",
        "h2g.engines.keras_engine",
        "h2g.training",
        "h2g.stages",
        "h2g.exporters",
    ),
}
ONLY_IN_ENGINES_AND_EXPORTERS = {"openvino", "onnxruntime", "ai_edge_litert"}


def modules() -> dict[str, Path]:
    places = {"h2g": ROOT / "h2g", "h2g.exporters": ROOT / "exporters"}
    places["h2g.fast_pipelines"] = ROOT / "fast_pipelines"
    found = {}
    for package, folder in places.items():
        for file in folder.rglob("*.py"):
            parts = [*file.relative_to(folder).with_suffix("").parts]
            name = ".".join([package, *parts]).removesuffix(".__init__")
            found[name] = file
    return found


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def package_of(module: str) -> str | None:
    fitting = [p for p in ROW_OF if module == p or module.startswith(p + ".")]
    return max(fitting, key=len) if fitting else None


MODULES = modules()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down(module: str) -> None:
    package = package_of(module)
    if package is None:
        assert module == "h2g", f"{module} stands in no row of the table"
        return
    for name in imported(MODULES[module]):
        other = package_of(name)
        if other is None or GROUPS[other] == GROUPS[package]:
            continue
        assert ROW_OF[other] < ROW_OF[package], f"{module} imports {name}"
        if package == "h2g.models":
            assert other in {"h2g.errors", "h2g.quiet"}, f"{module} imports {name}"


def test_no_circles() -> None:
    """The root is left out: its names are loaded when they are first used."""
    graph = {name: imported(file) & set(MODULES) - {"h2g"} for name, file in MODULES.items()}
    for name, others in graph.items():
        others.discard(name)
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, with the circle


@pytest.mark.parametrize("module", sorted(MODULES))
def test_heavy_packages_stay_in_their_modules(module: str) -> None:
    for name in {name.partition(".")[0] for name in imported(MODULES[module])} & HEAVY:
        if name in MAY_USE:
            allowed = MAY_USE[name]
        elif name in ONLY_IN_ENGINES_AND_EXPORTERS:
            allowed = ("h2g.engines", "h2g.exporters")
        else:
            allowed = ("h2g.exporters",)
        fits = any(module == place or module.startswith(place + ".") for place in allowed)
        assert fits, f"{module} imports {name}"


@pytest.mark.parametrize("verb", [[], ["predict"], ["train"], ["slide-info"]])
def test_help_loads_nothing_heavy(verb: list[str]) -> None:
    code = (
        "import sys\nfrom h2g.cli.main import main\n"
        f"try:\n    main({[*verb, '--help']!r})\nexcept SystemExit as end:\n"
        "    assert end.code == 0, end.code\n"
        f"loaded = {sorted(HEAVY | {'matplotlib', 'sklearn', 'cv2', 'pandas'})!r}\n"
        "print('LOADED', [name for name in loaded if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("LOADED []")
    assert "Usage:" in result.stdout


def test_openvino_is_imported_without_its_usage_reports() -> None:
    """From one module, and so only where it is used: importing h2g changes no other package."""
    importers = {name for name, file in MODULES.items() if "openvino" in imported(file)}
    assert importers == {"h2g.engines.openvino_library"}
    code = "import sys, h2g; assert 'openvino_telemetry' not in sys.modules; "
    code += "import h2g.engines.openvino_engine; assert not sys.modules['openvino_telemetry']"
    subprocess.run([sys.executable, "-c", code], check=True)
