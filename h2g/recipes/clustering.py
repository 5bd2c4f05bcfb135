"""Settings of the clusters of tissue types that guide the loss of the patch stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from h2g.recipes.base import Frozen


class ClusteringSettings(Frozen):
    """Clusters of tissue types, fitted on the training slides (H2G-Net section 2.3).

    ``features`` names the network whose features are clustered. It is ``vgg16`` or a patch model,
    with ``weights`` as in ``patch.weights``, or a trained patch model: a ``.keras`` file, or
    ``patch`` for the run's own. Patches are drawn as in training.
    """

    features: str = "vgg16"
    """Network whose features are clustered: vgg16, a patch model, patch or a .keras file."""
    weights: str = "imagenet"
    """Initial weights: imagenet, none or a file."""
    batches: Annotated[int, Field(ge=1)] = 100
    """Batches that the clusters are fitted on."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Patches per batch."""
    variance: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Share of the variance that the kept principal components explain."""
    whiten: bool = False
    """Whether each principal component is scaled to unit variance."""
    clusters: Annotated[int, Field(ge=1)] = 10
    """Number of clusters."""
