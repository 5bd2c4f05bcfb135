from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from h2g.engines.engine import Feed, Network
from h2g.errors import ModelError, RunError, SlideError
from h2g.folders.predictions import COLUMNS, SlideRequest
from h2g.prediction import predict_slides as predict_module
from h2g.prediction.predict_slides import predict_slides
from h2g.results.outputs import OUTPUTS, SlideFiles
from h2g.slides.reading import PatchPlan, describe_slide
from h2g.slides.tiff_files import read_heatmap
from tests.prediction.drawn_slides import (
    GLASS,
    IMMUNE,
    PREPROCESSING,
    TUMOUR,
    ColourClassifier,
    ColourModel,
    ColourRefinement,
    colour_model,
    draw,
    save_tiff,
)

TISSUE = np.array([[64, 64], [575, 64], [575, 511], [64, 511]])
SQUARE = np.array([[128, 128], [383, 128], [383, 255], [128, 255]])


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a and b: 640 x 576 um at 1 um/px, 512 x 448 um of tissue, 256 x 128 um of tumour in it."""
    folder = tmp_path_factory.mktemp("slides")
    image = draw((640, 576), tissue=TISSUE, shapes={TUMOUR: [SQUARE]})
    save_tiff(folder / "a.tiff", image, 1.0)
    save_tiff(folder / "b b.tiff", image, 1.0)
    save_tiff(folder / "blank.tiff", np.full((400, 400, 3), GLASS, np.uint8), 1.0)
    save_tiff(folder / "coarse.tiff", image, 4.0)
    (folder / "text.svs").write_text("no slide")
    tifffile.imwrite(folder / "no-mpp.tif", image, photometric="rgb")
    return folder


def requests(folder: Path, *names: str) -> list[SlideRequest]:
    return [SlideRequest(folder / name) for name in names]


def predict(
    slides: list[SlideRequest],
    out: Path,
    classifier: ColourClassifier | None = None,
    refinement: ColourRefinement | None = None,
) -> pd.DataFrame:
    model = colour_model(classifier, refinement)
    return pd.DataFrame(predict_slides(model, slides, out, threads=2))


def files_of(out: Path, name: str) -> list[Path]:
    files = SlideFiles(out, name)
    return [files[output] for output in OUTPUTS if files[output].exists()]


def test_all_outputs_of_a_slide_and_its_row(slides: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    summary = predict(requests(slides, "a.tiff"), out)
    assert len(files_of(out, "a")) == len(OUTPUTS)
    written = pd.read_csv(out / "summary.csv")
    assert tuple(written.columns) == tuple(summary.columns) == (*COLUMNS, "seconds_patch")
    row = written.loc[0]
    assert (row["slide"], row["status"], row["mpp"]) == ("a", "ok", 1.0)
    assert row["mpp_source"] == "TIFF resolution tags"
    # 512 x 448 um of tissue, closing by 40 um at 8 um/px does not change a rectangle.
    assert row["tissue_mm2"] == pytest.approx(0.512 * 0.448, rel=0.02)
    assert row["tumour_mm2"] == pytest.approx(0.256 * 0.128, rel=0.001)
    percent = 100 * (256 * 128) / (512 * 448)
    assert row["tumour_percent"] == pytest.approx(percent, rel=0.02)
    assert row["patches"] == 16 * 14
    parts = ("tissue", "patch", "writing")
    assert all(row[f"seconds_{part}"] > 0 for part in (*parts, "read"))
    # Each is rounded to milliseconds.
    assert row["seconds_total"] >= sum(row[f"seconds_{part}"] for part in parts) - 0.003
    assert row["file"] == str((slides / "a.tiff").resolve())
    files = [path.relative_to(out).as_posix() for path in files_of(out, "a")]
    assert row["outputs"] == ";".join(files)
    assert files == [
        "geojson/a.geojson",
        "heatmaps/a.tiff",
        "patches/a.csv",
        "segmentations/a.tiff",
        "overlays/a.png",
    ]
    labels = tifffile.imread(out / "segmentations" / "a.tiff")
    assert labels.shape == (576, 640)  # no level but this has 512 px a side
    assert (labels[130:254, 130:382] == 1).all()
    assert np.count_nonzero(labels) == 256 * 128
    assert read_heatmap(out / "heatmaps" / "a.tiff").values.shape == (18, 20, 2)
    patches = pd.read_csv(out / "patches" / "a.csv")
    assert list(patches) == ["minx", "miny", "width", "height", "prob_background", "prob_tumour"]
    assert patches.loc[0].tolist() == [64, 64, 32, 32, 1, 0]
    info = describe_slide(out / "segmentations" / "a.tiff")
    assert info.mpp == pytest.approx(1.0)
    assert not list(out.rglob(".*")), "no temporary file is left"


def test_run_json_records_model_and_versions(slides: Path, tmp_path: Path) -> None:
    predict(requests(slides, "a.tiff"), tmp_path)
    predict(requests(slides, "a.tiff", "b b.tiff"), tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["recipe"] == "colour"
    assert record["classes"] == ["background", "tumour"]
    assert (record["engine"], record["device"], record["precision"]) == ("colour", "CPU", "float32")
    # Which patches were classified stands under a key of its own.
    assert record["preprocessing"] == PREPROCESSING.model_dump(
        mode="json", exclude={"patch": {"adaptive"}}
    )
    assert record["patches"] == "all"
    assert record["sha256"] == {"patch/model.keras": "0" * 64}
    assert record["versions"]["numpy"] == np.__version__
    assert len(record["earlier"]) == 1
    assert record["earlier"][0]["engine"] == "colour"


def test_refined_labels_are_the_refinement_networks(slides: Path, tmp_path: Path) -> None:
    class Everywhere(ColourRefinement):
        def run(self, inputs: Feed) -> np.ndarray:
            return np.broadcast_to(np.float32([0.1, 0.9]), (1, 64, 64, 2)).copy()

    summary = predict(requests(slides, "a.tiff"), tmp_path, refinement=Everywhere())
    assert (tifffile.imread(tmp_path / "segmentations" / "a.tiff") == 1).all()
    assert summary["tumour_mm2"][0] == pytest.approx(0.64 * 0.576, rel=1e-3)
    assert summary["tumour_percent"][0] == 100  # of the tissue, not of the glass around it
    assert summary["seconds_refinement"][0] > 0


def test_several_classes(slides: Path, tmp_path: Path) -> None:
    second = SQUARE + [0, 192]
    image = draw((640, 576), tissue=TISSUE, shapes={TUMOUR: [SQUARE], IMMUNE: [second]})
    save_tiff(tmp_path / "two.tiff", image, 1.0)
    out = tmp_path / "out"
    summary = predict(requests(tmp_path, "two.tiff"), out, ColourClassifier(classes=3))
    assert summary["tumour_mm2"][0] == pytest.approx(2 * 0.256 * 0.128, rel=0.001)
    assert summary["mm2_tumour"][0] == pytest.approx(0.256 * 0.128, rel=0.001)
    assert summary["mm2_immune"][0] == pytest.approx(0.256 * 0.128, rel=0.001)
    labels = tifffile.imread(out / "segmentations" / "two.tiff")
    assert [int(labels[200, 200]), int(labels[390, 200]), int(labels[10, 10])] == [1, 2, 0]
    document = json.loads((out / "geojson" / "two.geojson").read_text())
    names = [f["properties"]["classification"]["name"] for f in document["features"]]
    assert sorted(names) == ["immune", "tumour"]
    assert "prob_immune" in pd.read_csv(out / "patches" / "two.csv")
    # The folder can be continued with these columns.
    again = predict(requests(tmp_path, "two.tiff"), out, ColourClassifier(classes=3))
    assert again["mm2_immune"].tolist() == summary["mm2_immune"].tolist()


def test_failed_slides_get_a_row_and_the_others_continue(
    slides: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["text.svs", "a.tiff", "blank.tiff", "gone.svs", "no-mpp.tif", "coarse.tiff"]
    summary = predict([*requests(slides, *names, "b b.tiff")], tmp_path)
    rows = summary.set_index("slide")
    assert list(rows.index) == ["text", "a", "blank", "gone", "no-mpp", "coarse", "b b"]
    failed = {"text", "blank", "gone", "no-mpp", "coarse"}
    assert set(rows.index[rows["status"] == "failed"]) == failed
    assert "not a slide" in rows["reason"]["text"]
    assert "no tissue found" in rows["reason"]["blank"]
    assert "no such file" in rows["reason"]["gone"]
    assert "Pass --mpp" in rows["reason"]["no-mpp"]
    assert "too coarse" in rows["reason"]["coarse"]
    # The row of a slide without tissue holds its known facts.
    assert (rows["mpp"]["blank"], rows["tissue_mm2"]["blank"]) == (1, 0)
    assert (rows["mpp"]["coarse"], rows["mpp_source"]["coarse"]) == (4, "TIFF resolution tags")
    assert np.isnan(rows["mpp"]["gone"])
    for name in failed:
        assert not files_of(tmp_path, name)
        assert not rows["outputs"][name]
        assert rows["reason"][name] in caplog.text
    for name in ("a", "b b"):
        assert len(files_of(tmp_path, name)) == len(OUTPUTS)


def test_a_slide_that_fails_during_reading(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = PatchPlan.read_cell

    def breaking(plan, slide, cell):
        if slide.info.path.stem == "a" and tuple(cell) == (10, 10):
            raise SlideError("a.tiff: level 0 cannot be read.")
        return plain(plan, slide, cell)

    monkeypatch.setattr(PatchPlan, "read_cell", breaking)
    summary = predict(requests(slides, "a.tiff", "b b.tiff"), tmp_path)
    assert summary["status"].tolist() == ["failed", "ok"]
    assert summary["reason"][0] == "a.tiff: level 0 cannot be read."
    assert not files_of(tmp_path, "a")


def test_one_damaged_tile_need_not_cost_a_slide(
    slides: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "damaged.tiff"
    content = bytearray((slides / "a.tiff").read_bytes())
    with tifffile.TiffFile(slides / "a.tiff") as tiff:
        place = tiff.pages.first.dataoffsets[0]
    content[place : place + 64] = bytes(64)
    path.write_bytes(content)
    model, out = colour_model(), tmp_path / "out"
    (failed,) = predict_slides(model, [SlideRequest(path)], out)
    assert failed["status"] == "failed"
    (row,) = predict_slides(model, [SlideRequest(path)], out, skip_damaged=True)
    assert row["status"] == "ok", row["reason"]
    told = "1 damaged tile is taken as missing (white), on level 0"
    assert told in row["warnings"]
    assert f"damaged.tiff: {told}." in caplog.text
    assert row["tumour_mm2"] > 0


def test_a_slide_that_fails_keeps_no_file_of_an_interrupted_run(
    slides: Path, tmp_path: Path
) -> None:
    old_file = SlideFiles(tmp_path, "blank")["overlay"]
    other = SlideFiles(tmp_path, "a")["overlay"]
    predict(requests(slides, "a.tiff"), tmp_path)
    old_file.touch()
    predict(requests(slides, "blank.tiff"), tmp_path)
    assert not old_file.exists()
    assert other.exists()


def test_a_rerun_predicts_only_unfinished_slides(slides: Path, tmp_path: Path) -> None:
    wanted = requests(slides, "a.tiff", "b b.tiff", "blank.tiff")
    first = predict(wanted, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in files_of(tmp_path, "b b")}
    (tmp_path / "overlays" / "a.png").unlink()
    classifier = ColourClassifier()
    second = predict(wanted, tmp_path, classifier)
    assert (tmp_path / "overlays" / "a.png").exists()
    assert {path: path.stat().st_mtime_ns for path in files_of(tmp_path, "b b")} == times
    columns = ["slide", "status", "reason", "tumour_mm2", "patches", "file"]
    pd.testing.assert_frame_equal(first[columns], second[columns])
    assert sum(classifier.classified) == 16 * 14


@dataclasses.dataclass(frozen=True)
class BrokenModel(ColourModel):
    def open_networks(self, batch_size: int) -> dict[str, Network]:
        raise ModelError("its file is broken")


def broken_model() -> BrokenModel:
    return BrokenModel(**vars(colour_model()))


def test_no_network_is_opened_if_all_slides_are_done(slides: Path, tmp_path: Path) -> None:
    predict(requests(slides, "a.tiff"), tmp_path)
    model = broken_model()
    summary = pd.DataFrame(predict_slides(model, requests(slides, "a.tiff"), tmp_path))
    assert summary["status"].tolist() == ["ok"]
    with pytest.raises(ModelError, match="broken"):
        predict_slides(model, requests(slides, "b b.tiff"), tmp_path)


def test_files_are_written_while_the_next_slide_is_classified(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing of slide a waits for the classification of b, so the test needs both to overlap."""
    at_b = threading.Event()
    plain = predict_module.write_slide

    class Announcing(ColourClassifier):
        def run(self, inputs: Feed) -> np.ndarray:
            if sum(self.classified) > 16 * 14 + 10:
                at_b.set()
            return super().run(inputs)

    def waiting(*arguments):
        assert at_b.wait(timeout=20)
        return plain(*arguments)

    monkeypatch.setattr(predict_module, "write_slide", waiting)
    summary = predict(requests(slides, "a.tiff", "b b.tiff"), tmp_path, Announcing())
    assert summary["status"].tolist() == ["ok", "ok"]


