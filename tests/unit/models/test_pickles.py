"""What a pickle would import is told as an unpickler does it, or told as hidden. The unpickler of
these tests imports nothing: it writes down what it is asked for.
"""

from __future__ import annotations

import datetime
import io
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.models.formats.pickles import UNKNOWN, imported


class Named:
    """Stands for whatever was asked for."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


class Watcher(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.asked: set[str] = set()

    def find_class(self, module: str, name: str, /) -> Any:
        self.asked.add(f"{module}.{name}")
        return Named


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


POP, DUP, MARK, POP_MARK, TUPLE, MEMOIZE = b"0", b"2", b"(", b"1", b"t", b"\x94"
STACK_GLOBAL, NONE, EMPTY_LIST, APPEND, STOP = b"\x93", b"N", b"]", b"a", b"."


@pytest.mark.parametrize(
    ("program", "asked"),
    [
        (text("os") + text("decoy") + POP + text("sep"), "os.sep"),
        (text("os") + DUP, "os.os"),
        (text("os") + MARK + text("decoy") + POP_MARK + text("sep"), "os.sep"),
        (text("sep") + MEMOIZE + POP + text("os") + b"h\x00", "os.sep"),
        (text("os") + MEMOIZE + text("decoy") + b"q\x00" + POP + b"h\x00", "os.decoy"),
        (text("os") + MARK + text("decoy") + TUPLE + POP + text("sep"), "os.sep"),
    ],
)
def test_what_stood_on_the_stack_and_is_gone_is_not_what_is_imported(
    program: bytes, asked: str
) -> None:
    data = b"\x80\x04" + program + STACK_GLOBAL + STOP
    watcher = Watcher(data)
    watcher.load()
    assert imported(data) == watcher.asked == {asked}


def test_a_name_that_is_no_string_is_hidden() -> None:
    assert imported(b"\x80\x04" + text("os") + NONE + STACK_GLOBAL + STOP) == {UNKNOWN}
    assert imported(b"\x80\x04" + STACK_GLOBAL + STOP) == {UNKNOWN}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_real_objects(protocol: int) -> None:
    itself: list[Any] = []
    itself.append((itself, 1, 2, 3))
    things = [np.arange(3), datetime.date(2026, 11, 21), {"a": {1, 2}}, itself, b"x", complex(1, 2)]
    data = pickle.dumps(things, protocol)
    watcher = Watcher(data)
    watcher.load()
    assert watcher.asked and imported(data) == watcher.asked


PIECES = st.one_of(
    st.sampled_from(["os", "sep", "posixpath", "join"]).map(text),
    st.sampled_from(
        [POP, DUP, MARK, POP_MARK, TUPLE, MEMOIZE, STACK_GLOBAL, NONE, EMPTY_LIST, APPEND]
    ),
    st.integers(0, 3).map(lambda place: b"h" + bytes([place])),
    st.integers(0, 3).map(lambda place: b"q" + bytes([place])),
)


@settings(max_examples=300)
@given(pieces=st.lists(PIECES, max_size=8))
def test_any_program_that_an_unpickler_runs_is_told_as_it_runs_it(pieces: list[bytes]) -> None:
    start = text("os") + MEMOIZE + text("path")
    data = b"\x80\x04" + start + b"".join(pieces) + STACK_GLOBAL + STOP
    watcher = Watcher(data)
    try:
        watcher.load()
    except (pickle.UnpicklingError, IndexError, KeyError, TypeError, AttributeError, EOFError):
        # What was asked for before it broke counts all the same.
        assert watcher.asked <= imported(data)
        return
    assert imported(data) == watcher.asked
