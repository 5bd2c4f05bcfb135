"""The settings of the documentation site: ``make docs``."""

from __future__ import annotations

import re

import h2g

project = "h2g"
author = "the h2g developers"
version = release = h2g.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
html_theme = "furo"
html_title = "h2g"
myst_heading_anchors = 3
# Pages link to files outside docs/; on the site, these links show plain text.
suppress_warnings = ["myst.xref_missing"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
exclude_patterns = ["build"]


def _as_code(app, ctx, lines):
    """Shows the examples of a command's help, which sphinx-click gives as ``| ``, as code."""
    text = "\n".join(lines)
    text = re.sub(r"(?m)^\| (\S.*):$", r"\1::\n", text)
    lines[:] = re.sub(r"(?m)^\| ", "", text).split("\n")


def setup(app):
    app.connect("sphinx-click-process-description", _as_code)
