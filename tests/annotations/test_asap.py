from pathlib import Path

import pytest
import shapely

from h2g.annotations.asap import read_asap
from h2g.annotations.regions import AnnotatedRegions
from h2g.errors import AnnotationError
from h2g.recipes.annotation import AnnotationSettings
from h2g.slides.frame import Frame
from tests.region_areas import area_level0

SQUARE = ((10, 10), (30, 10), (30, 30), (10, 30))  # area 400
INNER = ((15, 15), (25, 15), (25, 25), (15, 25))  # area 100


def annotation(group: str, points: tuple = SQUARE, kind: str = "Polygon") -> str:
    # Written last point first: Order says how they follow.
    coordinates = "".join(
        f'<Coordinate Order="{order}" X="{x}" Y="{y}"/>'
        for order, (x, y) in reversed(list(enumerate(points)))
    )
    return (
        f'<Annotation Name="a" Type="{kind}" PartOfGroup="{group}" Color="#F4FA58">'
        f"<Coordinates>{coordinates}</Coordinates></Annotation>"
    )


def read(
    tmp_path: Path, *annotations: str, groups: str = "", settings: AnnotationSettings | None = None
) -> AnnotatedRegions:
    path = tmp_path / "slide.xml"
    path.write_text(
        '<?xml version="1.0"?>\n<ASAP_Annotations>'
        f"<Annotations>{''.join(annotations)}</Annotations>"
        f"<AnnotationGroups>{groups}</AnnotationGroups></ASAP_Annotations>"
    )
    return read_asap(
        path,
        settings or AnnotationSettings(),
        Frame((1000, 800), 1.0, (300, 200, 100, 100)),
    )


def test_points_in_their_order_in_the_whole_field_s_frame(tmp_path: Path) -> None:
    found = read(tmp_path, annotation("Tumor"))
    assert found.regions[0].class_name == "tumour"
    assert found.regions[0].geometry.equals(shapely.Polygon(SQUARE))


def test_a_group_within_a_group(tmp_path: Path) -> None:
    groups = '<Group Name="lobular" PartOfGroup="Tumor"/><Group Name="Tumor" PartOfGroup="None"/>'
    assert area_level0(read(tmp_path, annotation("lobular"), groups=groups), "tumour") == 400


@pytest.mark.parametrize("name", ["Exclusion", "_2"])
def test_exclusions_are_holes(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, annotation(name, INNER), annotation("Tumor"))
    assert area_level0(found, "tumour") == 300


def test_groups_within_an_exclusion_are_holes_too(tmp_path: Path) -> None:
    groups = '<Group Name="vessel" PartOfGroup="exclusion"/>'
    found = read(tmp_path, annotation("vessel", INNER), annotation("Tumor"), groups=groups)
    assert area_level0(found, "tumour") == 300


def test_a_listed_exclusion_group_is_what_the_recipe_says(tmp_path: Path) -> None:
    drawn = (annotation("_2", INNER), annotation("Tumor"))
    ignoring = AnnotationSettings(ignored=("_2",))
    assert area_level0(read(tmp_path, *drawn, settings=ignoring), "tumour") == 400
    mapping = AnnotationSettings(classes={"tumour": ("tumor",), "normal": ("_2",)})
    assert area_level0(read(tmp_path, *drawn, settings=mapping), "normal") == 100


def test_dots_have_no_area_and_splines_are_polygons(tmp_path: Path) -> None:
    found = read(
        tmp_path, annotation("Tumor", ((1, 1),), "Dot"), annotation("Tumor", SQUARE, "Spline")
    )
    assert area_level0(found, "tumour") == 400


def test_no_group_is_unclassified(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="'unclassified'"):
        read(tmp_path, annotation("None"))


def test_nothing_annotated_is_valid(tmp_path: Path) -> None:
    assert read(tmp_path).regions == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<unclosed", "not XML"),
        ("<Annotations/>", "begins with <Annotations>"),
        (
            '<ASAP_Annotations><Annotation Name="x"><Coordinate Order="0" X="a" Y="1"/>'
            "</Annotation></ASAP_Annotations>",
            "'x' has a point without numeric Order, X and Y",
        ),
        (
            '<ASAP_Annotations><Annotation Name="x"><Coordinate Order="0" X="inf" Y="1"/>'
            "</Annotation></ASAP_Annotations>",
            "not a finite number",
        ),
    ],
)
def test_bad_files_are_sentences(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "bad.xml"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=sentence):
        read_asap(path, AnnotationSettings(), Frame((9, 9), 1.0))
