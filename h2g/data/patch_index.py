"""The patch index of one slide: positions and labels of patches, kept as a parquet file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from h2g.errors import RunError
from h2g.files import replacing
from h2g.slides.patches import plan_of
from h2g.slides.reading import PatchPlan

METADATA_KEY = b"h2g.patches"
TYPES = {
    "x_level0": "int64",
    "y_level0": "int64",
    "row": "int32",
    "col": "int32",
    "tissue": "float32",
    "label": "int8",
}


@dataclass(frozen=True)
class PatchIndex:
    """The patches of a slide that are kept for training.

    Attributes:
        name: the slide's name.
        table: one row per patch: ``x_level0, y_level0`` (its corner), ``row, col`` (its cell),
            ``tissue`` (share) and ``label`` (0 is background).
        plan: the grid of cells and the way to read their patches.
        class_names: background first.
    """

    name: str
    table: pd.DataFrame
    plan: PatchPlan
    class_names: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Number of patches per class."""
        labels = self.table["label"]
        return {name: int((labels == label).sum()) for label, name in enumerate(self.class_names)}


def write_patch_index(index: PatchIndex, path: Path) -> None:
    about = {
        "name": index.name,
        "class_names": index.class_names,
        "kind": type(index.plan).__name__,
        "plan": asdict(index.plan),
    }
    table = pa.Table.from_pandas(index.table.astype(TYPES), preserve_index=False)
    metadata = {**(table.schema.metadata or {}), METADATA_KEY: json.dumps(about).encode()}
    with replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary)


def read_patch_index(path: Path) -> PatchIndex:
    """The index that :func:`write_patch_index` wrote.

    Raises:
        RunError: the file is missing, or is not a patch index.
    """
    if not path.is_file():
        raise RunError(f"{path}: the patch index is missing. Run 'h2g prepare' to make it.")
    try:
        table = pq.read_table(path)
        about = json.loads(table.schema.metadata[METADATA_KEY])
        plan = plan_of(about["kind"], about["plan"])
        frame = table.to_pandas()[list(TYPES)].astype(TYPES)
        return PatchIndex(about["name"], frame, plan, tuple(about["class_names"]))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{path}: not a patch index that h2g wrote, or damaged ({error}). Delete it and run "
            "'h2g prepare' again."
        ) from error
