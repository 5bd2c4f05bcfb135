from __future__ import annotations

import signal

import pytest
from fast_crashes import TRIES, retry_crashes


@pytest.mark.parametrize(
    ("codes", "calls"),
    [
        ([0], 1),
        ([-signal.SIGSEGV, 128 + signal.SIGSEGV, 1], 3),
        ([None], 1),  # killed for its time: another try would take as long
        ([-signal.SIGSEGV] * (TRIES + 1), TRIES),
    ],
)
def test_only_crashes_are_tried_again(codes: list[int | None], calls: int) -> None:
    runs = iter(enumerate(codes, start=1))

    def run() -> tuple[int | None, int]:
        number, code = next(runs)
        return code, number

    assert retry_crashes(run) == (codes[calls - 1], calls)
