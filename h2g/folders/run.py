"""Run folders: paths, finished stages, and the rule that each has a single recipe.

recipe.yaml  cohort.csv  run.json  index/<slide>.parquet  tissue/<slide>.png
patch/{model.keras,history.csv,...}  patch/folds/<fold>/  heatmaps/<slide>.tiff
refinement/{model.keras,history.csv,...}  evaluation/
"""

from __future__ import annotations

import contextlib
import json
import logging
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from h2g.errors import RunError
from h2g.files import absolute, write_text
from h2g.folders.cohort import Cohort, CohortSlide, Split, read_cohort, write_cohort
from h2g.hardware import package_version
from h2g.recipes.reading import dump_recipe, setting_differences, validate_recipe
from h2g.recipes.recipe import Recipe
from h2g.texts import first_few, shell_command

logger = logging.getLogger(__name__)

RECIPE_FILE = "recipe.yaml"
EVALUATION = "evaluation"
VERSIONED = ("h2g", "tensorflow", "keras", "openvino", "onnxruntime", "openslide-python", "numpy")


@dataclass(frozen=True)
class Run:
    """A run folder with its recipe and cohort; everything else is read on demand."""

    path: Path
    recipe: Recipe
    cohort: Cohort

    @property
    def recipe_file(self) -> Path:
        return self.path / RECIPE_FILE

    def evaluation_folder(self, split: Split) -> Path:
        return evaluation_folder(self.path, split)

    @property
    def smoothing_file(self) -> Path:
        return self.path / EVALUATION / "smoothing.json"

    def index_file(self, name: str) -> Path:
        return self.path / "index" / f"{name}.parquet"

    def tissue_file(self, name: str) -> Path:
        return self.path / "tissue" / f"{name}.png"

    def heatmap_file(self, name: str) -> Path:
        return self.path / "heatmaps" / f"{name}.tiff"

    def stage_folder(self, stage: str) -> Path:
        return self.path / stage

    def model_file(self, stage: str) -> Path:
        """File of the network of a stage, by the stage's folder."""
        return self.path / stage / "model.keras"

    def trained_models(self, stages: Iterable[str]) -> dict[str, Path]:
        """Model files by stage; RunError if one is not trained yet."""
        files = {stage: self.model_file(stage) for stage in stages}
        missing = [stage for stage, file in files.items() if not file.is_file()]
        if missing:
            train = shell_command(
                *("h2g", "train", self.path / "cohort.csv"),
                *("--recipe", self.recipe_file, "--out", self.path),
            )
            raise RunError(
                f"{self.path}: the {' and '.join(missing)} network is not trained yet. Train it "
                f"first: {train}"
            )
        return files

    def is_done(self, stage: str) -> bool:
        return bool(self._record().get("stages", {}).get(stage, {}).get("done"))

    def seconds(self) -> dict[str, float]:
        """Seconds spent per stage, summed over all attempts."""
        stages = self._record().get("stages", {})
        return {name: float(stage["seconds"]) for name, stage in stages.items()}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Records a stage's time in run.json, and marks it as done if the block succeeds."""
        start, succeeded = time.perf_counter(), False
        try:
            yield
            succeeded = True
        finally:
            record = self._record()
            stage = record.setdefault("stages", {}).setdefault(name, {"seconds": 0.0})
            stage["seconds"] = round(stage["seconds"] + time.perf_counter() - start, 2)
            stage["done"] = succeeded
            with contextlib.suppress(OSError) if not succeeded else contextlib.nullcontext():
                write_text(self.path / "run.json", json.dumps(record, indent=2) + "\n")

    def bytes_of_files(self) -> dict[str, list[int]]:
        """Bytes of each slide's file and annotation when the run was started."""
        return self._record().get("bytes", {})

    def _record(self) -> dict[str, Any]:
        try:
            return json.loads((self.path / "run.json").read_text("utf-8"))
        except OSError:
            return {}
        except json.JSONDecodeError as error:
            raise RunError(
                f"{self.path / 'run.json'}: not valid JSON ({error}). Restore it, or give another "
                "--out."
            ) from error


def evaluation_folder(run: Path, split: Split) -> Path:
    """The folder of a run with its scores on a split."""
    return run / EVALUATION / split


