"""Compares a bundle's pipelines in many versions of FAST with h2g's own prediction of a slide.

    python tools/fast_versions.py bundle slide.svs --fast 4.9.2 --readme fast_pipelines/README.md

Versions are in .fast/<version>; a missing version is installed there. The table is Markdown. h2g
predicts with the bundle's ONNX or OpenVINO files if it has some, otherwise with those for FAST.
4.12 and 4.13 need libjpeg.so.8, which Ubuntu has but Debian lacks. A folder that holds only a copy
of the one in .fast/4.11.0, named in LD_LIBRARY_PATH, is enough.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tifffile
from fast_crashes import CRASHED, TRIES, retry_crashes
from fast_versions_table import Comparison, Outcome, table, title, with_section

from h2g.engines.engine import Feed, Key, Network, Shape, open_network
from h2g.engines.fast_process import Fast, failed_fasts, installed_fasts, run_pipeline
from h2g.errors import H2GError, RunError, SlideError
from h2g.files import write_text
from h2g.folders.bundle import Bundle, Format, open_bundle
from h2g.folders.predictions import SlideRequest
from h2g.models.startup import start_keras
from h2g.prediction.bundle_engines import network_files
from h2g.prediction.fast_slides import read_tensor
from h2g.prediction.find_model import find_model
from h2g.prediction.model_files import ModelFiles
from h2g.prediction.predict_slides import predict_slides
from h2g.results.labels import labels_at, patchwise_labels
from h2g.results.outputs import SlideFiles
from h2g.slides.reading import open_slide
from h2g.slides.tiff_files import read_heatmap
from h2g.stages.chain import NETWORKS

TOOLS = Path(__file__).parent
# The last release of most minor versions.
VERSIONS = (
    *("4.9.1", "4.9.2", "4.10.0", "4.11.0", "4.12.0"),
    *("4.13.1", "4.14.1", "4.15.1", "4.17.1", "4.18.0"),
)
ENGINE_OF_FORMAT: dict[Format, str] = {"onnx": "onnxruntime", "openvino": "openvino"}
TIMEOUT_S = 300.0
# The first line of an exception; its text may continue on later lines.
RAISED = re.compile(r"\w*Error: ")


@dataclass(frozen=True)
class Trial:
    """The bundle, the slide and the expected result for all versions.

    Attributes:
        expected: the files of h2g's own prediction.
    """

    bundle: Bundle
    slide: Path
    expected: SlideFiles


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--fast", action="append", metavar="VERSION", help="default: ten versions")
    parser.add_argument("--readme", type=Path, help="file that also gets the table")
    arguments = parser.parse_args()
    bundle = open_bundle(arguments.bundle)
    if bundle.card.find_export("fast") is None:
        raise RunError(f"{bundle.path}: no FAST pipelines. Export the run with --format fast.")
    with open_slide(arguments.slide) as slide:
        heading = title(str(bundle.card.preprocessing.fast_version), slide.info)
    with tempfile.TemporaryDirectory() as temporary:
        expected = predict(bundle, arguments.slide, Path(temporary))
        trial = Trial(bundle, arguments.slide.resolve(), expected)
        outcomes = [try_version(version, trial) for version in arguments.fast or VERSIONS]
        section = table(heading, outcomes)
    print(section)
    if arguments.readme:
        text = arguments.readme.read_text("utf-8")
        write_text(arguments.readme, with_section(text, section))


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# -- h2g


def predict(bundle: Bundle, slide: Path, out: Path) -> SlideFiles:
    """h2g's own prediction of the slide; SlideError if there is none."""
    request = SlideRequest(slide)
    model = own_model(bundle)
    tell(f"h2g: predicts {slide.name} with {model.engine}")
    (row,) = predict_slides(model, [request], out)
    if row["status"] != "ok":
        raise SlideError(row["reason"])
    return SlideFiles(out, request.name)


def own_model(bundle: Bundle) -> ModelFiles:
    for format, engine in ENGINE_OF_FORMAT.items():
        if bundle.card.find_export(format):
            return find_model(bundle.path, engine=engine)
    if any(network.cells for network in bundle.card.networks.values()):
        raise RunError(
            f"{bundle.path}: its files for FAST output pixels, not the cells of a heatmap. Export "
            "the model with --format onnx too, to compare with it."
        )
    return FastFiles.of(bundle)


