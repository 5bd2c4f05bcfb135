"""The contract of all engines that open networks; each engine's test class inherits it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from h2g.engines.engine import PATCH_INPUT, Feed, Network, open_network
from h2g.errors import ModelError
from h2g.exporters.fast_graphs import fast_feed
from h2g.hardware import cuda_gpus
from tests.engines.small_networks import INPUTS, NAMES, PATCH_PX, SmallNetworks

PATCH_TOLERANCE, FIELD_TOLERANCE = 1e-4, 1e-3


def patch_feed(patches: np.ndarray) -> Feed:
    return {PATCH_INPUT: patches}


class EngineContract:
    """Tests that every engine passes.

    Attributes:
        suffix: suffix of the files that the engine opens.
        ahead: batches that it may take before it yields the first.
        refusal: pattern of its message about a file that is no network.
    """

    engine: str
    suffix: str
    ahead: int
    refusal: str = "cannot load it .*Export"

    def open(self, file: Path, **options: object) -> Network:
        return open_network(file, engine=self.engine, device="CPU", **options)

    @pytest.fixture
    def patch(self, small_networks: SmallNetworks) -> Network:
        return self.open(small_networks.file("patch", self.suffix), many=True)

    @pytest.fixture
    def refinement(self, small_networks: SmallNetworks) -> Network:
        return self.open(small_networks.file("refinement", self.suffix))

    @pytest.mark.parametrize("count", [1, 2, 16, 17, 21])
    def test_any_number_of_patches(
        self, small_networks: SmallNetworks, patch: Network, count: int
    ) -> None:
        found = patch.run(patch_feed(small_networks.patches[:count]))
        assert found.shape == (count, 3)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, small_networks.expected[:count], atol=PATCH_TOLERANCE)

    def test_patches_of_floats(self, small_networks: SmallNetworks, patch: Network) -> None:
        """Not rounded to whole numbers."""
        patches = small_networks.patches.astype(np.float32)
        found = patch.run(patch_feed(patches))
        np.testing.assert_allclose(found, small_networks.expected, atol=PATCH_TOLERANCE)
        patches[:] = 0.7
        dark = patch.run(patch_feed(patches))
        black = patch.run(patch_feed(np.zeros_like(patches, np.uint8)))
        assert np.abs(dark - black).max() > 1e-4

    def test_patches_that_are_part_of_a_larger_array(
        self, small_networks: SmallNetworks, patch: Network
    ) -> None:
        wide = np.repeat(small_networks.patches[:4], 2, axis=2)
        wide.flags.writeable = False
        found = patch.run(patch_feed(wide[:, :, ::2]))
        np.testing.assert_allclose(found, small_networks.expected[:4], atol=PATCH_TOLERANCE)

    def test_slides_of_any_size(self, small_networks: SmallNetworks, refinement: Network) -> None:
        found = [refinement.run(field) for field in small_networks.fields]
        for probabilities, expected in zip(found, small_networks.expected_fields, strict=True):
            assert probabilities.shape == expected.shape
            assert probabilities.dtype == np.float32
            np.testing.assert_allclose(probabilities, expected, atol=FIELD_TOLERANCE)

    def test_each_batch_comes_back_with_its_key(
        self, small_networks: SmallNetworks, patch: Network
    ) -> None:
        patches, expected = small_networks.patches, small_networks.expected
        bounds = {"first": (0, 4), "one": (4, 5), "many": (0, 21), "last": (18, 21)}
        batches = ((key, patch_feed(patches[a:b])) for key, (a, b) in bounds.items())
        found = list(patch.run_each(batches))
        assert sorted(key for key, _ in found) == sorted(bounds)
        for key, probabilities in found:
            first, last = bounds[key]
            assert probabilities.shape == (last - first, 3)
            np.testing.assert_allclose(probabilities, expected[first:last], atol=PATCH_TOLERANCE)

    def test_no_batches_at_all(self, patch: Network) -> None:
        assert list(patch.run_each([])) == []

    def test_batches_that_are_read_slowly(
        self, small_networks: SmallNetworks, patch: Network
    ) -> None:
        def slowly() -> Iterator[tuple[int, Feed]]:
            for number in range(5):
                time.sleep(0.02)
                yield number, patch_feed(small_networks.patches[number : number + 2])

        found = dict(patch.run_each(slowly()))
        assert sorted(found) == list(range(5))
        for number, probabilities in found.items():
            np.testing.assert_allclose(
                probabilities, small_networks.expected[number : number + 2], atol=PATCH_TOLERANCE
            )

    def test_few_batches_are_taken_ahead(
        self, small_networks: SmallNetworks, patch: Network
    ) -> None:
        taken = 0

        def counted() -> Iterator[tuple[int, Feed]]:
            nonlocal taken
            for taken in range(1, 101):
                yield taken, patch_feed(small_networks.patches[:3])

        most = 0
        for given, _ in enumerate(patch.run_each(counted()), start=1):
            most = max(most, taken - given)
        assert taken == 100
        assert most <= self.ahead

    def test_a_batch_that_cannot_be_read(
        self, small_networks: SmallNetworks, patch: Network
    ) -> None:
        class Broken(Exception):
            pass

        def failing() -> Iterator[tuple[int, Feed]]:
            for number in range(7):
                yield number, patch_feed(small_networks.patches)
            raise Broken

        with pytest.raises(Broken):
            list(patch.run_each(failing()))
        self._still_works(small_networks, patch)

    def test_closed_before_the_end(self, small_networks: SmallNetworks, patch: Network) -> None:
        given_up = False

        def endless() -> Iterator[tuple[int, Feed]]:
            nonlocal given_up
            try:
                while True:
                    yield 0, patch_feed(small_networks.patches)
            finally:
                given_up = True

        batches = endless()
        answers = patch.run_each(batches)
        next(answers)
        answers.close()
        batches.close()  # type: ignore[attr-defined]
        assert given_up
        self._still_works(small_networks, patch)

    def test_engine_device_and_precision(self, patch: Network, refinement: Network) -> None:
        for name, network in zip(NAMES, (patch, refinement), strict=True):
            reported = (network.engine, network.device, network.precision)
            assert reported == (self.engine, "CPU", "float32")
            assert list(network.inputs.items()) == list(INPUTS[name].items())

    def test_files_that_are_no_networks(
        self, small_networks: SmallNetworks, tmp_path: Path
    ) -> None:
        broken = tmp_path / f"broken{self.suffix}"
        broken.write_bytes(small_networks.file("patch", self.suffix).read_bytes()[:1000])
        empty = tmp_path / f"empty{self.suffix}"
        empty.touch()
        for file in (broken, empty):
            with pytest.raises(ModelError, match=f"{file.name}: .*{self.refusal}"):
                self.open(file)
        with pytest.raises(ModelError, match="gone: there is no such model file"):
            self.open(tmp_path / "gone")

    def test_a_network_that_is_not_the_one_described(self, small_networks: SmallNetworks) -> None:
        files = {name: small_networks.file(name, self.suffix) for name in NAMES}
        for name, file in files.items():
            assert self.open(file, inputs=tuple(INPUTS[name]), many=name == "patch")
        message = r"not the network that its card describes\. .*named input_0_patch, not input_0_im"
        with pytest.raises(ModelError, match=message):
            self.open(files["patch"], inputs=tuple(INPUTS["refinement"]))
        message = "are named input_0_image, input_1_heatmap, not input_0_patch"
        with pytest.raises(ModelError, match=message):
            self.open(files["refinement"], inputs=tuple(INPUTS["patch"]))

    @pytest.mark.skipif(cuda_gpus() > 0, reason="there is a GPU")
    def test_a_gpu_that_is_not_there(self, small_networks: SmallNetworks) -> None:
        """Runs in its own process, because libraries that look for GPUs load their drivers."""
        file = str(small_networks.file("patch", self.suffix))
        code = (
            "from pathlib import Path\n"
            "from h2g.engines.engine import open_network\n"
            "from h2g.errors import WrongUseError\n"
            f"try:\n    open_network(Path({file!r}), engine={self.engine!r}, device='GPU')\n"
            "except WrongUseError as error:\n    print(error)"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert re.search("GPU.*--device CPU", result.stdout), result.stderr

    def _still_works(self, small_networks: SmallNetworks, network: Network) -> None:
        found = network.run(patch_feed(small_networks.patches))
        np.testing.assert_allclose(found, small_networks.expected, atol=PATCH_TOLERANCE)


class ExportedContract(EngineContract):
    """An engine of exported networks, which take patches of one size."""

    def test_patches_of_another_size_raise_and_leave_the_network_usable(
        self, small_networks: SmallNetworks, patch: Network
    ) -> None:
        patches = small_networks.patches
        wrong = np.zeros((2, PATCH_PX // 2, PATCH_PX, 3), np.uint8)
        batches = [(key, patch_feed(each)) for key, each in enumerate((patches, wrong, patches))]
        with pytest.raises(Exception, match=r"\d"):  # the library's own, with the sizes
            list(patch.run_each(batches))
        self._still_works(small_networks, patch)


class FastGraphsContract(ExportedContract):
    """An engine that also opens the graphs for FAST: one patch per call, and more inputs."""

    def test_graphs_for_fast(self, small_networks: SmallNetworks) -> None:
        patch, refinement = (
            self.open(small_networks.file(name, ".onnx", fast=True), many=name == "patch")
            for name in NAMES
        )
        found = patch.run(patch_feed(small_networks.patches))
        np.testing.assert_allclose(found, small_networks.expected, atol=PATCH_TOLERANCE)
        each = dict(patch.run_each([("a", patch_feed(small_networks.patches[3:8]))]))
        np.testing.assert_allclose(each["a"], small_networks.expected[3:8], atol=PATCH_TOLERANCE)
        assert len(refinement.inputs) == 4  # the image, a heatmap for each of two classes, a frame
        for field, expected in zip(
            small_networks.fields, small_networks.expected_fields, strict=True
        ):
            found = refinement.run(fast_feed(refinement.inputs, field))
            np.testing.assert_allclose(found, expected, atol=FIELD_TOLERANCE)
