"""Times one row in a process of its own: python -m h2g.benchmarking.row SETTINGS RESULT.

Each engine starts from nothing, and the peak of memory is its own.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from h2g.benchmarking.hardware import this_hardware, versions
from h2g.benchmarking.memory import peak_memory_mib
from h2g.benchmarking.plan import load_choice
from h2g.benchmarking.rows import PHASES, RowResult, RowSettings
from h2g.errors import H2GError, SlideError
from h2g.files import write_text
from h2g.inference.folder import open_folder
from h2g.inference.one_slide import predict_slide
from h2g.slides.find_slides import SlideRequest
from h2g.slides.reading import open_slide


def main(settings_file: Path, result_file: Path) -> None:
    settings = RowSettings.model_validate_json(settings_file.read_text("utf-8"))
    measured = measure_row(settings, result_file.parent)
    write_text(result_file, measured.model_dump_json(indent=2) + "\n")


def measure_row(settings: RowSettings, folder: Path) -> RowResult:
    """Runs the warm-ups and the repeats.

    Args:
        folder: gets the slide's outputs of every repeat.
    """
    measure = _measure_fast if settings.choice.engine == "fast" else _measure_engine
    try:
        measured = measure(settings, folder / "outputs")
    except SlideError as error:
        return RowResult(settings=settings, status="failed", reason=str(error))
    except H2GError as error:
        return RowResult(settings=settings, status="skipped", reason=str(error))
    except ModuleNotFoundError as error:
        reason = f"{error.name} is not installed here; 'h2g doctor' says how to get it."
        return RowResult(settings=settings, status="skipped", reason=reason)
    return RowResult(
        settings=settings,
        status="ok",
        hardware=this_hardware(),
        versions=versions(),
        peak_memory_mib=peak_memory_mib(with_children=settings.choice.engine == "fast"),
        **measured,
    )


def _measure_engine(settings: RowSettings, out: Path) -> dict[str, Any]:
    model = load_choice(settings.choice)
    with open_slide(settings.slide, mpp=settings.mpp):
        pass  # said before an engine is opened for it
    start = time.perf_counter()
    engine = model.start_engine(settings.batch_size)
    open_s = time.perf_counter() - start
    request = SlideRequest(settings.slide, settings.mpp)
    repeats, patches = [], 0
    for number in range(settings.warm_ups + settings.repeats):
        files = open_folder(out / str(number), model).files(request.name)
        slide, seconds = predict_slide(
            request,
            model,
            engine,
            files,
            threads=settings.threads,
            batch_size=settings.batch_size,
        )
        patches = len(slide.located.cells)
        repeats.append({phase: getattr(seconds, field) for phase, field in PHASES.items()})
    return {
        "device": engine.device,
        "precision": engine.precision,
        "patches": patches,
        "open_s": open_s,
        "seconds": tuple(repeats[settings.warm_ups :]),
    }


def _measure_fast(settings: RowSettings, out: Path) -> dict[str, Any]:
    """FAST tells only its total: its process from start to end, with loading the networks and its
    own files, without ours that are made of them."""
    from h2g.inference.fast_engine import predict_slides_with_fast

    model = load_choice(settings.choice)
    request = SlideRequest(settings.slide, settings.mpp)
    repeats: list[dict[str, float | None]] = []
    patches = 0
    for number in range(settings.warm_ups + settings.repeats):
        (row,) = predict_slides_with_fast(model, [request], out / str(number))
        if row["status"] != "ok":
            raise SlideError(row["reason"])
        total = float(row["seconds_total"] - row["seconds_writing"])
        repeats.append({**dict.fromkeys(PHASES), "total": total})
        patches = int(row["patches"])
    return {
        "device": settings.choice.device,
        "precision": settings.choice.precision,
        "patches": patches,
        "seconds": tuple(repeats[settings.warm_ups :]),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
