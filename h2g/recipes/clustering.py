"""The clusters of tissue types that guide the loss of the patch stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from h2g.recipes.base import Frozen


class ClusteringSettings(Frozen):
    """Which tissue types patches fall into (H2G-Net section 2.3); fitted on the training slides.

    ``features`` names the network whose features are clustered: ``vgg16`` or a patch model, with
    ``weights`` as in ``patch.weights``; or a trained patch model: a ``.keras`` file, or ``patch``
    for the run's own. Principal components are kept up to ``variance`` of the whole, each scaled
    to unit variance with ``whiten``. ``batches`` of ``batch_size`` patches are drawn as in
    training.
    """

    features: str = "vgg16"
    weights: str = "imagenet"
    batches: Annotated[int, Field(ge=1)] = 100
    batch_size: Annotated[int, Field(ge=1)] = 32
    variance: Annotated[float, Field(gt=0, le=1)] = 0.95
    whiten: bool = False
    clusters: Annotated[int, Field(ge=1)] = 10
