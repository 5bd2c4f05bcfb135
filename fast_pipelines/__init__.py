"""FAST text pipelines as templates; imported as h2g.fast_pipelines."""

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
# {{name}} of a value that is filled in; FAST's own variables are @@name@@.
PLACE = re.compile(r"\{\{(\w+)\}\}")
LINE_OF_ONE = re.compile(rf"^{PLACE.pattern}\n", re.MULTILINE)
INCLUDE = re.compile(r"^include (.+)$", re.MULTILINE)


def fill(template: Template, values: Mapping[str, str]) -> str:
    """The text of a pipeline.

    Args:
        values: for every place of the template and its parts; KeyError when one is missing. A
            place alone on a line may be several lines, or none.
    """
    text = INCLUDE.sub(lambda match: _read(match[1]).rstrip("\n"), _read(f"{template}.fpl"))
    text = LINE_OF_ONE.sub(lambda match: f"{values[match[1]]}\n" if values[match[1]] else "", text)
    return PLACE.sub(lambda match: values[match[1]], text)


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")
