"""Reading ahead: the same items, and a thread only where there is something to wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from batchinfer.inference.ahead import DEPTH, ReadAhead, busy_seconds


def _clock(step: float):
    now = iter(range(1_000_000))
    return lambda: next(now) * step


@pytest.mark.parametrize(("busy", "ahead"), [(0.95, False), (0.5, True)])
def test_a_thread_reads_where_a_tenth_of_the_time_is_waiting(busy: float, ahead: bool) -> None:
    items = ReadAhead(range(50), wall=_clock(1.0), busy=_clock(busy))
    assert list(items) == list(range(50))
    assert items.ahead is ahead
    items.close()


def test_no_thread_for_a_short_stream_and_one_at_once_where_it_is_known_to_pay() -> None:
    short = ReadAhead(range(4), wall=_clock(1.0), busy=_clock(0.0))
    assert list(short) == list(range(4)) and not short.ahead
    asked = ReadAhead(range(2), always=True)
    assert list(asked) == [0, 1] and asked.ahead
    assert list(ReadAhead([], always=True)) == []


def test_an_error_comes_where_its_item_would_have() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("disk gone")

    items = ReadAhead(source(), always=True)
    assert [next(items), next(items)] == [1, 2]
    for _ in range(2):
        with pytest.raises(OSError, match="disk gone"):
            next(items)


def test_it_holds_no_more_than_its_queue_and_ends_when_closed() -> None:
    read: list[int] = []

    def source() -> Iterator[int]:
        for number in range(1000):
            read.append(number)
            yield number

    items = ReadAhead(source(), always=True)
    assert next(items) == 0
    deadline = time.monotonic() + 60
    while len(read) < DEPTH + 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(read) <= DEPTH + 2
    items.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "read ahead"]
    assert len(read) < 10


def test_sleeping_is_not_busy_and_counting_is() -> None:
    before = busy_seconds()
    time.sleep(0.3)
    slept = busy_seconds() - before
    until = time.thread_time() + 0.2
    while time.thread_time() < until:
        pass
    assert slept < 0.1
    assert busy_seconds() - before - slept >= 0.15
