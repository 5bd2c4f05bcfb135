"""The pages against the tree: the files they name, and the files that list all rows of a kind."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from h2g.engines.specs import ENGINES
from h2g.results.outputs import OUTPUTS
from tests.test_imports import MODULES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# A path of the repository in code quotes. Paths below runs and bundles have other first folders.
PATHS = re.compile(r"`((?:h2g|exporters|fast_pipelines|tests|tools|docs)/[\w./-]+)`")
LINKS = re.compile(r"\]\((?!https?:|#)([^)#]+)")
FUNCTIONS = re.compile(r"`(\w+)` of `((?:h2g|exporters)/[\w/]+\.py)`")

# The modules that list all engines and all stages.
OF_ENGINES = {"h2g.engines.specs"}
OF_STAGES = {"h2g.stages.chain"}


def words(module: str) -> set[str]:
    """The module's string constants."""
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_existing_files(page: Path) -> None:
    text = page.read_text("utf-8")
    for name in PATHS.findall(text):
        assert (ROOT / name).exists(), f"{page.name} names {name}"
    for link in LINKS.findall(text):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_existing_functions(page: Path) -> None:
    for function, file in FUNCTIONS.findall(page.read_text("utf-8")):
        source = (ROOT / file).read_text("utf-8")
        found = re.search(rf"^(?:def|class) {function}\b|^{function}\b.* = ", source, re.MULTILINE)
        assert found, f"{page.name}: {file} has no {function}"


def test_one_file_lists_the_engines() -> None:
    """An engine is a module and a row: no other module has the names of them all."""
    names = set(ENGINES)
    assert {module for module in MODULES if names <= words(module)} == OF_ENGINES


def test_one_file_lists_the_stages() -> None:
    kinds = {"CLUSTERS", "PATCH", "FOLDS", "HEATMAPS", "REFINEMENT"}

    def imported(module: str) -> set[str]:
        tree = ast.parse(MODULES[module].read_text("utf-8"))
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        return {alias.name for node in nodes for alias in node.names}

    assert {module for module in MODULES if kinds <= imported(module)} == OF_STAGES


def test_outputs_are_named_by_their_table_alone() -> None:
    """No other module has the names of the folders of all outputs."""
    folders = {output.folder for output in OUTPUTS.values()}
    assert {module for module in MODULES if folders <= words(module)} == {"h2g.results.outputs"}
