"""Runs in FAST's Python, with a display: saves a pipeline's results in the folders and files that
FastPathology uses, and opens them again as it does, a renderer for each with its saved attributes.

reopen_in_fast.py PIPELINE SLIDE RESULTS      prints one JSON document
"""

import json
import os
import sys
from pathlib import Path

import fast

# Class of an output -> how it is saved, read and shown.
KINDS = {
    "Tensor": (fast.HDF5TensorExporter, ".hdf5", "HDF5TensorImporter", "HeatmapRenderer"),
    "Image": (
        fast.TIFFImagePyramidExporter,
        ".tiff",
        "TIFFImagePyramidImporter",
        "SegmentationRenderer",
    ),
}


def main(pipeline: str, slide: str, results: Path) -> None:
    fast.Reporter.setGlobalReportMethod(fast.Reporter.NONE)
    image = fast.WholeSlideImageImporter.create(slide).runAndGetOutputData()
    parsed = fast.Pipeline(pipeline)
    parsed.parse({"WSI": image})
    attributes = {
        each.getNameOfClass(): each.attributesToString().strip().splitlines()
        for each in parsed.getRenderers()
    }
    told = {}
    for name, data in dict(parsed.getAllPipelineOutputData()).items():
        exporter, suffix, importer, renderer = KINDS[data.getNameOfClass()]
        file = results / parsed.getName() / name / f"{name}{suffix}"
        file.parent.mkdir(parents=True)
        exporter.create(str(file)).connect(data).run()
        saved = attributes[renderer]
        told[name] = {
            "file": str(file),
            "saved": saved,
            "opened": reopened(file, importer, renderer, saved),
        }
    print("\nJSON", json.dumps(told))
    sys.stdout.flush()
    os._exit(0)  # FAST's objects crash when Python takes them down


def reopened(file: Path, importer: str, renderer: str, attributes: list[str]) -> list[str]:
    """The attributes of a renderer that was given those, on the file."""
    lines = [
        'PipelineName "reopened"',
        'PipelineDescription ""',
        f"ProcessObject data {importer}",
        f'Attribute filename "{file}"',
        f"Renderer view {renderer}",
        *attributes,
        "Input 0 data 0",
    ]
    pipeline = file.with_suffix(".fpl")
    pipeline.write_text("\n".join(lines) + "\n")
    parsed = fast.Pipeline(str(pipeline))
    parsed.parse()
    (view,) = parsed.getRenderers()
    return view.attributesToString().strip().splitlines()


main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
