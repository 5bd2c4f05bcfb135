from __future__ import annotations

import threading
import time

import pytest

from h2g.concurrency import WriteBehind


def test_pieces_run_in_order_beside_the_caller() -> None:
    done: list[int] = []
    threads: set[str] = set()

    def piece(number: int) -> None:
        time.sleep(0.02)
        threads.add(threading.current_thread().name)
        done.append(number)

    with WriteBehind() as behind:
        for number in range(3):
            behind.hand_over(lambda number=number: piece(number))
            # The one before is done, this one may still run.
            assert done[:number] == list(range(number))
        assert len(done) < 3
    assert done == [0, 1, 2]
    assert threading.current_thread().name not in threads


def test_an_exception_surfaces_at_the_next_piece() -> None:
    started: list[int] = []

    def hand_over_two() -> None:
        with WriteBehind() as behind:
            behind.hand_over(_fail)
            behind.hand_over(lambda: started.append(1))

    with pytest.raises(OSError, match="disk full"):
        hand_over_two()
    assert not started


def test_an_exception_of_the_last_piece_surfaces_at_the_end() -> None:
    with pytest.raises(OSError, match="disk full"), WriteBehind() as behind:
        behind.hand_over(_fail)


def test_the_piece_in_hand_is_finished_when_the_caller_is_stopped() -> None:
    done: list[int] = []

    def piece() -> None:
        time.sleep(0.1)
        done.append(1)

    def stopped() -> None:
        with WriteBehind() as behind:
            behind.hand_over(piece)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert done == [1]


def _fail() -> None:
    raise OSError("disk full")
