"""Texts from outside, compared and escaped for the languages that they go into."""

from __future__ import annotations

import unicodedata


def same_text(text: str) -> str:
    """The form in which two spellings are compared: case, width and spaces make no difference."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
