"""The results of tools/fast_versions.py as Markdown, and as a section of a README."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from h2g.errors import H2GError
from h2g.slides.info import SlideInfo
from h2g.tables import markdown_table

BEGIN, END = "<!-- fast_versions: begin -->", "<!-- fast_versions: end -->"
HEADING = "## Versions"
COLUMNS = (
    "FAST",
    "headless runs",
    "FastPathology's parses",
    "and draws",
    "largest difference of the heatmap",
    "cells that only one classified",
    "equal labels",
)


@dataclass(frozen=True)
class Comparison:
    """Differences between FAST's files and h2g's own prediction.

    Attributes:
        heatmap_difference: the largest difference of a probability in cells that both classified;
            None without such cells.
        lone_cells: number of cells that only one of the two classified; None without a patch stage.
    """

    heatmap_difference: float | None
    lone_cells: int | None
    equal_labels: float


@dataclass(frozen=True)
class Outcome:
    """Results of one version of FAST.

    A step is "" if it succeeded, the reason if it failed, and None if it was not tried.

    Attributes:
        start: FAST is installed and starts.
        headless: the pipeline for runPipeline is parsed, runs and writes its files.
        parses: FAST parses the pipeline for FastPathology.
        draws: its renderers draw the slide, and its outputs exist.
        comparison: None if headless failed.
    """

    version: str
    start: str = ""
    headless: str | None = None
    parses: str | None = None
    draws: str | None = None
    comparison: Comparison | None = None

    @property
    def failures(self) -> dict[str, str]:
        """Reasons of failure, by step."""
        steps = {
            "start": self.start,
            "headless": self.headless,
            "FastPathology's, parsing": self.parses,
            "FastPathology's, drawing": self.draws,
        }
        return {step: reason for step, reason in steps.items() if reason}


def title(group: str, info: SlideInfo) -> str:
    width, height = info.field_level0
    objective = f"{info.objective_power:g}x" if info.objective_power else "no objective"
    levels = ", ".join(f"{level.downsample:.4g}" for level in info.levels)
    return (
        f"Bundle for FAST {group}, {info.path.name}: {width} x {height} px at "
        f"{info.known_mpp:.4g} um/px ({objective}), levels {levels}"
    )


def table(heading: str, outcomes: Sequence[Outcome]) -> str:
    """A section of Markdown: the heading, one row per version, and the reasons of failures."""
    rows = [_cells(outcome) for outcome in outcomes]
    lines = [f"### {heading}", "", markdown_table(COLUMNS, rows)]
    reasons = [
        f"- {outcome.version}, {step}: {reason}"
        for outcome in outcomes
        for step, reason in outcome.failures.items()
    ]
    if reasons:
        lines += ["", *reasons]
    return "\n".join(lines) + "\n"


def with_section(text: str, section: str) -> str:
    """A README with a section between its markers.

    The section replaces one with the same heading, or is added after the others.

    Raises:
        H2GError: the README has neither markers nor a place for them.
    """
    if BEGIN not in text:
        text = _with_markers(text)
    before, _, rest = text.partition(BEGIN)
    inside, _, after = rest.partition(END)
    parts = [part.strip() for part in re.split(r"^(?=### )", inside, flags=re.M) if part.strip()]
    by_heading = {part.splitlines()[0]: part for part in parts}
    by_heading[section.splitlines()[0]] = section.strip()
    body = "\n\n".join(by_heading.values())
    return f"{before}{BEGIN}\n\n{body}\n\n{END}{after}"


def _with_markers(text: str) -> str:
    """Adds the markers at the end of the section ``## Versions``."""
    section = re.search(rf"^{HEADING}$.*?(?=^## |\Z)", text, flags=re.M | re.S)
    if section is None:
        raise H2GError(
            f"The README has no section '{HEADING}' for the table. Add it, or the lines "
            f"{BEGIN} and {END}."
        )
    end = section.end()
    return f"{text[:end].rstrip()}\n\n{BEGIN}\n{END}\n\n{text[end:]}".rstrip("\n") + "\n"


def _cells(outcome: Outcome) -> list[str]:
    steps = (outcome.headless, outcome.parses, outcome.draws)
    done = ["-" if step is None else "no" if step else "yes" for step in steps]
    return [outcome.version, *done, *_figures(outcome.comparison)]


def _figures(comparison: Comparison | None) -> list[str]:
    if comparison is None:
        return ["-"] * 3
    difference, lone = comparison.heatmap_difference, comparison.lone_cells
    return [
        "-" if difference is None else f"{difference:.1e}" if difference else "0",
        "-" if lone is None else str(lone),
        f"{100 * comparison.equal_labels:.4f} %",
    ]
