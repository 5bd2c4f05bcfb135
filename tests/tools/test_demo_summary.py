"""The table and the picture at the demo's end."""

from pathlib import Path

import cv2
import demo_summary
import pytest

from h2g.engines.engine import Network
from h2g.folders.predictions import SlideRequest
from h2g.prediction.model_files import ModelFiles
from h2g.prediction.predict_slides import predict_slides
from h2g.stages.evaluate_run import evaluate_run
from tests.stages.drawn_run import ColourNetworks, draw_run


class ColourModel(ModelFiles):
    """A model whose networks are the colour rule."""

    def open_networks(self, batch_size: int) -> dict[str, Network]:
        networks = ColourNetworks()
        return {"patch": networks.patch, "refinement": networks.refinement}


def test_table_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = draw_run(tmp_path)
    evaluate_run(run, "test", open_network=ColourNetworks())
    model = ColourModel(
        path=run.path,
        recipe=run.recipe.name,
        class_names=run.recipe.class_names,
        preprocessing=run.recipe.preprocessing,
        sha256={},
        networks={},
        takes_patches=True,
    )
    requests = [SlideRequest(row.slide, row.mpp) for row in run.cohort.split("test")]
    for name in ("predictions", "predictions_openvino"):
        predict_slides(model, requests, tmp_path / name, threads=1)

    timings = {"phantom": 10.0, "train": 20.0, "evaluate": 3.0, "predict": 4.0}
    demo_summary.summarise(tmp_path, timings)

    lines = [line.replace("│", "").split() for line in capsys.readouterr().out.splitlines()]
    # The colour rule is never wrong on these slides; 37 seconds are the four commands'.
    for words in (["patch-wise", "1.000", "±", "0.000"], ["refined", "1.000", "±", "0.000"]):
        assert any(line[:4] == words for line in lines), words
    assert any(line[:3] == ["smoothed", "1.000", "±"] for line in lines)
    assert ["Seconds", "37"] in lines
    # One engine twice.
    assert any(line[:3] == ["segmentation", "100.000%", "pixels"] for line in lines)
    assert any(line[:2] == ["heatmap", "0.0e+00"] for line in lines)
    assert ["training", "20.0", "all", "stages:"] in lines
    # Two rows of four panels, of slides that are wider than high.
    picture = cv2.imread(str(tmp_path / "panels.png"))
    assert picture is not None
    assert picture.shape[1] > picture.shape[0]
