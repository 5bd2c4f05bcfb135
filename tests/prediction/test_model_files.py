from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest

from h2g.errors import ModelError
from h2g.prediction.find_model import find_model
from h2g.prediction.model_files import ModelFiles, NetworkFile


@pytest.fixture
def model(small_bundle: Path) -> ModelFiles:
    return find_model(small_bundle, engine="onnxruntime", device="CPU")


@pytest.mark.parametrize("name", ["patch", "refinement"])
def test_opening_checks_every_network(model: ModelFiles, tmp_path: Path, name: str) -> None:
    gone = NetworkFile(tmp_path / f"gone_{name}.onnx", model.networks[name].inputs)
    broken = dataclasses.replace(model, networks={**model.networks, name: gone})
    with pytest.raises(ModelError, match=f"gone_{name}.onnx: there is no such model file"):
        broken.open_networks(16)


@pytest.mark.parametrize("name", ["patch", "refinement"])
def test_a_network_of_another_stage_is_refused(model: ModelFiles, name: str) -> None:
    (other,) = set(model.networks) - {name}
    file = dataclasses.replace(model.networks[name], path=model.networks[other].path)
    swapped = dataclasses.replace(model, networks={**model.networks, name: file})
    with pytest.raises(ModelError, match=f"{other}.onnx: not the network that its card describes"):
        swapped.open_networks(16)


def test_model_files_can_be_pickled(model: ModelFiles) -> None:
    assert pickle.loads(pickle.dumps(model)) == model
