"""Settings of training that all trained stages share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from h2g.recipes.base import Frozen, Positive


class TrainingSettings(Frozen):
    """Training of a stage. tools/bench_training.py measures the effect of ``jit_compile``."""

    batch_size: int = 64
    """Samples per batch."""
    accumulation_steps: Annotated[int, Field(ge=1)] = 1
    """Batches whose gradients are added up for one step of the optimiser."""
    steps_per_epoch: int = 500
    """Batches per epoch."""
    epochs: int = 100
    """Largest number of epochs."""
    patience: int | None = None
    """Epochs without a better validation score before training stops; null never stops early."""
    learning_rate: Positive = 1e-4
    """Learning rate at the first step."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Course of the learning rate after the first step."""
    mixed_precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    """Number type of the computations."""
    jit_compile: Literal["auto"] | bool = "auto"
    """Whether XLA compiles the training step; auto compiles on one GPU, but not on a CPU."""
    tensorboard: bool = False
    """Whether logs for TensorBoard are written."""