@dataclass(frozen=True)
class FastFiles(ModelFiles):
    """The ONNX files in the bundle's folder ``fast``, run by h2g."""

    @classmethod
    def of(cls, bundle: Bundle) -> FastFiles:
        export = bundle.card.find_export("fast")
        assert export is not None
        model = vars(find_model(bundle.path, engine="fast", device="CPU"))
        networks = network_files(bundle, export)
        return cls(**{**model, "engine": "onnxruntime", "networks": networks})

    def open_networks(self, batch_size: int) -> dict[str, Network]:
        return {
            name: FedAsTrained(
                open_network(
                    file.path,
                    engine=self.engine,
                    device=self.device,
                    many=NETWORKS[name].many,
                    batch_size=batch_size,
                ),
                file.inputs or (),
            )
            for name, file in self.networks.items()
        }


class FedAsTrained:
    """A graph for FAST that takes the inputs of the original network."""

    def __init__(self, network: Network, inputs: Collection[str]) -> None:
        self.engine, self.device, self.precision = network.engine, network.device, network.precision
        start_keras()  # before the next import, which would import Keras and its messages
        from h2g.exporters.fast_graphs import fast_feed

        any_size: Shape = (1, None, None, None)
        self.inputs = {name: network.inputs.get(name, any_size) for name in inputs}
        self._network = network
        self._feed = partial(fast_feed, network.inputs)

    def run(self, inputs: Feed) -> np.ndarray:
        return self._network.run(self._feed(inputs))

    def run_each(
        self, batches: Iterable[tuple[Key, Feed]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        return self._network.run_each((key, self._feed(feed)) for key, feed in batches)


# -- FAST


def try_version(version: str, trial: Trial) -> Outcome:
    """Tries one version of FAST, with a separate process for each step."""
    fast = find_fast(version)
    if isinstance(fast, str):
        tell(f"{version}: {fast}")
        return Outcome(version, start=fast)
    with tempfile.TemporaryDirectory() as temporary:
        tell(f"{version}: runs headless")
        headless, comparison = run_headless(fast, trial, Path(temporary) / "slide")
        tell(f"{version}: {headless or 'ran'}; draws")
        parses, draws = draw(fast, trial, Path(temporary))
        tell(f"{version}: {parses or draws or 'drew'}")
    return Outcome(version, "", headless, parses, draws, comparison)


def find_fast(version: str) -> Fast | str:
    """The FAST of a version, installed if it is missing, or the reason why there is none."""
    fast = find_installed(version)
    if fast is None:
        tell(f"{version}: being installed")
        command = ["make", "-C", str(TOOLS.parent), "fast-environment", f"FAST={version}"]
        subprocess.run(command, stdout=sys.stderr, check=False)
        fast = find_installed(version)
    return fast or "it is not installed"


def find_installed(version: str) -> Fast | str | None:
    """The FAST of a version, or the reason why it does not start; None if it is not installed."""
    for fast in installed_fasts():
        if fast.version == version:
            return fast
    prefix = f"{TOOLS.parent / '.fast' / version}/"
    # Without the path at the beginning, which is of no use on other machines.
    return next(
        (text.partition(": ")[2] for text in failed_fasts() if text.startswith(prefix)), None
    )


def run_headless(fast: Fast, trial: Trial, prefix: Path) -> tuple[str, Comparison | None]:
    """Why the headless pipeline failed ("" if it did not), and the comparison of its files."""
    (pipeline,) = (trial.bundle.path / "fast").glob("*-headless.fpl")
    variables = {"slide": str(trial.slide), "out": str(prefix)}
    failure = run_pipeline(fast.runner, pipeline, variables, timeout_s=TIMEOUT_S)
    if failure:
        return in_short(failure, trial), None
    try:
        return "", compare(trial, prefix)
    except SlideError as error:
        return in_short(str(error), trial), None


def draw(fast: Fast, trial: Trial, folder: Path) -> tuple[str, str | None]:
    """Why the pipeline for FastPathology is not parsed, and not drawn; "" if it is."""
    (pipeline,) = (trial.bundle.path / "fast" / "user" / "pipelines").glob("*.fpl")
    xvfb, python = shutil.which("xvfb-run"), fast.runner.parents[5] / "bin" / "python"
    if xvfb is None or not python.is_file():
        return "xvfb-run, or the Python of this FAST, is missing", None
    script, png = TOOLS / "fast_gui.py", folder / "drawn.png"
    command = [xvfb, "-a", python, script, pipeline.resolve(), trial.slide, png]
    code, output = retry_crashes(lambda: run_killable([str(part) for part in command]))
    failure = in_short(why_ended(code, output), trial)
    if "PARSED" not in output:
        return failure, None
    return "", "" if "DRAWN" in output and png.is_file() else failure


def run_killable(command: list[str]) -> tuple[int | None, str]:
    """The exit code (None after a timeout) and all output.

    A timeout kills the children too, because xvfb-run would leave FAST running.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code: int | None = process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = None
        output.seek(0)
        return code, output.read()


def why_ended(code: int | None, output: str) -> str:
    if code is None:
        return f"it did not end within {TIMEOUT_S:g} seconds"
    if code in CRASHED:
        return f"it crashed {TRIES} times"
    lines = [line.strip() for line in output.replace("\r", "\n").splitlines() if line.strip()]
    exceptions = [line for line in lines if RAISED.match(line)]
    return (exceptions or lines or [f"it ended with code {code}"])[-1]


def in_short(reason: str, trial: Trial) -> str:
    """The reason in one line of at most 300 characters, with names instead of local paths."""
    for path, name in ((trial.bundle.path.resolve(), "BUNDLE"), (trial.slide.parent, "SLIDES")):
        reason = reason.replace(str(path), name)
    return " ".join(reason.split())[:300]


# -- comparison


def compare(trial: Trial, prefix: Path) -> Comparison:
    """Compares FAST's files with h2g's; SlideError if one of FAST's is missing or broken."""
    name = trial.slide.name
    labels_of_h2g = tifffile.imread(trial.expected["segmentation"], key=0)
    size_px = (labels_of_h2g.shape[1], labels_of_h2g.shape[0])
    difference = lone = None
    if trial.bundle.card.takes_patches:
        expected = read_heatmap(trial.expected["heatmap"])
        values = read_tensor(prefix, "heatmap", name)
        difference, lone = compare_heatmaps(values, expected.values)
    if not trial.bundle.card.slide_networks:
        rows, cols, _ = expected.values.shape
        cells = on_grid(values, rows, cols)[:rows, :cols]
        labels = patchwise_labels(dataclasses.replace(expected, values=cells), size_px)
    else:
        labels = labels_at(read_tensor(prefix, "probabilities", name), size_px)
    return Comparison(difference, lone, float((labels == labels_of_h2g).mean()))


def compare_heatmaps(values: np.ndarray, expected: np.ndarray) -> tuple[float | None, int]:
    """Largest difference in cells that both classified, and number of cells that only one did.

    The two may differ in size. FAST 4.9 has empty rows and columns beyond the slide if it resamples
    patches, and another version may choose another grid.
    """
    rows, cols = (max(values.shape[axis], expected.shape[axis]) for axis in (0, 1))
    values, expected = on_grid(values, rows, cols), on_grid(expected, rows, cols)
    fast_cells, h2g_cells = values.any(axis=2), expected.any(axis=2)
    both = fast_cells & h2g_cells
    difference = float(np.abs(values - expected)[both].max()) if both.any() else None
    return difference, int((fast_cells ^ h2g_cells).sum())


def on_grid(values: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Pads to (rows, cols, C) or larger, with empty cells after the others."""
    missing = [(0, max(0, rows - values.shape[0])), (0, max(0, cols - values.shape[1])), (0, 0)]
    return np.pad(values, missing)


if __name__ == "__main__":
    try:
        main()
    except H2GError as error:
        sys.exit(f"fast_versions: {error}")
