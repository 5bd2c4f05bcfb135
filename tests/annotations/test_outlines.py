import json
import logging
import math
import re
import shlex
from pathlib import Path

import pytest
import shapely

from h2g.annotations.outlines import UNCLASSIFIED, Outline, polygon, regions_of
from h2g.annotations.regions import areas
from h2g.errors import AnnotationError
from h2g.recipes.annotation import AnnotationSettings
from h2g.recipes.reading import load_recipe
from tests.region_areas import area_level0

SQUARE = shapely.box(0, 0, 10, 10)
SETTINGS = AnnotationSettings(
    classes={"tumour": ("Tumor", "carcinoma"), "stroma": ("Stroma",)}, ignored=("Artefact",)
)


def names_of(*outlines: Outline, settings: AnnotationSettings = SETTINGS) -> list[str]:
    found = regions_of(outlines, settings, source=Path("a.json"), field_level0=(100, 100))
    return [region.class_name for region in found.regions]


def test_names_are_compared_without_case_and_a_class_has_its_own_name() -> None:
    outlines = [Outline((name,), SQUARE) for name in ("TUMOR", "Carcinoma", "Tumour", " stroma ")]
    assert names_of(*outlines) == ["tumour", "tumour", "tumour", "stroma"]


def test_the_most_specific_known_name_counts() -> None:
    assert names_of(Outline(("Tumor: Positive", "Tumor"), SQUARE)) == ["tumour"]
    settings = AnnotationSettings(classes={"tumour": ("tumor",)}, ignored=("tumor: unsure",))
    assert names_of(Outline(("Tumor: unsure", "Tumor"), SQUARE), settings=settings) == []


def test_ignored_names_are_skipped() -> None:
    assert names_of(Outline(("ARTEFACT",), SQUARE)) == []


def test_unknown_names_stop_and_are_listed_with_how_to_map_them() -> None:
    outlines = [Outline((name,), SQUARE) for name in ("Tumor", "Vessel", "Vessel", UNCLASSIFIED)]
    with pytest.raises(AnnotationError) as failure:
        names_of(*outlines)
    sentence = str(failure.value)
    assert "'Vessel' (2)" in sentence
    assert "'unclassified' (1)" in sentence
    assert """--set 'annotation.classes.tumour=["Tumor", "carcinoma", "Vessel"]'""" in sentence
    assert """--set 'annotation.ignored=["Artefact", "Vessel", "unclassified"]'""" in sentence
    assert "annotation.unlisted=ignore" in sentence


@pytest.mark.parametrize("name", ["In situ: Tumor", "1", "No", "Crohn's area", "Region (2)", "#;"])
@pytest.mark.parametrize("class_name", ["tumour", "pT1.b", "a=b", "Crohn's"])
def test_the_offered_settings_can_be_pasted(name: str, class_name: str) -> None:
    settings = AnnotationSettings(classes={class_name: ("Tumor",), "stroma": ()})
    annotation = json.dumps(settings.model_dump())
    with pytest.raises(AnnotationError) as failure:
        names_of(Outline((name,), SQUARE), settings=settings)
    offered = re.search(
        r"classes \((--set .*)\) or under .* \((--set .*)\), or", str(failure.value)
    )
    assert offered is not None
    for command, found in zip(offered.groups(), ([class_name], []), strict=True):
        option, override = shlex.split(command)
        assert option == "--set"
        changed = load_recipe("demo", (f"annotation={annotation}", override)).annotation
        assert names_of(Outline((name,), SQUARE), settings=changed) == found
        assert tuple(changed.classes) == (class_name, "stroma")


def test_unknown_names_can_be_ignored() -> None:
    settings = AnnotationSettings(unlisted="ignore")
    assert names_of(Outline(("Vessel",), SQUARE), settings=settings) == []


def test_objects_without_a_class_can_be_mapped() -> None:
    settings = AnnotationSettings(classes={"tumour": ("unclassified",)})
    assert names_of(Outline((UNCLASSIFIED,), SQUARE), settings=settings) == ["tumour"]


