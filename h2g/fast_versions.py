"""The versions of FAST that pipelines are written for, and what each name covers.

FAST changed how it chooses patches and levels between 4.9, which FastPathology 1.1.3 is built on,
and 4.15; a bundle follows one of them (h2g.slides.fast_patches has the rules).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FastName = Literal["4.9", "4.15"]


@dataclass(frozen=True)
class FastVersion:
    """A group of FAST's versions that treat slides alike.

    Attributes:
        name: as ``h2g export --fast-version`` takes it.
        oldest: the first version of the group.
        newest: the last one.
        tested: the version that tests run and ``make fast-environment`` installs.
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
        """The group in words, e.g. ``4.15.0 to 4.15.1``."""
        return f"{self.oldest} to {self.newest}"


# 4.10 chooses levels by the objective, 4.9 by um/px; 4.15 keeps levels below 5 MiB, 4.14 does not;
# 4.16 tests tissue in the middle of a patch alone.
FAST_VERSIONS: dict[FastName, FastVersion] = {
    "4.9": FastVersion("4.9", oldest="4.9.0", newest="4.9.2", tested="4.9.2"),
    "4.15": FastVersion("4.15", oldest="4.15.0", newest="4.15.1", tested="4.15.1"),
}


def numbers_of(number: str) -> tuple[int, ...]:
    """A version's numbers, to compare: of ``4.15.1``, (4, 15, 1)."""
    return tuple(int(part) for part in number.split("."))
