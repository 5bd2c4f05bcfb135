from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from h2g.annotations.reading import read_annotations
from h2g.annotations.regions import AnnotatedRegions
from h2g.errors import AnnotationError
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame
from tests.region_areas import area_level0

POINTS = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
GEOJSON = json.dumps(
    {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [POINTS]},
        "properties": {"classification": {"name": "Tumor"}},
    }
)
COORDINATES = "".join(f'<Coordinate X="{x}" Y="{y}"/>' for x, y in POINTS)
XML = (
    f'<ASAP_Annotations><Annotation PartOfGroup="Tumor">{COORDINATES}</Annotation>'
    "</ASAP_Annotations>"
)


def read(path: Path) -> AnnotatedRegions:
    return read_annotations(path, AnnotationSettings(), Frame((40, 20), 1.0))


def write_zip(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("_DOT_", "."), text)
    return path


@pytest.mark.parametrize("text", [GEOJSON, XML], ids=["geojson", "xml"])
def test_text_is_read_whatever_it_is_packed_in(tmp_path: Path, text: str) -> None:
    suffix = ".xml" if text is XML else ".geojson"
    plain, packed = tmp_path / f"a{suffix}", tmp_path / f"a{suffix}.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    member = f"a{suffix.replace('.', '_DOT_')}"
    zipped = [
        write_zip(tmp_path / name, **{member: text, "notes_DOT_txt": "x"})
        for name in ("a.zip", f"b{suffix}.zip", f"c{suffix}")
    ]
    for path in (plain, packed, *zipped):
        assert area_level0(read(path), "tumour") == 16, path.name


def test_a_zip_without_one_annotation_file_is_refused(tmp_path: Path) -> None:
    several = write_zip(tmp_path / "a.zip", a_DOT_geojson=GEOJSON, b_DOT_geojson=GEOJSON)
    with pytest.raises(AnnotationError, match=r"holds 2 annotation files \(a.geojson, b.geojson\)"):
        read(several)
    none = write_zip(tmp_path / "b.zip", a_DOT_txt="x")
    with pytest.raises(AnnotationError, match=r"holds 0 annotation files \(none of .geojson"):
        read(none)
    damaged = tmp_path / "c.zip"
    damaged.write_bytes(b"PK\x03\x04damaged")
    with pytest.raises(AnnotationError, match="cannot be unpacked"):
        read(damaged)
