"""Templates of FAST text pipelines; imported as h2g.fast_pipelines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Literal

Template = Literal[
    "one_stage",
    "two_stage",
    "slide_only",
    "tiles",
    "one_stage_headless",
    "two_stage_headless",
    "slide_only_headless",
    "tiles_headless",
    "channel.part",
    "extent.part",
]
# A place {{name}}, which is replaced by a value. FAST's own variables are @@name@@.
PLACE = re.compile(r"\{\{(\w+)\}\}")
LINE_OF_ONE = re.compile(rf"^{PLACE.pattern}\n", re.MULTILINE)
INCLUDE = re.compile(r"^include (.+)$", re.MULTILINE)


def fill(template: Template, values: Mapping[str, str]) -> str:
    """Fills in the text of a pipeline.

    Args:
        values: one per place of the template and its parts; KeyError if one is missing. The value
            of a place that is alone on a line may be several lines, or empty.
    """
    text = INCLUDE.sub(lambda match: _read(match[1]).rstrip("\n"), _read(f"{template}.fpl"))
    text = LINE_OF_ONE.sub(lambda match: f"{values[match[1]]}\n" if values[match[1]] else "", text)
    return PLACE.sub(lambda match: values[match[1]], text)


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")
