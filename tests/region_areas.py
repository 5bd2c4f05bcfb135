"""What tests of annotations share."""

import shapely

from h2g.annotations.regions import AnnotatedRegions


def area_level0(annotated: AnnotatedRegions, class_name: str) -> float:
    """Level-0 pixels covered by a class; where its regions overlap, counted once."""
    shapes = [region.geometry for region in annotated.regions if region.class_name == class_name]
    return float(shapely.union_all(shapes).area)
