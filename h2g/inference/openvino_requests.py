"""Patches in OpenVINO's infer requests, several at a time, all started from one thread.

One thread, because two that first use OpenVINO's Python binding at once can wait for each other
for ever.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from h2g.inference.openvino_library import openvino


class Requests:
    """A patch network whose requests are started and finished in the same order."""

    def __init__(self, network: openvino.CompiledModel, input_name: str) -> None:
        self.network = network
        self.started = self._finished = 0
        self._input = input_name
        self._size = network.inputs[0].shape[0]
        # Twice what is computed at once: none waits for this thread to come round.
        count = 2 * network.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._idle = [network.create_infer_request() for _ in range(count)]
        self._running: deque[tuple[openvino.InferRequest, np.ndarray]] = deque()

    def start(self, patches: np.ndarray, probabilities: np.ndarray) -> None:
        """Starts (N, S, S, 3) of the network's own type; waits while no request is idle.

        Args:
            probabilities: (N, C) float32, filled as requests finish.
        """
        patches = np.ascontiguousarray(patches)
        for first in range(0, len(patches), self._size):
            if not self._idle:
                self._finish_oldest()
            part = patches[first : first + self._size]
            request = self._idle[-1]
            request.start_async({self._input: self._padded(part)}, share_inputs=True)
            self._running.append((self._idle.pop(), probabilities[first : first + self._size]))
            self.started += 1

    def finish(self, number: int, probabilities: np.ndarray) -> np.ndarray:
        """``probabilities`` when the first ``number`` requests that were started are finished."""
        while self._finished < number:
            self._finish_oldest()
        return probabilities

    def _padded(self, patches: np.ndarray) -> np.ndarray:
        missing = self._size - len(patches)
        return np.pad(patches, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else patches

    def _finish_oldest(self) -> None:
        request, probabilities = self._running[0]
        try:
            request.wait()
        except RuntimeError:
            self._take_off_oldest()
            raise
        probabilities[:] = request.get_output_tensor().data[: len(probabilities)]
        # Not when Ctrl-C comes before: then it is waited for once more.
        self._take_off_oldest()

    def _take_off_oldest(self) -> None:
        self._idle.append(self._running.popleft()[0])
        self._finished += 1
