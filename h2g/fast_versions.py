"""Versions of FAST that pipelines are written for.

FastPathology 1.1.3 is built on FAST 4.9. Between 4.9 and 4.15 FAST changed how it chooses patches
and levels, so a bundle follows one of the two. h2g.slides.fast_patches has the rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FastName = Literal["4.9", "4.15"]


@dataclass(frozen=True)
class FastVersion:
    """A group of FAST versions that treat slides in the same way.

    Attributes:
        name: value of ``h2g export --fast-version``.
        oldest: first version of the group.
        newest: last version of the group.
        tested: version that the tests run and ``make fast-environment`` installs.
    """

    name: FastName
    oldest: str
    newest: str
    tested: str

    def covers(self, number: str) -> bool:
        """Whether a version, e.g. ``4.15.1``, belongs to the group."""
        return numbers_of(self.oldest) <= numbers_of(number) <= numbers_of(self.newest)

    @property
    def span(self) -> str:
        """Range of the group in words, e.g. ``4.15.0 to 4.15.1``."""
        return f"{self.oldest} to {self.newest}"


# The groups end where FAST changed. 4.9 chooses levels by um/px, 4.10 by the objective. 4.14 skips
# levels below 5 MiB, 4.15 keeps them. 4.16 looks for tissue only in the middle of a patch.
FAST_VERSIONS: dict[FastName, FastVersion] = {
    "4.9": FastVersion("4.9", oldest="4.9.0", newest="4.9.2", tested="4.9.2"),
    "4.15": FastVersion("4.15", oldest="4.15.0", newest="4.15.1", tested="4.15.1"),
}


def numbers_of(number: str) -> tuple[int, ...]:
    """Numbers of a version for comparison, e.g. (4, 15, 1) for ``4.15.1``."""
    return tuple(int(part) for part in number.split("."))
