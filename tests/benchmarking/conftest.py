"""The tiny run with its slide and bundle, and rows as a benchmark would give them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from h2g.benchmarking.benchmark import Protocol
from h2g.benchmarking.row import Choice, RowResult, RowSettings
from h2g.hardware import Hardware

# Of a model of two networks.
PHASES = ("read", "tissue", "wait", "patch", "refinement", "stitch", "write", "total")

MACHINE = Hardware(
    cpu="Abacus 3",
    cores=4,
    instruction_sets=("avx2",),
    memory_gib=8.0,
    gpu=(),
    system="Linux",
)


@pytest.fixture(scope="session")
def slide(tiny_run: Path) -> Path:
    """500 x 420 px at 1 um/px, tissue in an ellipse."""
    return tiny_run.parent / "one.tiff"


@pytest.fixture(scope="session")
def run(tiny_run: Path) -> Path:
    """A run folder whose two networks have random weights."""
    return tiny_run


@pytest.fixture(scope="session")
def bundle(tiny_bundle: Path) -> Path:
    """The run as ONNX."""
    return tiny_bundle


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
