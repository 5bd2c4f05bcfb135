"""Texts from outside in shells, YAML, CSV and names of files."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from h2g.recipes.reading import load_recipe
from h2g.texts import (
    flow_yaml,
    joined,
    name_of_slide,
    parted,
    printable,
    same_text,
    set_option,
    shell_command,
)

NAMES = (
    *("In situ: Tumor", "Carcinoma, invasive", "1", "No", "Crohn's area", "Region #2"),
    *("pT1b [core]", "null", "", "a\nb", "$HOME", '"quoted"', "`ls`", "x=y", "- a", "😀 ü", "1e5"),
    *("~", "a\\b", "\x7f", "{a}", "!", "*", "&x", "0x1F", "2024-01-01"),
)


@pytest.mark.parametrize("name", NAMES)
def test_names_go_through_yaml_and_a_shell(name: str) -> None:
    assert yaml.safe_load(flow_yaml(["tumor", name])) == ["tumor", name]
    assert yaml.safe_load(flow_yaml({name: [name]})) == {name: [name]}
    option, word = in_a_shell(set_option("annotation.ignored", [name]))
    assert option == "--set"
    key, _, value = word.partition("=")
    assert (key, yaml.safe_load(value)) == ("annotation.ignored", [name])


def in_a_shell(command: str) -> list[str]:
    bash = shutil.which("bash")
    if bash is None:
        return shlex.split(command)
    script = f"printf '%s\\0' {command}"
    output = subprocess.run([bash, "-c", os.fsencode(script)], capture_output=True, check=True)
    return [os.fsdecode(word) for word in output.stdout.split(b"\0")[:-1]]


@pytest.mark.parametrize("value", [3, 1e-5, True, None, {"a": 1e-5, "b": [1, "x"]}, "no", "a"])
def test_other_values_keep_their_types(value: object) -> None:
    assert yaml.safe_load(flow_yaml(value)) == value


def test_lists_are_read_well() -> None:
    option = set_option("annotation.classes.tumour", ("tumor", "No"))
    assert option == """--set 'annotation.classes.tumour=["tumor", "No"]'"""
    settings = load_recipe("demo", (shlex.split(option)[1],)).annotation
    assert settings.classes == {"tumour": ("tumor", "No")}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize("name", ["my run", "it's", "$(ls)", "gr\udcfcn's", "a\nb", "plain"])
def test_paths_go_through_a_shell(name: str) -> None:
    assert in_a_shell(shell_command("h2g", "export", Path(name))) == ["h2g", "export", name]


def test_names_that_are_not_utf8() -> None:
    latin = os.fsdecode("grün.svs".encode("latin-1"))
    assert name_of_slide(Path(latin)) == "gr%FCn"
    assert name_of_slide(Path("grün [x].svs")) == "grün [x]"
    assert printable(latin) == "gr\\udcfcn.svs"
    assert printable("grün") == "grün"


@pytest.mark.parametrize("texts", [["a"], [], ["a", "b c"], ["a;b", 'c"d', "e\nf", ""]])
def test_joined_texts_are_parted_again(texts: list[str]) -> None:
    assert parted(joined(texts, ";"), ";") == texts
    assert joined(["a", "b"], ";") == "a;b"


def test_spellings_of_the_same_text() -> None:
    assert (
        same_text(" Gr\u00fcn  A")
        == same_text("gru\u0308n a")
        == same_text("\uff27r\u00fcn\u00a0A")
    )
    assert same_text("007") != same_text("7")
