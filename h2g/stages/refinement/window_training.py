"""What training a refinement network on windows needs: fitting slides, and scores of whole ones."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from h2g.concurrency import Key
from h2g.data.refinement_dataset import RefinementExample, read_picture
from h2g.engines.engine import Feed, Shape
from h2g.errors import SlideError, TrainingError
from h2g.folders.run import Run
from h2g.models.deployment import INPUT_NAMES, scale_image
from h2g.recipes.preprocessing import WindowSettings
from h2g.recipes.sections import refinement_settings
from h2g.results.slide_state import SlideState
from h2g.slides.frame import Frame
from h2g.slides.planes import NEAR
from h2g.slides.reading import Plane, WindowImage, describe_slide
from h2g.slides.tiff_files import read_heatmap
from h2g.stages.refinement.refine import refine
from h2g.training.losses import slide_dice


def check_windows(run: Run) -> None:
    """Raises TrainingError if no training slide is large and fine enough for the windows."""
    windows = refinement_settings(run.recipe).windows
    if windows is None:
        return
    coarse, sides_mm = [], []
    for row in run.cohort.split("train"):
        try:
            frame = describe_slide(row.slide, mpp=row.mpp).frame
        except SlideError:
            continue  # reported when it is read
        side_mm = max(frame.field_level0) * frame.mpp / 1000
        if frame.mpp > windows.mpp * (1 + NEAR):
            coarse.append(frame.mpp)
        elif side_mm >= windows.side_mm:
            return
        else:
            sides_mm.append(side_mm)
    if sides_mm:
        raise TrainingError(
            f"Windows of {windows.side_mm:g} mm are larger than every training slide (the longest "
            f"side is {max(sides_mm):.3g} mm). Start another run with a smaller "
            "--set refinement.window_mm."
        )
    if coarse:
        raise TrainingError(
            f"Windows of {windows.side_mm:g} mm and {windows.side_px} px need slides of "
            f"{windows.mpp:g} um/px, but the finest training slide has {min(coarse):g} um/px. "
            "Start another run with a larger --set refinement.window_mm or a smaller "
            "--set refinement.input_px."
        )


class StitchedScores(keras.callbacks.Callback):
    """Adds ``val_loss`` and ``val_slide_dice`` of whole slides to the logs of each epoch.

    The slides are predicted in windows that are blended, as in deployment. A mean over windows
    would count a pixel of a large slide as often as one of a small slide.
    """

    def __init__(
        self,
        examples: Sequence[RefinementExample],
        windows: WindowSettings,
        loss: keras.losses.Loss,
        *,
        class_names: tuple[str, ...],
        batch_size: int,
    ) -> None:
        super().__init__()
        self.examples = examples
        self.windows = windows
        self.loss = loss
        self.class_names = class_names
        self.batch_size = batch_size

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        scores = np.array([self._scores(example) for example in self.examples])
        if logs is not None:
            logs["val_loss"], logs["val_slide_dice"] = scores.mean(axis=0).tolist()

    def _scores(self, example: RefinementExample) -> tuple[float, float]:
        image, truth = read_picture(example.image_file), read_picture(example.truth_file)
        height, width = truth.shape
        heatmap = read_heatmap(example.heatmap_file) if example.heatmap_file else None
        frame = heatmap.frame if heatmap else Frame((width, height), self.windows.mpp)
        plane = Plane(image, frame, WindowImage(image, self.windows))
        network = _TrainedSoFar(self.model, self.batch_size)
        field = refine(SlideState(plane, self.class_names, heatmap=heatmap), network).field
        known = tf.one_hot(truth[None], len(self.class_names))  # an unknown label has no class
        predicted = tf.convert_to_tensor(field)[None]
        return float(self.loss(known, predicted)), float(slide_dice(known, predicted)[0])


class _TrainedSoFar:
    """The network of a running training as an engine's network (h2g.engines.engine.Network)."""

    engine, device, precision = "keras", "CPU", "float32"

    def __init__(self, model: keras.Model, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size
        self._names = [INPUT_NAMES[tensor.name] for tensor in model.inputs]

    @property
    def inputs(self) -> Mapping[str, Shape]:
        shapes = (tuple(tensor.shape) for tensor in self._model.inputs)
        return dict(zip(self._names, shapes, strict=True))

    def run(self, inputs: Feed) -> np.ndarray:
        tensors = [
            scale_image(inputs[name]) if inputs[name].dtype == np.uint8 else inputs[name]
            for name in self._names
        ]
        outputs = self._model.predict_on_batch(tensors if len(tensors) > 1 else tensors[0])
        first: Any = outputs[0] if isinstance(outputs, list) else outputs
        return np.asarray(first, np.float32)

    def run_each(
        self, batches: Iterable[tuple[Key, Feed]]
    ) -> Generator[tuple[Key, np.ndarray], None, None]:
        waiting = iter(batches)
        while group := list(islice(waiting, self._batch_size)):
            # A last, smaller group is filled up, because the model is compiled for one size.
            feeds = [group[min(place, len(group) - 1)][1] for place in range(self._batch_size)]
            joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in self._names}
            for (key, _), output in zip(group, self.run(joined), strict=False):
                yield key, output[None]
