"""Times one row in its own process: python -m h2g.benchmarking.time_row SETTINGS RESULT.

Each engine starts fresh, and the peak memory is its own.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from pathlib import Path
from typing import Any

from h2g.benchmarking.choose_rows import load_choice
from h2g.benchmarking.row import RowResult, RowSettings, phases
from h2g.engines.specs import ENGINES
from h2g.errors import H2GError, SlideError
from h2g.files import write_text
from h2g.folders.predictions import SlideRequest
from h2g.hardware import peak_memory_mib, peak_with_children_mib, this_hardware, versions
from h2g.prediction.predict_slides import open_segmenter
from h2g.prediction.segment_slide import predict_slide
from h2g.results.outputs import SlideFiles
from h2g.slides.reading import open_slide


def main(settings_file: Path, result_file: Path) -> None:
    settings = RowSettings.model_validate_json(settings_file.read_text("utf-8"))
    measured = measure_row(settings, result_file.parent)
    write_text(result_file, measured.model_dump_json(indent=2) + "\n")


def measure_row(settings: RowSettings, folder: Path) -> RowResult:
    """Runs the warm-ups and the repeats.

    Args:
        folder: gets the outputs of every repeat.
    """
    try:
        measured = _measure(settings, folder / "outputs")
    except SlideError as error:
        return RowResult(settings=settings, status="failed", reason=str(error))
    except H2GError as error:
        return RowResult(settings=settings, status="skipped", reason=str(error))
    except ModuleNotFoundError as error:
        reason = f"{error.name} is not installed; 'h2g doctor' says how to install it."
        return RowResult(settings=settings, status="skipped", reason=reason)
    return RowResult(
        settings=settings,
        status="ok",
        hardware=this_hardware(),
        versions=versions(),
        peak_memory_mib=(
            peak_with_children_mib()
            if ENGINES[settings.choice.engine].whole_slides
            else peak_memory_mib()
        ),
        **measured,
    )


def _measure(settings: RowSettings, out: Path) -> dict[str, Any]:
    """Measured fields of RowResult.

    An engine of whole slides reports only its total: its process from start to end, including its
    own files but not those that h2g makes from them.
    """
    model = load_choice(settings.choice)
    with open_slide(settings.slide, mpp=settings.mpp):
        pass  # an unreadable slide fails before an engine is opened
    segmenter = open_segmenter(model, threads=settings.threads, batch_size=settings.batch_size)
    start = time.perf_counter()
    facts = segmenter.open()
    open_s = None if model.runs_whole_slides else time.perf_counter() - start
    request = SlideRequest(settings.slide, settings.mpp)
    repeats, patches = [], 0
    for number in range(settings.warm_ups + settings.repeats):
        files = SlideFiles(out / str(number), request.name)
        slide, seconds = predict_slide(request, segmenter, files, threads=settings.threads)
        patches = len(slide.located.cells)
        if model.runs_whole_slides:
            total = seconds.total - seconds.writing
            seconds = dataclasses.replace(seconds, writing=math.nan, total=total)
        repeats.append(phases(seconds))
    return {
        "device": facts["device"],
        "precision": facts["precision"],
        "patches": patches,
        "open_s": open_s,
        "seconds": tuple(repeats[settings.warm_ups :]),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
