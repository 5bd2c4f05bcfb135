"""What the clusters are: a table of the patches they were found in, a summary, pictures."""

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

NEAREST = 10  # patches a cluster on the contact sheet


def cluster_table(
    drawn: FeatureTable, fitted: FittedClusters, slides: Sequence[SlidePatches]
) -> pd.DataFrame:
    """A row a drawn patch: slide, x_level0, y_level0, label, cluster, distance (to its centre, in
    standardised features) and its first two components, the second 0 where there is one."""
    components = fitted.project(drawn.features)
    pairs = list(zip(drawn.slides.tolist(), drawn.patches.tolist(), strict=True))
    places = np.array([slides[slide].xy_level0[patch] for slide, patch in pairs])
    return pd.DataFrame(
        {
            "slide": [slides[slide].name for slide, _ in pairs],
            "x_level0": places[:, 0],
            "y_level0": places[:, 1],
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
    """How many features, components and patches; each component's share of the variance; and a
    row a cluster: its patches, its share of all, how many slides it is on, its classes' shares."""
    rows = []
    for number in range(len(fitted.kmeans.cluster_centers_)):
        own = patches[patches["cluster"] == number]
        labels = own["label"].value_counts(normalize=True)
        rows.append(
            {
                "cluster": number,
                "patches": len(own),
                "share": len(own) / len(patches),
                "slides": int(own["slide"].nunique()),
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
    """contact_sheet.png, projection.png and slides.png.

    Args:
        patches: of cluster_table; ``document`` of describe_clusters.
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
    """Pixels, (S, S, 3) uint8, of the cluster's different patches nearest to its centre."""
    by_name = {slide.name: slide for slide in slides}
    own = patches[patches["cluster"] == number].drop_duplicates(["slide", "x_level0", "y_level0"])
    pixels = []
    for row in own.nsmallest(NEAREST, "distance").to_dict("records"):
        slide = by_name[row["slide"]]
        try:
            with pool.lease(slide.path, slide.mpp) as reader:
                pixels.append(slide.plan.read(reader, (row["x_level0"], row["y_level0"])))
        except SlideError:
            continue  # it was readable when it was drawn; a picture is not worth stopping for
    return pixels
