"""Converts the named outlines of a file to valid regions of the recipe's classes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import shapely
from shapely import affinity

from h2g.annotations.regions import AnnotatedRegions, Region, areas, cut_out
from h2g.errors import AnnotationError
from h2g.recipes.annotation import BACKGROUND, REGION, AnnotationSettings
from h2g.texts import same_text, set_option

logger = logging.getLogger(__name__)

# Name of outlines without a class, by which a recipe can map or ignore them.
UNCLASSIFIED = "unclassified"


@dataclass(frozen=True)
class Outline:
    """One object of an annotation file.

    Attributes:
        names: names of its class, most specific first, e.g. ("Tumor: Positive", "Tumor").
        geometry: the shapely geometry in the file; None if the object has none.
    """

    names: tuple[str, ...]
    geometry: shapely.Geometry | None


def polygon(shell: Sequence, holes: Sequence = ()) -> shapely.Polygon | None:
    """A polygon from rings of (x, y) points; None if the shell has fewer than three."""
    if len(shell) < 3:
        return None
    return shapely.Polygon(shell, [hole for hole in holes if len(hole) >= 3])


def number(text: str) -> float:
    """A number as programs write it, with a decimal point or, by some locales, a comma."""
    return float(text.replace(",", "."))


def regions_of(
    outlines: Sequence[Outline],
    settings: AnnotationSettings,
    *,
    source: Path,
    field_level0: tuple[int, int],
    shift_level0: tuple[float, float] = (0, 0),
) -> AnnotatedRegions:
    """The outlines of the recipe's classes, repaired, shifted and cut to the slide's field.

    Outlines that mean background are cut out of the outlines before them. The union of those that
    enclose the annotated part is ``within``; a file without any is annotated throughout.

    Args:
        shift_level0: position of the file's (0, 0) on the slide, added to every point.
    Raises:
        AnnotationError: a name is unknown to the recipe, or no outline lies on the slide.
    """
    mapped, ignored = _mapped(outlines, settings, source)
    repaired = sum(not outline.geometry.is_valid for outline, _ in mapped if outline.geometry)
    regions: list[Region] = []
    annotated_parts: list[shapely.Geometry] = []
    empty = 0
    for outline, class_name in mapped:
        area = areas(outline.geometry)
        if area.is_empty:
            empty += 1
        elif class_name == REGION:
            annotated_parts.append(affinity.translate(area, *shift_level0))
        elif class_name == BACKGROUND:
            regions = cut_out(regions, affinity.translate(area, *shift_level0))
        else:
            regions.append(Region(affinity.translate(area, *shift_level0), class_name))
    if repaired:
        logger.warning("%s: %d self-crossing outlines were repaired.", source.name, repaired)
    if empty:
        logger.warning("%s: %d objects without area were left out.", source.name, empty)
    _tell_of_ignored(ignored, regions, source, shift_level0)
    within = areas(shapely.union_all(annotated_parts)) if annotated_parts else None
    if settings.region and within is None:
        logger.warning(
            "%s: no outline is named %s, so the whole slide counts as annotated.",
            source.name,
            " or ".join(settings.region),
        )
    return AnnotatedRegions(_on_slide(regions, field_level0, source), source, within)


def _tell_of_ignored(
    ignored: Sequence[Outline],
    regions: Sequence[Region],
    source: Path,
    shift_level0: tuple[float, float],
) -> None:
    """Counts the ignored outlines, and warns of those that lie inside a region of a class."""
    if not ignored:
        return
    counts = Counter(outline.names[0] for outline in ignored)
    logger.info("%s: ignored outlines: %s.", source.name, _counted(counts))
    tree = shapely.STRtree([region.geometry for region in regions])
    inside = Counter[str]()
    for outline in ignored:
        area = affinity.translate(areas(outline.geometry), *shift_level0)
        over = [regions[number].geometry for number in tree.query(area, predicate="intersects")]
        if over and shapely.union_all(over).intersection(area).area > area.area / 2:
            inside[outline.names[0]] += 1
    if inside:
        logger.warning(
            "%s: ignored outlines lie inside outlines of a class, which keep that area: %s. If "
            "they mean that it is not of the class, list them under annotation.background.",
            source.name,
            _counted(inside),
        )


def _mapped(
    outlines: Sequence[Outline], settings: AnnotationSettings, source: Path
) -> tuple[list[tuple[Outline, str]], list[Outline]]:
    """The outlines that belong to a class of the recipe, each with that class; the ignored ones."""
    ignored = {same_text(name) for name in settings.ignored}
    known = settings.class_of_name
    mapped, passed_over, unknown = [], [], Counter[str]()
    for outline in outlines:
        keys = [same_text(name) for name in outline.names]
        key = next((key for key in keys if key in known or key in ignored), None)
        if key in known:
            mapped.append((outline, known[key]))
        elif key is None and settings.unlisted == "region":
            mapped.append((outline, REGION))
        else:
            passed_over.append(outline)
            if key is None:
                unknown[outline.names[0]] += 1
    if unknown and settings.unlisted == "error":
        raise AnnotationError(_unknown_names(unknown, settings, source))
    return mapped, passed_over


def _unknown_names(unknown: Counter[str], settings: AnnotationSettings, source: Path) -> str:
    first_class, first_names = next(iter(settings.classes.items()))
    added = [*first_names, min(unknown)]
    # A key of --set ends at a dot and at an equals sign.
    if set(".=") & {*first_class}:
        to_class = set_option("annotation.classes", {**settings.classes, first_class: added})
    else:
        to_class = set_option(f"annotation.classes.{first_class}", added)
    to_ignored = set_option("annotation.ignored", [*settings.ignored, *sorted(unknown)])
    regions = [name for name in sorted(unknown) if same_text(name).startswith(("region", "roi"))]
    to_region = set_option("annotation.region", [*settings.region, *regions])
    hint = f" If the slide is annotated inside some outlines alone: {to_region}." if regions else ""
    return (
        f"{source}: the recipe has no class for the names {_counted(unknown)} (object counts in "
        f"brackets). List each under annotation.classes ({to_class}) or under annotation.ignored "
        f"({to_ignored}), or ignore all such names with --set annotation.unlisted=ignore."
        f"{hint}"
    )


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"'{name}' ({count})" for name, count in sorted(counts.items()))


def _on_slide(
    regions: list[Region], field_level0: tuple[int, int], source: Path
) -> tuple[Region, ...]:
    """The regions cut to the slide, so that no area outside it is counted or drawn."""
    field = shapely.box(0, 0, *field_level0)
    shapely.prepare(field)
    inside = []
    for region in regions:
        if field.covers(region.geometry):
            inside.append(region)
        elif not (part := areas(field.intersection(region.geometry))).is_empty:
            inside.append(Region(part, region.class_name))
    if regions and not inside:
        raise AnnotationError(
            f"{source}: every outline lies outside the slide's {field_level0[0]} x "
            f"{field_level0[1]} pixels. Check that it is of this slide and in pixels, not um."
        )
    if len(inside) < len(regions):
        logger.warning(
            "%s: %d outlines lie outside the slide.", source.name, len(regions) - len(inside)
        )
    return tuple(inside)
