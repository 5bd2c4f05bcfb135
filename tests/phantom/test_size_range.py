"""Cohorts whose slides have different sizes, turned sections and uneven glass."""

import json
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from h2g.cli.main import main
from h2g.cli.phantom import SizeMm
from h2g.errors import WrongUseError
from h2g.phantom import generate_cohort
from h2g.phantom.anatomy import Anatomy, Tissue
from h2g.phantom.cohort import LONGEST, _rows, splits
from h2g.phantom.frame import Frame
from h2g.phantom.regions import draw_scanned_sections
from h2g.phantom.slide import draw_plan
from h2g.phantom.writing import level_sizes

RANGE = (5.0, 20.0)


def rows(slides: int = 12, seed: int = 1) -> list:
    return _rows(slides, size_mm=RANGE, mpp=4.0, seed=seed, suffix="svs", anatomy=Anatomy())


def sides_mm(slides: int = 12, seed: int = 1) -> np.ndarray:
    return np.array([row.options.size_px for row in rows(slides, seed)]) * 4.0 / 1000


@pytest.mark.parametrize(
    ("text", "size"), [("8", 8.0), ("2.5", 2.5), ("5-20", RANGE), ("5.0-20.0", RANGE)]
)
def test_sizes_and_ranges_are_read(text: str, size: object) -> None:
    assert SizeMm().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["20-5", "5-", "-5", "abc", "5-10-20", "", "8-8"])
def test_other_texts_are_a_sentence(text: str) -> None:
    with pytest.raises(click.BadParameter, match="neither a size nor a range, such as 8 or 5-20"):
        SizeMm().convert(text, None, None)


def test_a_size_that_no_slide_has_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(WrongUseError, match="5 to 200 mm cannot be made"):
        generate_cohort(tmp_path / "out", size_mm=(5.0, 200.0))
    arguments = ["phantom", str(tmp_path / "out"), "--size-mm", "20-5"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "'20-5' is neither" in result.stderr


def test_every_split_covers_the_range() -> None:
    short = sides_mm().min(axis=1)
    assert short.min() >= 5
    assert short.max() <= 20.1
    for split in ("train", "val", "test"):
        own = np.sort(short[[each == split for each in splits(12)]])
        parts = np.floor((own - 5) / 15 * len(own)).astype(int)
        assert parts.tolist() == list(range(len(own)))


def test_sides_differ_by_at_most_a_half() -> None:
    sides = sides_mm(40)
    ratios = sides.max(axis=1) / sides.min(axis=1)
    assert ratios.max() <= LONGEST + 0.01
    assert ratios.max() > 1.3
    assert 0.2 < (sides[:, 0] > sides[:, 1]).mean() < 0.8


def test_every_level_has_half_the_size_of_the_one_before() -> None:
    for row in rows():
        sizes = level_sizes(row.options.size_px)
        assert all(
            (2 * narrow, 2 * low) == (wide, high)
            for (wide, high), (narrow, low) in zip(sizes, sizes[1:], strict=False)
        )


def test_the_seed_sets_the_sizes() -> None:
    np.testing.assert_array_equal(sides_mm(seed=2), sides_mm(seed=2))
    assert np.abs(sides_mm(seed=2) - sides_mm(seed=3)).min() > 0


def glass(tissue: np.ndarray) -> np.ndarray:
    """Glass on the four sides, as shares of the slide's side."""
    rows, cols = np.flatnonzero(tissue.any(1)), np.flatnonzero(tissue.any(0))
    height, width = tissue.shape
    ends = [rows[0] / height, 1 - rows[-1] / height, cols[0] / width, 1 - cols[-1] / width]
    return np.array(ends)


def test_glass_and_angle_differ_from_slide_to_slide() -> None:
    frame = Frame.of((512, 640), 8.0)
    found, angles = [], []
    for seed in range(24):
        tissue = draw_scanned_sections(frame, np.random.default_rng(seed))
        assert 0.1 < tissue.mean() < 0.7
        found.append(glass(tissue))
        points = np.argwhere(tissue)
        values, vectors = np.linalg.eigh(np.cov(points.T))
        if values[1] > 1.7 * values[0]:
            angles.append(np.degrees(np.arctan2(*vectors[:, 1])) % 180)
    shares = np.array(found)
    assert shares.min() > 0
    assert (shares.max(axis=1) - shares.min(axis=1)).mean() > 0.1
    # Every third of the half circle.
    assert {int(angle // 60) for angle in angles} == {0, 1, 2}


def test_larger_slides_have_more_regions_not_larger_ones() -> None:
    areas = {}
    by_size = sorted(rows(12), key=lambda row: min(row.options.size_px))
    for row in (by_size[0], by_size[-3]):
        plan = draw_plan(row.options).plan
        _, _, stats, _ = cv2.connectedComponentsWithStats(plan.outline.astype(np.uint8))
        largest = np.sort(stats[1:, cv2.CC_STAT_AREA])[-1] * plan.frame.cell_mm2
        areas[(plan.classes != Tissue.GLASS).sum() * plan.frame.cell_mm2] = (len(stats), largest)
    tissue = sorted(areas)
    assert tissue[-1] > 4 * tissue[0]
    assert areas[tissue[-1]][0] > 2 * areas[tissue[0]][0]
    assert areas[tissue[-1]][1] < 25


def test_a_cohort_is_made_and_another_range_is_refused(tmp_path: Path) -> None:
    options = {"slides": 3, "mpp": 4.0, "seed": 1, "jobs": 1}
    generate_cohort(tmp_path, size_mm=(1.0, 2.0), **options)
    assert json.loads((tmp_path / "phantom.json").read_text())["options"]["size_mm"] == [1.0, 2.0]
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "slides").iterdir()}
    generate_cohort(tmp_path, size_mm=(1.0, 2.0), **options)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "slides").iterdir()} == written
    with pytest.raises(WrongUseError, match=r"size_mm was \[1.0, 2.0\] and is now \[1.0, 3.0\]"):
        generate_cohort(tmp_path, size_mm=(1.0, 3.0), **options)
