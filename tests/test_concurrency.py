from __future__ import annotations

import threading
import time

import pytest

from h2g.concurrency import ReadAhead, WriteBehind


def test_results_come_in_order_of_the_items() -> None:
    def square(number: int) -> int:
        time.sleep(0.02 if number % 2 else 0)
        return number * number

    with ReadAhead(square, range(20), threads=4, ahead=6) as ahead:
        assert list(ahead) == [(number, number * number) for number in range(20)]
    assert ahead.seconds >= 10 * 0.02


def test_starts_at_once_and_waits_at_the_bound() -> None:
    started: list[int] = []
    with ReadAhead(started.append, range(100), threads=2, ahead=5) as ahead:
        wait_for(lambda: len(started) == 5)
        time.sleep(0.05)
        assert len(started) == 5
        iterator = iter(ahead)
        next(iterator)
        next(iterator)
        wait_for(lambda: len(started) == 7)
        time.sleep(0.05)
        assert len(started) == 7


def test_threads_work_at_once() -> None:
    meeting = threading.Barrier(3, timeout=10)  # passes only if three threads wait together

    with ReadAhead(lambda _: meeting.wait() >= 0, range(3), threads=3, ahead=3) as ahead:
        assert [met for _, met in ahead] == [True] * 3


def test_an_exception_is_raised_when_its_result_is_taken() -> None:
    def invert(number: int) -> float:
        return 1 / number

    with ReadAhead(invert, [2, 1, 0, 1], threads=1, ahead=4) as ahead:
        iterator = iter(ahead)
        assert [next(iterator), next(iterator)] == [(2, 0.5), (1, 1.0)]
        with pytest.raises(ZeroDivisionError):
            next(iterator)


def test_closing_drops_waiting_results_and_ends_the_threads() -> None:
    dropped: list[int] = []
    before = threading.active_count()
    with ReadAhead(lambda n: n, range(100), threads=2, ahead=4, drop=dropped.append) as ahead:
        taken = next(iter(ahead))
        wait_for(lambda: all(future.done() for _, future in ahead._waiting))
    assert taken == (0, 0)
    assert dropped == [1, 2, 3, 4]
    assert threading.active_count() == before


def test_tasks_run_in_order_on_another_thread() -> None:
    done: list[int] = []
    threads: set[str] = set()

    def task(number: int) -> None:
        time.sleep(0.02)
        threads.add(threading.current_thread().name)
        done.append(number)

    with WriteBehind() as behind:
        for number in range(3):
            behind.hand_over(lambda number=number: task(number))
            # The previous task is done; this one may still run.
            assert done[:number] == list(range(number))
        assert len(done) < 3
    assert done == [0, 1, 2]
    assert threading.current_thread().name not in threads


def test_an_exception_is_raised_at_the_next_task() -> None:
    started: list[int] = []

    def hand_over_two() -> None:
        with WriteBehind() as behind:
            behind.hand_over(fail)
            behind.hand_over(lambda: started.append(1))

    with pytest.raises(OSError, match="disk full"):
        hand_over_two()
    assert not started


def test_an_exception_of_the_last_task_is_raised_at_the_end() -> None:
    with pytest.raises(OSError, match="disk full"), WriteBehind() as behind:
        behind.hand_over(fail)


def test_the_running_task_is_finished_when_the_caller_is_stopped() -> None:
    done: list[int] = []

    def task() -> None:
        time.sleep(0.1)
        done.append(1)

    def stopped() -> None:
        with WriteBehind() as behind:
            behind.hand_over(task)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert done == [1]


def wait_for(condition, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.005)


def fail() -> None:
    raise OSError("disk full")
