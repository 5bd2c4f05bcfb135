"""Runs prepare, tissue and predict over mutated copies of a slide and its annotation.

    python tools/fuzz.py SLIDE --count 1000 --seed 0 [--jobs 2] [--keep FOLDER]

Each mutant is one wrong copy of SLIDE with a good annotation, or SLIDE with a wrong annotation. A
worker process runs the three commands on it. The table counts, by mutation:

  right    done as with the original, or with other pixels
  refused  failed with a sentence of h2g
  told     done, and the slide's warnings say what is doubtful
  scale    done with other um/px, which nothing in the slide contradicts by 20 %
  no reason, crash, hang   failed with another exception; the process died; more than 60 seconds
  wrong    done without a word, with the original's pixels and um/px, but with other areas

The last four columns must be 0; then the exit code is 0. The network of the prediction looks at the
mean colour alone, so that equal pixels give equal areas. --keep saves the mutants that fail.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import logging
import os
import random
import resource
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from fuzz_mutations import ANNOTATION_MUTATIONS, slide_mutations

from h2g.progress import progress

SECONDS = 60
WORKER_BYTES = 8 * 2**30
OUTCOMES = ("right", "refused", "told", "scale", "no reason", "crash", "hang", "wrong")
BAD = OUTCOMES[4:]
PATCH_PX = 64
AREAS_EQUAL = 0.01  # mm2
RECIPE = {
    "name": "fuzz",
    "description": "a network that sees the mean colour of a patch",
    "preprocessing": {"patch": {"size_px": PATCH_PX, "mpp": 1.0}},
    "annotation": {"unlisted": "ignore"},
    "patch": {"weights": "none"},
}


def write_bundle(folder: Path) -> Path:
    """A bundle whose network calls pink patches tumour."""
    import keras
    import yaml

    from h2g.exporters.export import export_model
    from h2g.exporters.export_request import ExportRequest

    patch = keras.Input((PATCH_PX, PATCH_PX, 3), name="patch")
    mean = keras.layers.GlobalAveragePooling2D()(patch)
    dense = keras.layers.Dense(2, activation="softmax", name="output_0_probabilities")
    network = keras.Model(patch, dense(mean))
    green, bias = [[0.0, 0.0], [20.0, -20.0], [0.0, 0.0]], [-14.0, 14.0]
    dense.set_weights([keras.ops.convert_to_numpy(green), keras.ops.convert_to_numpy(bias)])
    network.save(folder / "network.keras")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    request = ExportRequest(formats=("onnx",))
    recipe = str(folder / "recipe.yaml")
    export_model(folder / "network.keras", folder / "bundle", request, recipe=recipe)
    return folder / "bundle"


def write_annotation(file: Path) -> None:
    boxes = [(100, 100, 900, 700), (1000, 300, 1500, 1200), (200, 200, 300, 300)]
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x, y], [x1, y], [x1, y1], [x, y1], [x, y]]],
            },
            "properties": {
                "objectType": "annotation",
                "classification": {"name": "Tumor", "color": [200, 0, 0]},
            },
        }
        for x, y, x1, y1 in boxes
    ]
    features[0]["childObjects"] = [features.pop()]
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


# ---- the worker ----------------------------------------------------------------------------------


def work(folder: Path) -> None:
    """Runs the jobs of each mutant that a line of stdin names, and answers in a line of stdout."""
    resource.setrlimit(resource.RLIMIT_AS, (WORKER_BYTES, WORKER_BYTES))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    from h2g.prediction.model import load_model
    from h2g.recipes.reading import load_recipe

    model = load_model(folder / "bundle", engine="onnxruntime", threads=1)
    recipe = load_recipe(str(folder / "recipe.yaml"))
    for line in sys.stdin:
        slide, annotation = map(Path, json.loads(line))
        answers.write(json.dumps(run_jobs(slide, annotation, model, recipe)) + "\n")


def run_jobs(slide: Path, annotation: Path, model: Any, recipe: Any) -> dict[str, Any]:
    from h2g.errors import H2GError
    from h2g.folders.cohort import CohortSlide
    from h2g.slides.reading import open_slide
    from h2g.slides.tissue import find_tissue
    from h2g.stages.prepare.prepare_run import index_slide

    found: dict[str, Any] = {"refused": [], "no reason": []}

    def run(name: str, job: Any) -> None:
        try:
            found[name] = job()
        except H2GError as error:
            found["refused" if str(error).strip() else "no reason"].append(f"{name}: {error}")
        except Exception as error:
            found["no reason"].append(f"{name}: {type(error).__name__}: {error}")

    def prepare() -> dict[str, float]:
        row = CohortSlide(slide.stem, slide, annotation, "train")
        index, tissue = index_slide(row, recipe)
        return {"tissue_mm2": tissue.area_mm2, **index.counts()}

    def tissue() -> dict[str, float]:
        with open_slide(slide) as opened:
            return {"tissue_mm2": find_tissue(opened, recipe.preprocessing.tissue).area_mm2}

    def predict() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as out:
            (row,) = model.predict_slides([slide], out)
        if row["status"] != "ok":
            raise H2GError(row["reason"])
        kept = ("tissue_mm2", "tumour_mm2", "mpp", "warnings")
        return {key: row[key] for key in kept}

    run("prepare", prepare)
    run("tissue", tissue)
    run("predict", predict)
    found["pixels"] = pixels_of(slide)
    return found


def pixels_of(slide: Path) -> str | None:
    """A checksum of all levels' pixels; None if one cannot be read."""
    from h2g.errors import H2GError
    from h2g.slides.reading import open_slide

    total = hashlib.sha256()
    try:
        with open_slide(slide, mpp=1.0) as opened:
            for level, shape in enumerate(opened.info.levels):
                width, height = shape.size_px
                if width * height > 1e8:
                    return None
                total.update(repr(shape).encode())
                for y in range(0, height, 1024):
                    place = (0, round(y * shape.downsample))
                    size = (width, min(1024, height - y))
                    total.update(opened.read_level(level=level, xy_level0=place, size_px=size))
    except H2GError:
        return None
    return total.hexdigest()


