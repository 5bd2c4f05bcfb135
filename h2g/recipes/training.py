"""The settings of training that every trained stage has."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from h2g.recipes.base import Frozen, Positive


class TrainingSettings(Frozen):
    """How a stage is trained.

    ``steps_per_epoch`` counts batches; ``patience`` counts epochs without a better validation
    score, and null trains all epochs.

    ``jit_compile`` lets XLA compile the training step; ``auto`` is Keras's choice: on one GPU, not
    on a CPU. tools/bench_training.py measures its effect.
    """

    batch_size: int = 64
    accumulation_steps: Annotated[int, Field(ge=1)] = 1
    steps_per_epoch: int = 500
    epochs: int = 100
    patience: int | None = None
    learning_rate: Positive = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    mixed_precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    jit_compile: Literal["auto"] | bool = "auto"
    tensorboard: bool = False
