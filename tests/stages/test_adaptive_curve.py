from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from h2g.errors import RunError
from h2g.folders.run import Run, open_run
from h2g.stages.adaptive_curve import adaptive_curve, chosen_threshold, mean_curve


@pytest.fixture(scope="module")
def run(trained_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("adaptive") / "run"
    shutil.copytree(trained_run.path, folder)
    return open_run(folder)


@pytest.fixture(scope="module")
def curve(run: Run) -> pd.DataFrame:
    return adaptive_curve(run, "test", thresholds=(0.0, 0.5, 1.0))


def test_all_patches_come_first_and_the_share_falls(curve: pd.DataFrame, run: Run) -> None:
    means = mean_curve(curve)
    assert means["variant"].unique().tolist() == ["patchwise", "refined"]
    for _, rows in means.groupby("variant"):
        assert np.isnan(rows["threshold"].iloc[0])
        assert rows["percent"].iloc[0] == 100
        assert rows["loss"].iloc[0] == 0
        assert (np.diff(rows["percent"]) <= 0).all()
        assert rows["percent"].iloc[-1] < 60
    assert curve["slide"].nunique() == len(run.cohort.split("test"))
    folder = run.evaluation_folder("test")
    assert len(pd.read_csv(folder / "adaptive.csv")) == len(curve)
    assert Image.open(folder / "adaptive.png").width > 300


def test_threshold_of_0_loses_nothing(curve: pd.DataFrame) -> None:
    whole, exact = curve[curve["threshold"].isna()], curve[curve["threshold"] == 0]
    assert len(exact) == len(whole)
    np.testing.assert_allclose(exact["dice"], whole["dice"], atol=0.005)


def test_the_threshold_is_the_largest_before_the_loss_grows() -> None:
    rows = [(None, 100, 0.9), (0.1, 80, 0.9), (0.3, 60, 0.899), (0.5, 50, 0.88), (0.7, 40, 0.9)]
    curve = pd.DataFrame(
        [("a", threshold, percent, "refined", dice) for threshold, percent, dice in rows],
        columns=["slide", "threshold", "percent", "variant", "dice"],
    )
    assert chosen_threshold(curve, "refined", 0.002) == 0.3
    assert chosen_threshold(curve, "refined", 0.03) == 0.7
    assert chosen_threshold(curve, "refined", -1) is None


def test_an_empty_split_is_a_sentence(own_run: Run) -> None:
    table = own_run.path / "cohort.csv"
    table.write_text(table.read_text().replace(",test,", ",val,"))
    with pytest.raises(RunError, match="no slide in split 'test'"):
        adaptive_curve(open_run(own_run.path), "test")