# ---- the judge -----------------------------------------------------------------------------------


def judged(found: dict[str, Any], original: dict[str, Any], *, slide_is_intact: bool) -> str:
    if found["no reason"]:
        return "no reason"
    told = found.get("predict", {}).get("warnings") != original["predict"]["warnings"]
    if found["refused"]:
        return "refused"
    same_pixels = found["pixels"] == original["pixels"]
    same_mpp = found["predict"]["mpp"] == original["predict"]["mpp"]
    if told:
        return "told"
    if not same_mpp:
        return "scale"
    if same_pixels:
        jobs = ("tissue", "predict") if slide_is_intact else ("prepare", "tissue", "predict")
        for job in jobs:
            for key, value in original[job].items():
                if isinstance(value, float) and abs(found[job][key] - value) > AREAS_EQUAL:
                    return "wrong"
    return "right"


class Worker:
    """A process that runs mutants; it is started again after a crash or a hang."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def ask(self, slide: Path, annotation: Path) -> dict[str, Any] | str:
        """What the jobs found; ``crash`` or ``hang``."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__, "--worker", str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps([str(slide), str(annotation)]) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return self._ended("crash")
        if not select.select([process.stdout], [], [], SECONDS)[0]:
            return self._ended("hang")
        line = process.stdout.readline()
        return json.loads(line) if line else self._ended("crash")

    def _ended(self, how: str) -> str:
        self.close()
        return how

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def mutants(slide: Path, annotation: Path, seed: int, count: int) -> Iterator[tuple[int, str, Any]]:
    """Numbers, names and mutations; two of three are of the slide."""
    of_slide = slide_mutations(slide)
    for number in range(count):
        rng = random.Random(f"{seed}.{number}")
        table = ANNOTATION_MUTATIONS if number % 3 == 2 else of_slide
        name = rng.choice(list(table))
        kind = "annotation" if number % 3 == 2 else "slide"
        yield number, f"{kind}: {name}", (kind, table[name], rng)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slide", type=Path)
    parser.add_argument("--count", type=int, default=1000, help="number of mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--keep", type=Path, help="folder for the mutants that fail")
    arguments = parser.parse_args()
    logging.getLogger("h2g").setLevel(logging.INFO)  # shows the progress
    with tempfile.TemporaryDirectory(prefix="h2g-fuzz-") as scratch:
        return fuzz(arguments, Path(scratch))


def fuzz(arguments: argparse.Namespace, folder: Path) -> int:
    write_bundle(folder)
    annotation = folder / "good.geojson"
    write_annotation(annotation)
    contents = {"slide": arguments.slide.read_bytes(), "annotation": annotation.read_bytes()}
    suffixes = {"slide": arguments.slide.suffix, "annotation": ".geojson"}
    first = Worker(folder)
    original = first.ask(arguments.slide, annotation)
    first.close()
    if isinstance(original, str) or original["refused"] or original["no reason"]:
        raise SystemExit(f"{arguments.slide}: the original does not pass: {original}")
    print(f"original: {original['prepare']}, {original['predict']}")
    waiting = iter(mutants(arguments.slide, annotation, arguments.seed, arguments.count))
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    lock = threading.Lock()

    def work_through(advance: Callable[..., None]) -> None:
        worker = Worker(folder)
        while True:
            with lock:
                task = next(waiting, None)
            if task is None:
                break
            number, name, (kind, mutate, rng) = task
            file = folder / f"mutant_{number}{suffixes[kind]}"
            file.write_bytes(mutate(contents[kind], rng))
            pair = (file, annotation) if kind == "slide" else (arguments.slide, file)
            found = worker.ask(*pair)
            if isinstance(found, str):
                outcome = found
            else:
                outcome = judged(found, original, slide_is_intact=kind == "annotation")
            with lock:
                counts[name][outcome] += 1
                if outcome in BAD:
                    print(f"{number} ({name}): {outcome}: {_short(found)}", flush=True)
                    if arguments.keep:
                        arguments.keep.mkdir(parents=True, exist_ok=True)
                        (arguments.keep / file.name).write_bytes(file.read_bytes())
            file.unlink()
            advance()
        worker.close()

    with progress("mutants", arguments.count) as advance:
        threads = [
            threading.Thread(target=work_through, args=(advance,)) for _ in range(arguments.jobs)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return _report(counts)


def _short(found: dict[str, Any] | str) -> str:
    if isinstance(found, str):
        return ""
    return "; ".join(found["no reason"])[:300] or str(found)[:400]


def _report(counts: dict[str, collections.Counter[str]]) -> int:
    from tabulate import tabulate

    total = sum(counts.values(), collections.Counter())
    rows = [[name, *(counts[name][each] for each in OUTCOMES)] for name in sorted(counts)]
    rows.append(["all", *(total[each] for each in OUTCOMES)])
    print(tabulate(rows, headers=["mutation", *OUTCOMES], tablefmt="github"))
    return 1 if any(total[each] for each in BAD) else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(Path(sys.argv[2]))
    else:
        sys.exit(main())
