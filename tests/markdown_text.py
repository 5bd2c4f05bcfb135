"""What tests of Markdown share."""

import re


def narrow(text: str) -> str:
    """The text with each run of spaces as one, so that a table's rows do not depend on widths."""
    return re.sub(" +", " ", text)
