"""Licences with a short name, and the page with their text."""

from __future__ import annotations

# In SPDX spelling.
SPDX_NAMES = (
    "CC0-1.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-ND-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-NC-ND-4.0",
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "MPL-2.0",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "LGPL-3.0-only",
    "LGPL-3.0-or-later",
    "AGPL-3.0-only",
    "AGPL-3.0-or-later",
)


def licence_url(licence: str) -> str:
    """The page of a licence, or "" if it is unknown; ``CC BY 4.0`` counts as CC-BY-4.0."""
    written = "-".join(licence.split()).lower()
    for name in SPDX_NAMES:
        if name.lower() == written:
            return f"https://spdx.org/licenses/{name}.html"
    return ""
