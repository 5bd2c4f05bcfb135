"""Descriptions of the clusters: a table of their patches, a summary, and images."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from h2g.clustering.features import FeatureTable
from h2g.clustering.fit import FittedClusters
from h2g.data.sampler import SlidePatches
from h2g.errors import SlideError
from h2g.reporting.clusters import (
    ContactRow,
    draw_contact_sheet,
    draw_projection,
    draw_slide_shares,
)
from h2g.slides.reading import SlidePool

NEAREST = 10  # patches per cluster on the contact sheet


def cluster_table(
    drawn: FeatureTable, fitted: FittedClusters, slides: Sequence[SlidePatches]
) -> pd.DataFrame:
    """One row per drawn patch: slide, x_level0, y_level0, label, cluster, distance, components.

    The distance is to the cluster's centre, in standardised features. ``component_0`` and
    ``component_1`` are the first two components; the second is 0 if there is only one.
    """
    components = fitted.project(drawn.features)
    pairs = list(zip(drawn.slides.tolist(), drawn.patches.tolist(), strict=True))
    corners = np.array([slides[slide].xy_level0[patch] for slide, patch in pairs])
    return pd.DataFrame(
        {
            "slide": [slides[slide].name for slide, _ in pairs],
            "x_level0": corners[:, 0],
            "y_level0": corners[:, 1],
            "label": drawn.labels,
            "cluster": fitted.assign(drawn.features),
            "distance": fitted.distances(drawn.features).min(axis=1),
            "component_0": components[:, 0],
            "component_1": components[:, 1] if components.shape[1] > 1 else 0.0,
        }
    )


def describe_clusters(
    patches: pd.DataFrame, fitted: FittedClusters, class_names: Sequence[str]
) -> dict[str, Any]:
    """A summary: numbers of features, components and patches, and one row per cluster.

    ``variance`` lists each component's share of the variance. A cluster's row has its number of
    patches, their share of all patches, its number of slides, and the share of each class.
    """
    rows = []
    for number in range(len(fitted.kmeans.cluster_centers_)):
        members = patches[patches["cluster"] == number]
        labels = members["label"].value_counts(normalize=True)
        rows.append(
            {
                "cluster": number,
                "patches": len(members),
                "share": len(members) / len(patches),
                "slides": int(members["slide"].nunique()),
                "classes": {
                    name: float(labels.get(label, 0.0)) for label, name in enumerate(class_names)
                },
            }
        )
    return {
        "features": int(fitted.scaler.n_features_in_),
        "components": len(fitted.pca.components_),
        "variance": [float(share) for share in fitted.pca.explained_variance_ratio_],
        "patches": len(patches),
        "clusters": rows,
    }


def draw_pictures(
    folder: Path,
    patches: pd.DataFrame,
    document: dict[str, Any],
    slides: Sequence[SlidePatches],
    class_names: Sequence[str],
) -> None:
    """Writes contact_sheet.png, projection.png and slides.png.

    Args:
        patches: table of :func:`cluster_table`.
        document: summary of :func:`describe_clusters`.
    """
    with contextlib.closing(SlidePool()) as pool:
        rows = [
            ContactRow(_title(row), _nearest(patches, row["cluster"], slides, pool))
            for row in document["clusters"]
        ]
    draw_contact_sheet(folder / "contact_sheet.png", rows)
    draw_projection(
        folder / "projection.png",
        patches,
        class_names=class_names,
        variance=document["variance"][:2],
    )
    shares = pd.crosstab(patches["slide"], patches["cluster"], normalize="index")
    numbers = [row["cluster"] for row in document["clusters"]]
    draw_slide_shares(folder / "slides.png", shares.reindex(columns=numbers, fill_value=0.0))


def _title(row: dict[str, Any]) -> str:
    classes = "\n".join(f"{name} {share:.0%}" for name, share in row["classes"].items())
    return f"cluster {row['cluster']}, {row['share']:.0%} of all\n{classes}"


def _nearest(
    patches: pd.DataFrame, number: int, slides: Sequence[SlidePatches], pool: SlidePool
) -> list[np.ndarray]:
    """Pixels, (S, S, 3) uint8, of the distinct patches nearest to a cluster's centre."""
    by_name = {slide.name: slide for slide in slides}
    members = patches[patches["cluster"] == number]
    members = members.drop_duplicates(["slide", "x_level0", "y_level0"])
    pixels = []
    for row in members.nsmallest(NEAREST, "distance").to_dict("records"):
        slide = by_name[row["slide"]]
        try:
            with pool.lease(slide.path, slide.mpp) as reader:
                pixels.append(slide.plan.read(reader, (row["x_level0"], row["y_level0"])))
        except SlideError:
            continue  # it was readable before; an image is not worth stopping for
    return pixels