def test_an_eight_keeps_both_halves(caplog: pytest.LogCaptureFixture) -> None:
    # Two triangles of base 10 and height 5: 25 each.
    eight = polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    with caplog.at_level(logging.WARNING):
        found = regions_of(
            [Outline(("tumor",), eight)], SETTINGS, source=Path("a.json"), field_level0=(100, 100)
        )
    assert area_level0(found, "tumour") == pytest.approx(50)
    assert "a.json: 1 self-crossing outlines were repaired" in caplog.text


def test_a_loop_that_crosses_itself_keeps_its_middle() -> None:
    # A star drawn in one line: five triangles around a pentagon, all of it inside.
    tips = [(math.sin(0.8 * math.pi * k), math.cos(0.8 * math.pi * k)) for k in range(5)]
    repaired = areas(shapely.Polygon(tips))
    assert repaired.is_valid
    assert repaired.contains(shapely.Point(0, 0))


def test_overlapping_parts_of_a_multipolygon_count_once() -> None:
    # 4 + 4 - 1.
    both = shapely.MultiPolygon([shapely.box(0, 0, 2, 2), shapely.box(1, 1, 3, 3)])
    assert areas(both).area == pytest.approx(7)


def test_what_has_no_area_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    flat = polygon([(0, 0), (5, 5), (9, 9)])
    outlines = [Outline(("tumor",), shape) for shape in (None, flat, shapely.Polygon(), SQUARE)]
    with caplog.at_level(logging.WARNING):
        assert names_of(*outlines) == ["tumour"]
    assert "3 objects without area" in caplog.text
    assert polygon([(0, 0), (1, 1)]) is None


def test_a_shift_is_added_and_the_slide_s_edge_cuts() -> None:
    found = regions_of(
        [Outline(("tumor",), SQUARE)],
        SETTINGS,
        source=Path("a.json"),
        field_level0=(100, 100),
        shift_level0=(95, 20),
    )
    # 10 wide from x = 95 on, but the slide ends at 100.
    assert found.regions[0].geometry.equals(shapely.box(95, 20, 100, 30))


def test_all_outside_is_refused_some_outside_is_said(caplog: pytest.LogCaptureFixture) -> None:
    far = Outline(("tumor",), shapely.box(500, 500, 600, 600))
    with pytest.raises(AnnotationError, match=r"outside the slide's 100 x 100 pixels"):
        names_of(far)
    with caplog.at_level(logging.WARNING):
        assert names_of(far, Outline(("tumor",), SQUARE)) == ["tumour"]
    assert "1 outlines lie outside" in caplog.text


def test_the_annotated_part_is_the_union_of_the_region_outlines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = SETTINGS.model_copy(update={"region": ("Region*", "ROI")})
    outlines = [
        Outline(("Tumor",), SQUARE),
        Outline(("region*",), shapely.box(0, 0, 20, 30)),
        Outline(("ROI",), shapely.box(10, 0, 40, 30)),
    ]
    found = regions_of(
        outlines, settings, source=Path("a"), field_level0=(100, 100), shift_level0=(5, 0)
    )
    assert [region.class_name for region in found.regions] == ["tumour"]
    assert found.within is not None
    assert found.within.equals(shapely.box(5, 0, 45, 30))
    assert not caplog.text
    whole = regions_of(outlines[:1], settings, source=Path("a"), field_level0=(100, 100))
    assert whole.within is None
    assert "no outline is named Region* or ROI, so the whole slide" in caplog.text


def test_an_unlisted_region_is_offered_as_the_annotated_part() -> None:
    with pytest.raises(AnnotationError, match=r"annotation.region=\[\"Region\*\"\]"):
        names_of(Outline(("Region*",), SQUARE))


def test_ignored_outlines_are_counted_and_those_inside_a_class_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="h2g")
    beside = Outline(("Artefact",), shapely.box(8, 0, 30, 10))
    names_of(Outline(("Tumor",), SQUARE), beside, beside)
    assert "ignored outlines: 'Artefact' (2)." in caplog.text
    assert "inside outlines of a class" not in caplog.text
    hole = Outline(("Artefact",), shapely.box(2, 2, 5, 5))
    names_of(Outline(("Tumor",), SQUARE), hole, beside)
    assert "which keep that area: 'Artefact' (1). If they mean" in caplog.text
