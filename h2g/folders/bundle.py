"""Bundles: folders with a card and the exported networks in one or more formats.

model.json  MODEL_CARD.md  patch.onnx  refinement.onnx  patch.xml  patch.bin  patch.int8.onnx
fast/...
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from pydantic import ValidationError, model_validator

from h2g.errors import ModelError
from h2g.files import file_sha256, write_text
from h2g.recipes.base import Frozen
from h2g.recipes.preprocessing import Preprocessing

CARD_FILE = "model.json"
CARD_VERSION = 2
Format = Literal["onnx", "openvino", "tflite", "fast"]
FilePrecision = Literal["float32", "float16", "int8"]
Compared = Literal["float32", "int8"]
# Axes of the output of a network that segments patches: patch, row, column, class.
CELL_AXES = 4
FORMATS: tuple[Format, ...] = get_args(Format)
FILE_PRECISIONS: tuple[FilePrecision, ...] = get_args(FilePrecision)


class NetworkCard(Frozen):
    """One exported network, and how it is run.

    Attributes:
        sha256: SHA-256 of its .keras file.
        inputs: shape of each input by name, with the batch axis; None is any length.
        output: shape of its output.
        many: whether it runs on many patches of a slide, not once on its low-resolution image.
        sees: its inputs and output in words.
    """

    architecture: str
    parameters: int
    sha256: str
    inputs: dict[str, tuple[int | None, ...]]
    output: tuple[int | None, ...]
    many: bool
    sees: str

    @property
    def cells(self) -> int | None:
        """Cells along a patch's side; None if the network does not segment patches."""
        return self.output[1] if self.many and len(self.output) == CELL_AXES else None


class Check(Frozen):
    """The result of reloading an export in its runtime and comparing it.

    Attributes:
        engine: engine and version, e.g. ``openvino 2026.4.1``.
        reference: engine and version it was compared with, e.g. ``keras 3.15.1``.
        pixels: source of the inputs: ``slides``, or ``noise`` if no slides were available.
        max_difference: largest absolute difference of a probability to the reference, by network.
    """

    engine: str
    reference: str
    pixels: Literal["slides", "noise"]
    max_difference: dict[str, float]


class QuantisationCost(Frozen):
    """The loss of quality by int8 on the validation slides.

    Attributes:
        calibration: number of inputs that set the ranges, by network.
        accuracy: share of labelled inputs that are classified correctly, by network; only networks
            with labelled inputs are listed.
        dice: Dice of the slides' labels, macro mean; None if the run has no validation slides.
    """

    calibration: dict[str, int]
    accuracy: dict[str, dict[Compared, float]]
    dice: dict[Compared, float] | None


class Export(Frozen):
    """One format at one precision.

    Attributes:
        networks: file that an engine opens, relative to the bundle, by network.
        files: SHA-256 of every file of this export, by its path relative to the bundle.
        opset: opset of ONNX files.
        h2g_version: version of h2g that made it.
    """

    format: Format
    precision: FilePrecision
    h2g_version: str
    networks: dict[str, str]
    files: dict[str, str]
    opset: int | None = None
    check: Check | None = None
    cost: QuantisationCost | None = None

    @model_validator(mode="after")
    def _inside_the_bundle(self) -> Export:
        # A card may come from anywhere, and the files it names are read, hashed and replaced.
        for name in (*self.networks.values(), *self.files):
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name:
                raise ValueError(f"'{name}' lies outside the bundle")
        return self


class TrainingData(Frozen):
    """Counts of the cohort that the networks learnt from; no names of slides or patients.

    Attributes:
        slides: number of slides by split.
        patients: number of patients by split; empty if the cohort table names none.
        grades: number of training slides by grade.
    """

    slides: dict[str, int]
    patients: dict[str, int]
    grades: dict[str, int]


class Card(Frozen):
    """The contents of model.json: everything that is needed to run the networks.

    Networks take RGB in 0..255 and scale it themselves (h2g.models.deployment).

    Attributes:
        networks: networks by stage name, in the order in which they run on a slide.
        preprocessing_change: differences from training that the user accepted.
        scores: macro mean Dice, recall and precision on the test split, by variant.
        author: owner of the weights; empty if unknown.
    """

    card_version: int = CARD_VERSION
    name: str
    description: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    networks: dict[str, NetworkCard]
    training: TrainingData | None = None
    scores: dict[str, dict[str, float]] = {}
    preprocessing_change: str | None = None
    author: str = ""
    licence: str = "research use only; no licence was stated for the weights"
    exports: tuple[Export, ...] = ()

    @property
    def takes_patches(self) -> bool:
        """Whether a network runs on patches."""
        return any(network.many for network in self.networks.values())

    @property
    def slide_networks(self) -> tuple[str, ...]:
        """Names of the networks that run on a slide's low-resolution image."""
        return tuple(name for name, network in self.networks.items() if not network.many)

    def find_export(self, format: Format, precision: FilePrecision = "float32") -> Export | None:
        for export in self.exports:
            if (export.format, export.precision) == (format, precision):
                return export
        return None


@dataclass(frozen=True)
class Bundle:
    """A bundle's folder and card; network files are not read."""

    path: Path
    card: Card


def is_bundle(path: Path) -> bool:
    return (path / CARD_FILE).is_file()


def open_bundle(path: Path) -> Bundle:
    """Opens the bundle in a folder; reads only the card.

    Raises:
        ModelError: the card is missing, of another version, or invalid.
    """
    file = path / CARD_FILE
    try:
        document = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ModelError(
            f"{path}: not a bundle (no {CARD_FILE}). 'h2g export' makes one."
        ) from error
    except ValueError as error:  # neither JSON nor UTF-8
        raise ModelError(f"{file}: not valid JSON ({error}). Export the run again.") from error
    _refuse_other_version(file, document)
    try:
        return Bundle(path, Card.model_validate(document))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{file}: {key}: {first['msg']}. Export the run again.") from error


def check_export(bundle: Bundle, export: Export) -> None:
    """Compares the files of an export with the card.

    Raises:
        ModelError: a file is missing or has changed, or a network's file has no sha256.
    """
    for name in export.networks.values():
        if name not in export.files:
            raise ModelError(
                f"{bundle.path / CARD_FILE}: no sha256 of {name} is listed. Export the run again."
            )
    for name, sha256 in export.files.items():
        file = bundle.path / name
        if not file.is_file():
            raise ModelError(f"{file}: this file of the bundle is missing. Export the run again.")
        if file_sha256(file) != sha256:
            raise ModelError(
                f"{file}: changed since it was exported (its sha256 is not the card's). Export the "
                "run again, or copy the bundle again."
            )


def write_card(path: Path, card: Card) -> None:
    """Writes model.json whole or not at all."""
    document = card.model_dump(mode="json")
    write_text(path / CARD_FILE, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _refuse_other_version(file: Path, document: Any) -> None:
    version = document.get("card_version") if isinstance(document, dict) else None
    if version != CARD_VERSION:
        raise ModelError(
            f"{file}: card version {version}; this h2g reads version {CARD_VERSION}. "
            "Export the run again with this h2g, or use the h2g that wrote it."
        )
