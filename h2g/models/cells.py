"""Conversion of a mask of pixels to the cells of a heatmap."""

from __future__ import annotations

from typing import Any

import keras

OUTPUT = "output_0_cells"


@keras.saving.register_keras_serializable(package="h2g")
class Cells(keras.layers.Layer):
    """Averages (N, S, S, C) probabilities of pixels to (N, s, s, C) probabilities of cells.

    Args:
        cells: s, which divides the side without margins.
        margin_px: pixels on each side that are cropped first.
    """

    def __init__(self, cells: int, margin_px: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cells, self.margin_px = cells, margin_px

    def call(self, probabilities: Any) -> Any:
        margin, side = self.margin_px, probabilities.shape[1]
        inner = probabilities[:, margin : side - margin, margin : side - margin]
        step = (side - 2 * margin) // self.cells
        if step == 1:
            return inner
        return keras.ops.average_pool(inner, step, strides=step, data_format="channels_last")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cells": self.cells, "margin_px": self.margin_px}


def with_cells(network: keras.Model, *, cells: int, margin_px: int) -> keras.Model:
    """Adds the averaging to cells to a network, for saving and deployment.

    Args:
        network: (N, S, S, 3) to (N, S, S, C), softmax.
    """
    layer = Cells(cells, margin_px, name=OUTPUT, dtype="float32")
    return keras.Model(network.input, layer(network.output), name=network.name)
