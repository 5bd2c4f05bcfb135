"""Texts from outside, compared and escaped for the languages that they go into.

A file name that is not UTF-8 reaches Python with surrogates, which no file in UTF-8 can hold.
"""

from __future__ import annotations

import csv
import io
import os
import shlex
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml


def same_text(text: str) -> str:
    """The form in which two spellings are compared: case, width and spaces make no difference."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def printable(text: str) -> str:
    r"""The text with bytes that are not UTF-8 as ``\udcfc``, which is JSON's escape, too."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def name_of_slide(path: Path) -> str:
    """The name of a slide and of its outputs: the file's stem.

    Bytes that are not UTF-8 become ``%FC``, because not every library can open such a file.
    """
    return "".join(char if printable(char) == char else _in_percent(char) for char in path.stem)


def _in_percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))


def flow_yaml(value: Any) -> str:
    """The value as YAML in one line, where ``no``, ``1`` and ``a: b`` stay the texts they are."""
    text = yaml.safe_dump(
        value,
        # Double quotes are the easiest to read inside a shell's single ones.
        default_style='"' if _has_only_texts(value) else None,
        default_flow_style=True,
        allow_unicode=True,
        width=float("inf"),
        sort_keys=False,
    )
    return text.removesuffix("...\n").strip()


def _has_only_texts(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_has_only_texts, [*value, *value.values()]))
    if isinstance(value, list | tuple):
        return all(map(_has_only_texts, value))
    return isinstance(value, str)


def set_option(key: str, value: Any) -> str:
    """``--set KEY=VALUE`` that can be pasted into a shell."""
    return f"--set {shell_word(f'{key}={flow_yaml(value)}')}"


def shell_command(*words: object) -> str:
    """A command line that can be pasted into a shell."""
    return " ".join(shell_word(str(word)) for word in words)


def shell_word(text: str) -> str:
    """The text as one word of a shell's command line."""
    if text.isprintable():
        return shlex.quote(text)
    parts = (char if char.isprintable() and char not in "'\\" else _in_hex(char) for char in text)
    return f"$'{''.join(parts)}'"


def _in_hex(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))


def first_few(names: Sequence[str], count: int = 5) -> str:
    """The first names, separated by commas, with ``...`` for the others."""
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def joined(texts: Sequence[str], separator: str) -> str:
    """Texts in one cell of a table; those that hold the separator are in double quotes."""
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator, lineterminator="\n").writerow(texts)
    return stream.getvalue()[:-1]


def parted(text: str, separator: str) -> list[str]:
    """The texts that :func:`joined` put together."""
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
