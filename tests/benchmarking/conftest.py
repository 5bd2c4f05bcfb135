"""A slide, a run with random weights, and rows as a benchmark would give them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from h2g.benchmarking.benchmark import Protocol
from h2g.benchmarking.rows import PHASES, Choice, RowResult, RowSettings
from h2g.folders.cohort import read_cohort
from h2g.folders.run import start_run
from h2g.hardware import Hardware
from h2g.recipes.reading import validate_recipe
from h2g.slides.writing import write_pyramid

RECIPE = {
    "name": "tiny",
    "description": "both stages, untrained",
    "preprocessing": {
        "patch": {"size_px": 32, "mpp": 1.0},
        "low_resolution": {"min_side_px": 256},
    },
    "patch": {"options": {"alpha": 0.35}, "weights": "none"},
    "refinement": {"input_px": 32, "options": {"filters": [4, 8]}},
}
MACHINE = Hardware(
    cpu="Abacus 3",
    cores=4,
    instruction_sets=("avx2",),
    memory_gib=8.0,
    gpu=(),
    system="Linux",
)


@pytest.fixture(scope="session")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 x 420 px at 1 um/px, tissue in an ellipse."""
    image = np.full((420, 500, 3), 255, np.uint8)
    cv2.ellipse(image, (250, 210), (200, 150), 0, 0, 360, (220, 130, 180), -1)
    path = tmp_path_factory.mktemp("slides") / "slide.tiff"
    write_pyramid(path, image, mpp=1.0, tile_px=256, compression="jpeg")
    return path


@pytest.fixture(scope="session")
def run(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose two networks have random weights."""
    from h2g.models.registry import build_patch_model, build_refinement_model

    folder = tmp_path_factory.mktemp("runs")
    (folder / "a.geojson").touch()
    table = folder / "cohort.csv"
    table.write_text(f"slide,annotation,split\n{slide},a.geojson,train\n")
    recipe = validate_recipe(RECIPE, source="tiny")
    run = start_run(folder / "run", read_cohort(table), recipe)
    networks = {
        "patch": build_patch_model("mobilenet_v2", size_px=32, options={"alpha": 0.35}),
        "refinement": build_refinement_model("unet", input_px=32, options={"filters": [4, 8]}),
    }
    for stage, network in networks.items():
        run.stage_folder(stage).mkdir()
        network.save(run.model_file(stage))
    return run.path


@pytest.fixture(scope="session")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run as ONNX."""
    from h2g.exporters.export import export_model
    from h2g.exporters.formats import ExportRequest

    out = tmp_path_factory.mktemp("bundles") / "bundle"
    export_model(run, out, ExportRequest(("onnx",), check=False))
    return out


@pytest.fixture
def protocol(slide: Path) -> Protocol:
    return Protocol(slide=slide, mpp=None, threads=2, batch_size=16, repeats=2, warm_ups=1)


@pytest.fixture
def timed() -> Callable[..., RowResult]:
    """Makes a row that ran: each repeat is a tuple of seconds in the order of PHASES."""

    def row(
        *repeats: tuple[float | None, ...],
        engine: str = "openvino",
        precision: str = "float32",
        patches: int = 100,
    ) -> RowResult:
        return RowResult(
            settings=settings_of(engine, precision, repeats=len(repeats)),
            status="ok",
            device="CPU",
            precision=precision,
            patches=patches,
            seconds=tuple(dict(zip(PHASES, repeat, strict=True)) for repeat in repeats),
            peak_memory_mib=512.0,
            hardware=MACHINE,
            versions={"python": "3.11"},
        )

    return row


@pytest.fixture
def skipped() -> RowResult:
    settings = settings_of("tflite", "int8")
    return RowResult(settings=settings, status="skipped", reason="no such file.")


def settings_of(engine: str, precision: str, *, repeats: int = 2) -> RowSettings:
    model = Path("models") / "bundle"
    return RowSettings(
        choice=Choice(model=model, engine=engine, device="CPU", precision=precision),
        model_sha256={"patch.xml": "0" * 64},
        model_mib=9.25,
        slide=Path("slides") / "slide.svs",
        slide_bytes=1000,
        mpp=None,
        threads=2,
        batch_size=16,
        repeats=repeats,
        warm_ups=1,
    )