def test_another_mpp_predicts_again(slides: Path, tmp_path: Path) -> None:
    predict(requests(slides, "a.tiff"), tmp_path)
    given = [SlideRequest(slides / "a.tiff", 0.5)]
    summary = predict(given, tmp_path)
    assert (summary["mpp"][0], summary["mpp_source"][0]) == (0.5, "given")
    classifier = ColourClassifier()
    predict(given, tmp_path, classifier)
    assert not classifier.classified, "it was done"
    summary = predict(requests(slides, "a.tiff"), tmp_path)
    assert summary["mpp"][0] == 1.0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"recipe": "other"}, "recipe"),
        ({"sha256": {"patch/model.keras": "1" * 64}}, "sha256"),
        ({"preprocessing": PREPROCESSING.model_copy(update={"profile": "other"})}, "preprocessing"),
    ],
)
def test_two_models_do_not_mix(slides: Path, tmp_path: Path, change: dict, named: str) -> None:
    predict(requests(slides, "a.tiff"), tmp_path)
    before = (tmp_path / "run.json").read_bytes()
    other = dataclasses.replace(colour_model(), **change)
    with pytest.raises(RunError, match=rf"another model \(other {named}\)"):
        predict_slides(other, requests(slides, "b b.tiff"), tmp_path)
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_model_that_cannot_be_opened_leaves_the_folder_free(slides: Path, tmp_path: Path) -> None:
    broken = dataclasses.replace(broken_model(), sha256={"patch/model.keras": "1" * 64})
    with pytest.raises(ModelError, match="broken"):
        predict_slides(broken, requests(slides, "a.tiff"), tmp_path)
    summary = predict(requests(slides, "a.tiff"), tmp_path)
    assert summary["status"].tolist() == ["ok"]


