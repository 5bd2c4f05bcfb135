import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from h2g.annotations.reading import READERS, read_annotations
from h2g.annotations.regions import AnnotatedRegions
from h2g.errors import AnnotationError
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame
from tests.region_areas import area_level0


def read(path: Path) -> AnnotatedRegions:
    return read_annotations(path, AnnotationSettings(), Frame((40, 20), 1.0))


def test_the_suffix_picks_the_reader(tmp_path: Path) -> None:
    points = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [points]},
        "properties": {"classification": {"name": "Tumor"}},
    }
    (tmp_path / "a.b.GeoJSON").write_text(json.dumps(feature))
    coordinates = "".join(
        f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate(points)
    )
    (tmp_path / "a.xml").write_text(
        f'<ASAP_Annotations><Annotation PartOfGroup="Tumor">{coordinates}</Annotation>'
        "</ASAP_Annotations>"
    )
    mask = np.zeros((20, 40), dtype=np.uint8)
    mask[:4, :4] = 255
    Image.fromarray(mask).save(tmp_path / "a.png")
    for name in ("a.b.GeoJSON", "a.xml", "a.png"):
        found = read(tmp_path / name)
        assert area_level0(found, "tumour") == 16, name
        assert found.source == tmp_path / name


def test_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    for name in ("a.qpdata", "a"):
        (tmp_path / name).write_text("x")
        with pytest.raises(AnnotationError, match="not a known annotation file") as failure:
            read(tmp_path / name)
        assert all(suffix in str(failure.value) for suffix in READERS)
    (tmp_path / "a.jpg").write_text("x")
    with pytest.raises(AnnotationError, match="JPEG changes labels"):
        read(tmp_path / "a.jpg")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="does not exist"):
        read(tmp_path / "a.xml")
