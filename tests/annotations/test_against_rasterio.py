"""Our outlines and rasters against GDAL's, on random masks and polygons."""

from pathlib import Path

import numpy as np
import pytest
import shapely
from rasterio import features

from h2g.annotations.raster import rasterise
from h2g.annotations.regions import AnnotatedRegions, Region
from h2g.annotations.tracing import trace


def corners_only(polygons: list[shapely.Polygon]) -> list[str]:
    """One text per polygon, the same for every order and start of its rings."""
    return sorted(shapely.simplify(polygon, 0).normalize().wkt for polygon in polygons)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.6, 0.8, 0.97])
@pytest.mark.parametrize("seed", range(5))
def test_outlines_are_gdals(share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(tuple(rng.integers(1, 90, 2))) < share
    ours = [shapely.Polygon(traced.shell, traced.holes) for traced in trace(mask)]
    found = features.shapes(mask.astype(np.uint8), mask=mask, connectivity=4)
    assert corners_only(ours) == corners_only([shapely.geometry.shape(g) for g, _ in found])


@pytest.mark.parametrize("seed", range(20))
def test_rasters_are_gdals(seed: int) -> None:
    # Triangles with holes that overlap each other, and no corner on a pixel's centre.
    rng = np.random.default_rng(seed)
    width, height = rng.integers(20, 200, 2).tolist()
    corners = rng.uniform(-0.2, 1.2, (6, 3, 2)) * (width, height)
    shapes = [
        triangle - shapely.affinity.scale(triangle, 0.3, 0.3)
        for triangle in map(shapely.Polygon, corners)
    ]
    drawn = AnnotatedRegions(tuple(Region(shape, "tumour") for shape in shapes), Path("a"))
    labels = rasterise(
        drawn,
        ("background", "tumour"),
        field_level0=(width, height),
        size_px=(width, height),
    )
    expected = features.rasterize(shapes, out_shape=(height, width), dtype=np.uint8)
    np.testing.assert_array_equal(labels, expected)
