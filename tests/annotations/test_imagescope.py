from __future__ import annotations

import math
from pathlib import Path

import pytest

from h2g.annotations.reading import read_xml
from h2g.annotations.regions import AnnotatedRegions
from h2g.errors import AnnotationError
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame
from tests.region_areas import area_level0

SQUARE = ((10, 10), (30, 10), (30, 30), (10, 30))
INNER = ((15, 15), (25, 15), (25, 25), (15, 25))


def region(points: tuple[tuple[float, float], ...] = SQUARE, **attributes: object) -> str:
    vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in points)
    texts = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f"<Region{texts}><Vertices>{vertices}</Vertices></Region>"


def layer(*regions: str, name: str = "", attributes: str = "") -> str:
    return (
        f'<Annotation Id="1" Name="{name}"><Attributes>{attributes}</Attributes>'
        f"<Regions>{''.join(regions)}</Regions></Annotation>"
    )


def read(tmp_path: Path, *layers: str, **settings: object) -> AnnotatedRegions:
    path = tmp_path / "a.xml"
    path.write_text(f'<Annotations MicronsPerPixel="0.25">{"".join(layers)}</Annotations>')
    return read_xml(path, AnnotationSettings(**settings), Frame((100, 80), 0.25))


@pytest.mark.parametrize(
    "named",
    [
        layer(region(), name="Tumor"),
        layer(region(Text="Tumor"), name="Layer 1"),
        layer(region(), attributes='<Attribute Name="Tumor" Id="0" Value=""/>'),
        layer(region(), attributes='<Attribute Name="Description" Id="0" Value="Tumor"/>'),
    ],
)
def test_every_place_of_a_name(tmp_path: Path, named: str) -> None:
    assert area_level0(read(tmp_path, named), "tumour") == 400


def test_negative_regions_are_cut_out(tmp_path: Path) -> None:
    regions = (region(INNER, NegativeROA=1), region(SQUARE, NegativeROA=0))
    assert area_level0(read(tmp_path, layer(*regions, name="Tumor")), "tumour") == 300


def test_rectangles_ellipses_and_rulers(tmp_path: Path) -> None:
    corners = ((10, 10), (30, 20))
    box = read(tmp_path, layer(region(corners, Type=1), name="Tumor"))
    assert area_level0(box, "tumour") == 200
    ellipse = read(tmp_path, layer(region(corners, Type=2), name="Tumor"))
    assert area_level0(ellipse, "tumour") == pytest.approx(math.pi * 10 * 5, rel=1e-3)
    ruler = read(tmp_path, layer(region(corners, Type=4), name="Tumor"))
    assert ruler.regions == ()


def test_unnamed_layers_and_broken_vertices_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="'unclassified'"):
        read(tmp_path, layer(region()))
    assert read(tmp_path, layer(region()), ignored=("unclassified",)).regions == ()
    broken = '<Region Id="7"><Vertices><Vertex X="a" Y="1"/></Vertices></Region>'
    with pytest.raises(AnnotationError, match="region 7 has a vertex without numeric X and Y"):
        read(tmp_path, layer(broken, name="Tumor"))
