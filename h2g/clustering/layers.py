"""scikit-learn's z-score, principal components and k-means as Keras layers, in float32.

Each layer holds the fitted numbers as weights that are not trained.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class FittedTransform(keras.layers.Layer):
    """A layer with given weights that computes in float32 under any policy."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "trainable": False, **kwargs})

    def number(self, name: str, shape: tuple[int, ...], initializer: str = "zeros") -> Any:
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, trainable=False, dtype="float32"
        )


@keras.saving.register_keras_serializable(package="h2g")
class Standardize(FittedTransform):
    """StandardScaler: (N, d) -> (N, d). Weights: mean (d,), scale (d,)."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = int(input_shape[-1] or 0)
        self.mean = self.number("mean", (width,))
        self.scale = self.number("scale", (width,), "ones")

    def call(self, features: Any) -> Any:
        return (features - self.mean) / self.scale


@keras.saving.register_keras_serializable(package="h2g")
class Project(FittedTransform):
    """PCA: (N, d) -> (N, components).

    Weights: mean (d,), axes (d, components), and scale (components,), which is 1 unless whitened.
    """

    def __init__(self, components: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.components = components

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = int(input_shape[-1] or 0)
        self.mean = self.number("mean", (width,))
        self.axes = self.number("axes", (width, self.components))
        self.scale = self.number("scale", (self.components,), "ones")

    def call(self, features: Any) -> Any:
        return ops.matmul(features - self.mean, self.axes) / self.scale

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "components": self.components}


@keras.saving.register_keras_serializable(package="h2g")
class Assign(FittedTransform):
    """KMeans: (N, m) -> (N,) int32, the number of the nearest centre, the first of equals.

    Weights: centres (clusters, m).
    """

    def __init__(self, clusters: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.clusters = clusters

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.centres = self.number("centres", (self.clusters, int(input_shape[-1] or 0)))

    def call(self, components: Any) -> Any:
        apart = ops.expand_dims(components, 1) - self.centres
        distances = ops.sum(ops.square(apart), axis=-1)
        nearest = ops.equal(distances, ops.min(distances, axis=-1, keepdims=True))
        # Keras's argmin of floats reads their bits, which no exporter can write.
        return ops.argmax(ops.cast(nearest, "int32"), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "clusters": self.clusters}
