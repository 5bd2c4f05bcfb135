from pathlib import Path

import pytest
import shapely

from h2g.annotations.reading import read_xml
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
    return read_xml(
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
        ("<Other/>", "begins with <Other>"),
        (
            '<ASAP_Annotations><Annotation Name="x"><Coordinate Order="0" X="a" Y="1"/>'
            "</Annotation></ASAP_Annotations>",
            "'x' has a point whose Order, X or Y is missing or not a number",
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
        read_xml(path, AnnotationSettings(), Frame((9, 9), 1.0))


def test_numbers_of_other_locales_and_points_without_order(tmp_path: Path) -> None:
    corners = [(0.5, 0.5), (10.5, 0.5), (10.5, 10.5), (0.5, 10.5)]
    with_commas = "".join(
        f'<Coordinate Order="{n}" X="{x:.4f}" Y="{y:.4f}"/>'.replace(".", ",")
        for n, (x, y) in enumerate(corners)
    )
    without_order = "".join(f'<Coordinate X="{x}" Y="{y}"/>' for x, y in corners)
    for coordinates in (with_commas, without_order):
        path = tmp_path / "a.xml"
        path.write_text(
            f'<ASAP_Annotations><Annotation PartOfGroup="Tumor">{coordinates}</Annotation>'
            "</ASAP_Annotations>"
        )
        found = read_xml(path, AnnotationSettings(), Frame((100, 100), 1.0))
        assert found.regions[0].geometry.bounds == (0.5, 0.5, 10.5, 10.5)
        assert area_level0(found, "tumour") == 100


def test_a_name_for_background_is_cut_out_of_what_was_drawn_before(tmp_path: Path) -> None:
    settings = AnnotationSettings(background=("normal",))
    inside = (annotation("Tumor"), annotation("normal", INNER))
    assert area_level0(read(tmp_path, *inside, settings=settings), "tumour") == 300
    # Tumour that is drawn over normal tissue stays.
    over = (annotation("normal", INNER), annotation("Tumor"))
    assert area_level0(read(tmp_path, *over, settings=settings), "tumour") == 400