def test_a_run_folder_is_not_written_into(slides: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: some")
    with pytest.raises(RunError, match="this is a run folder"):
        predict(requests(slides, "a.tiff"), tmp_path)


def test_another_slide_of_the_same_name_is_not_replaced(slides: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(requests(slides, "a.tiff"), out)
    other = tmp_path / "a.tiff"
    other.write_bytes((slides / "a.tiff").read_bytes())
    with pytest.raises(RunError, match="another slide named 'a'"):
        predict(requests(tmp_path, "a.tiff"), out)


def test_ctrl_c_keeps_finished_slides(slides: Path, tmp_path: Path) -> None:
    class Interrupted(ColourClassifier):
        def run(self, inputs: Feed) -> np.ndarray:
            if sum(self.classified) > 16 * 14 + 30:  # in the second slide
                raise KeyboardInterrupt
            return super().run(inputs)

    wanted = requests(slides, "a.tiff", "b b.tiff")
    with pytest.raises(KeyboardInterrupt):
        predict(wanted, tmp_path, Interrupted())
    assert pd.read_csv(tmp_path / "summary.csv")["slide"].tolist() == ["a"]
    assert len(files_of(tmp_path, "a")) == len(OUTPUTS)
    assert not files_of(tmp_path, "b b")
    assert not list(tmp_path.rglob(".*"))
    assert predict(wanted, tmp_path)["status"].tolist() == ["ok", "ok"]


def test_a_write_error_stops_and_keeps_finished_slides(slides: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(requests(slides, "a.tiff"), out)
    (out / "overlays" / "b b.png").mkdir()  # the rename onto it fails, as any write may
    with pytest.raises(OSError, match="b b.png"):
        predict(requests(slides, "b b.tiff"), out)
    assert pd.read_csv(out / "summary.csv")["slide"].tolist() == ["a"]
    assert len(files_of(out, "a")) == len(OUTPUTS)


def test_prediction_is_imported_without_pandas() -> None:
    code = "import sys, h2g.prediction.predict_slides; print('pandas' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr


def test_prediction_loads_no_deep_learning_library() -> None:
    code = (
        "import sys, h2g.prediction.predict_slides, h2g.prediction.find_model\n"
        "import h2g.slides.find_slides\n"
        "print([m for m in ('tensorflow', 'keras', 'torch', 'matplotlib', 'sklearn', 'scipy')"
        " if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
