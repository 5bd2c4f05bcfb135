"""tools/fast_versions.py, apart from FAST: its figures, its table and the README that it fills."""

from __future__ import annotations

import re
from pathlib import Path

import fast_versions
import numpy as np
import pytest
from fast_versions_table import Comparison, Outcome, table, title, with_section

from h2g.errors import H2GError
from h2g.fast_versions import FAST_VERSIONS
from h2g.slides.info import Level, SlideInfo
from tests.markdown_text import narrow

MAKEFILE = Path(__file__).parents[2] / "Makefile"
README = """# Pipelines

## Versions

Two groups.

## What else

Nothing.
"""


def heatmap(rows: int, cols: int, *, first: float) -> np.ndarray:
    """(rows, cols, 2) with one cell that was classified, in the corner."""
    values = np.zeros((rows, cols, 2), np.float32)
    values[0, 0] = first, 1 - first
    return values


def test_the_makefile_installs_what_is_tested() -> None:
    (versions,) = re.findall(r"^TESTED_FASTS := (.+)$", MAKEFILE.read_text(), re.M)
    assert versions.split() == [group.tested for group in FAST_VERSIONS.values()]
    assert set(versions.split()) <= set(fast_versions.VERSIONS)


def test_grids_of_two_sizes() -> None:
    ours, larger = heatmap(2, 3, first=0.25), heatmap(4, 3, first=0.5)
    assert fast_versions.compare_heatmaps(larger, ours) == (0.25, 0)
    assert fast_versions.compare_heatmaps(heatmap(1, 5, first=0.25), ours) == (0.0, 0)
    larger[3, 1] = 0.5  # beyond ours
    ours[1, 2] = 0.5  # in both grids, but empty in theirs
    assert fast_versions.compare_heatmaps(larger, ours) == (0.25, 2)
    assert fast_versions.compare_heatmaps(np.zeros((2, 3, 2), np.float32), ours) == (None, 2)


def test_a_program_that_never_ends_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_versions, "TIMEOUT_S", 1.0)
    alive = tmp_path / "alive"
    child = f"echo PARSED; (sleep 3; touch '{alive}') & wait"
    code, said = fast_versions.run_killable(["sh", "-c", child])
    assert (code, said) == (None, "PARSED\n")
    assert fast_versions.why_ended(code, said) == "it did not end within 1 seconds"
    assert fast_versions.run_killable(["sh", "-c", "echo one; echo two >&2; exit 3"]) == (
        3,
        "one\ntwo\n",
    )
    assert fast_versions.why_ended(3, "one\ntwo\n") == "two"
    assert fast_versions.why_ended(1, "RuntimeError: no\ntry again\n") == "RuntimeError: no"
    assert fast_versions.why_ended(3, "") == "it ended with code 3"


def test_the_table() -> None:
    info = SlideInfo(
        path=Path("slides/a.svs"),
        vendor="aperio",
        field_level0=(4000, 3000),
        mpp=0.25,
        mpp_xy=(0.5, 0.5),
        mpp_source="slide",
        objective_power=40.0,
        levels=(Level((4000, 3000), 1.0), Level((999, 750), 4.002)),
        bounds_level0=(0, 0, 4000, 3000),
        tile_px=(256, 256),
        problems=(),
    )
    heading = title("4.9", info)
    assert heading == (
        "Bundle for FAST 4.9, a.svs: 4000 x 3000 px at 0.25 um/px (40x), levels 1, 4.002"
    )
    outcomes = [
        Outcome("4.9.2", "", "", "", "", Comparison(2.34e-4, 3, 0.9999)),
        Outcome("4.12.0", start="FAST does not start (no library)."),
        Outcome("4.14.1", "", "", "", "it crashed 5 times", Comparison(0.0, 0, 1.0)),
        Outcome("4.18.0", "", "No such level", "", "", None),
        Outcome("4.15.1", "", "", "", "", Comparison(None, None, 1.0)),
    ]
    lines = narrow(table(heading, outcomes)).splitlines()
    assert lines[0] == f"### {heading}"
    assert lines[4:] == [
        "| 4.9.2 | yes | yes | yes | 2.3e-04 | 3 | 99.9900 % |",
        "| 4.12.0 | - | - | - | - | - | - |",
        "| 4.14.1 | yes | yes | no | 0 | 0 | 100.0000 % |",
        "| 4.18.0 | no | yes | yes | - | - | - |",
        "| 4.15.1 | yes | yes | yes | - | - | 100.0000 % |",
        "",
        "- 4.12.0, start: FAST does not start (no library).",
        "- 4.14.1, FastPathology's, drawing: it crashed 5 times",
        "- 4.18.0, headless: No such level",
    ]


def test_sections_of_the_readme() -> None:
    first = with_section(README, "### One\n\n| a |\n")
    assert first == README.replace(
        "Two groups.\n",
        "Two groups.\n\n<!-- fast_versions: begin -->\n\n### One\n\n| a |\n\n"
        "<!-- fast_versions: end -->\n",
    )
    both = with_section(first, "### Two\n\n| b |\n")
    assert both == first.replace("| a |\n", "| a |\n\n### Two\n\n| b |\n")
    assert with_section(both, "### One\n\n| c |\n") == both.replace("| a |", "| c |")
    assert with_section(both, "### One\n\n| a |\n") == both
    last = README.partition("## What else")[0]
    assert with_section(last, "### One\n").endswith("### One\n\n<!-- fast_versions: end -->\n")
    with pytest.raises(H2GError, match="no section '## Versions' for the table"):
        with_section("# Pipelines\n", "### One\n")