def start_run(path: Path, cohort: Cohort, recipe: Recipe) -> Run:
    """Creates a run folder, or opens the existing one with the same recipe and cohort.

    A cohort whose files have moved is the same: its slides keep their names, splits, grades and
    sizes in bytes. The run then takes the new paths.

    Raises:
        RunError: the folder holds a run with another recipe or other slides.
    """
    if (path / RECIPE_FILE).exists():
        run = open_run(path, slides_must_exist=False)
        _refuse_other_recipe(run, recipe)
        _refuse_other_cohort(run, cohort)
        return _at_new_paths(run, cohort)
    path.mkdir(parents=True, exist_ok=True)
    write_cohort(cohort, path / "cohort.csv")
    bytes_of = {slide.name: _bytes_of(slide) for slide in cohort.slides}
    record = {**provenance(), "seed": recipe.seed, "bytes": bytes_of, "stages": {}}
    write_text(path / "run.json", json.dumps(record, indent=2) + "\n")
    # Written last, so a folder with a recipe is complete.
    write_text(path / RECIPE_FILE, dump_recipe(recipe))
    return open_run(path)


def open_run(path: Path, *, slides_must_exist: bool = True, data_root: Path | None = None) -> Run:
    """Opens the run in a folder.

    Args:
        slides_must_exist: whether the cohort's slides must exist; its networks do not need them.
        data_root: the folder where slides and annotations that have moved lie now; the run keeps
            their new paths.
    Raises:
        RunError: the folder is no run folder.
    """
    file = path / RECIPE_FILE
    try:
        document = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise RunError(
            f"{path}: not a run folder (no recipe.yaml). 'h2g train' and 'h2g prepare' make one."
        ) from error
    except yaml.YAMLError as error:
        raise RunError(
            f"{file}: not valid YAML ({error}). Restore it, or give another --out."
        ) from error
    recipe = validate_recipe(document, source=str(file))
    table = path / "cohort.csv"
    if data_root is None:
        return Run(path, recipe, read_cohort(table, files_must_exist=slides_must_exist))
    run = Run(path, recipe, read_cohort(table, files_must_exist=False))
    cohort = read_cohort(table, data_root=data_root)
    _refuse_other_cohort(run, cohort)
    return _at_new_paths(run, cohort)


def is_run(path: Path) -> bool:
    return (path / RECIPE_FILE).is_file()


def provenance() -> dict[str, Any]:
    """The command, its start, and the versions of Python and of packages."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": sys.version.split()[0],
        "versions": {name: version for name in VERSIONED if (version := package_version(name))},
    }


def _refuse_other_recipe(run: Run, recipe: Recipe) -> None:
    differences = setting_differences(
        run.recipe.model_dump(mode="json"), recipe.model_dump(mode="json")
    )
    if differences:
        texts = [f"{key} was {old!r} and is {new!r} now" for key, old, new in differences[:5]]
        raise RunError(
            f"{run.path}: this run has another recipe ({'; '.join(texts)}). "
            "Give another --out, or the recipe it was started with."
        )


def _refuse_other_cohort(run: Run, cohort: Cohort) -> None:
    own, given = ({slide.name: slide for slide in each.slides} for each in (run.cohort, cohort))
    bytes_of = run.bytes_of_files()
    changed = sorted(
        own.keys() ^ given.keys()
        | {name for name in own.keys() & given.keys() if _differ(own[name], given[name], bytes_of)}
    )
    if changed:
        raise RunError(
            f"{run.path}: this run has another cohort (slides that differ: "
            f"{first_few(changed)}). Give another --out, or the cohort it was started with."
        )


def _differ(own: CohortSlide, given: CohortSlide, bytes_of: Mapping[str, list[int]]) -> bool:
    if (own.split, own.grade, own.mpp) != (given.split, given.grade, given.mpp):
        return True
    if _paths(own) == _paths(given):
        return False
    return own.name in bytes_of and bytes_of[own.name] != _bytes_of(given)


def _paths(slide: CohortSlide) -> tuple[Path, Path]:
    return absolute(slide.slide), absolute(slide.annotation)


def _bytes_of(slide: CohortSlide) -> list[int]:
    """Sizes of the slide's file and of its annotation's."""
    return [slide.slide.stat().st_size, slide.annotation.stat().st_size]


def _at_new_paths(run: Run, cohort: Cohort) -> Run:
    """The run with the cohort's paths, written to its own table if they are others."""
    if [_paths(slide) for slide in run.cohort.slides] == [_paths(s) for s in cohort.slides]:
        return run
    write_cohort(cohort, run.path / "cohort.csv")
    logger.info("%s: takes the new paths of its slides and annotations.", run.path)
    return open_run(run.path)
