"""Cuts the elements of a JSON array out of its bytes, without reading what they say.

Owns brackets, strings and commas: where each element starts and ends, and on which line. Must not
know columns, nor whether an element is valid JSON by itself.

Two ways in: `read_array` for a file that is one array, however long, with memory for one element;
`cut_elements` for a list somewhere inside a document held in memory. An element is what stands
between two commas of the array, so a damaged one (a comma too many, a word that is no value) leaves
the others whole. Where brackets do not pair, or a string has no end on its line, no one can tell
where the next element starts, and the file as a whole is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from batchinfer.config.json_paths import JsonStep, read_json_path, written_path
from batchinfer.errors import InputError
from batchinfer.sources.parsed import MAX_RECORD_BYTES

_SHOWN = 20
_SPACES = b" \t\r\n"
_SPACE = re.compile(rb"[ \t\r\n]*+")


def _run(plain: bytes, other: bytes) -> bytes:
    """Runs of plain bytes with other things between them, without a way back into it: what cannot
    match fails at once.

    An atomic group and not a possessive one: up to Python 3.11.4 those go wrong around alternatives
    (python/cpython#106052).
    """
    return plain + b"*+(?>(?:(?:" + other + b")" + plain + b"*+)*)"


# A string ends on its line, since JSON has no raw line feeds in strings.
_OPEN_TEXT = b'"' + _run(rb'[^"\\\n]', rb"\\[^\n]")
_STRING = _OPEN_TEXT + b'"'
_PLAIN = rb'[^"{}\[\]]'


def _nested(levels: int) -> bytes:
    """Strings, and containers that are nested so deep: one step for all of it saves much time."""
    if levels == 0:
        return _STRING
    inside = _run(_PLAIN, _nested(levels - 1))
    return _STRING + rb"|\{" + inside + rb"\}|\[" + inside + rb"\]"


_LEVELS = 3
_OPEN_STRING = re.compile(_OPEN_TEXT)
_TO_BRACKET = re.compile(_run(_PLAIN, _nested(_LEVELS)) + rb"[{}\[\]]")
_TO_BREAK = re.compile(_run(rb'[^"{}\[\],]', _nested(_LEVELS)) + rb"[{}\[\],]")
_NO_BRACKET = re.compile(_run(_PLAIN, _STRING))
_KEY = re.compile(rb"[ \t\r\n]*(" + _STRING + rb")[ \t\r\n]*:")
_OPENING = b"{["
_COMMA = ord(",")


@dataclass(frozen=True)
class Element:
    """One element: its bytes without the spaces around it, and the physical line (1-based) at which
    it starts.
    """

    line: int
    raw: bytes


class _Broken(ValueError):
    """Brackets that do not pair, or a string without its end, at an offset."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


class _Cutter:
    """A window on the bytes of one container, from the element that is being cut to what was read
    last.

    Attributes:
        data: the window.
        at: offset of what comes next.
    """

    def __init__(self, chunks: Iterator[bytes], data: bytes = b"", at: int = 0) -> None:
        self.data, self.at = data, at
        self._chunks = chunks
        self._start = at
        self._line, self._counted = 1, 0

    def fill(self) -> bool:
        """Reads on, and lets go of what stands before the element; False at the end."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self.line_at(self._start)
        self.data = self.data[self._start :] + chunk
        self.at -= self._start
        self._counted -= self._start
        self._start = 0
        return True

    def line_at(self, at: int) -> int:
        """Physical line of an offset, which is not before the element that is being cut; each line
        feed is counted once.
        """
        if at > self._counted:
            self._line += self.data.count(b"\n", self._counted, at)
            self._counted = at
        return self._line

    def skip_spaces(self) -> int | None:
        """The first byte that is no space, not passed yet; None at the end."""
        while True:
            self.at = self._start = _SPACE.match(self.data, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.data):
                return self.data[self.at]
            if not self.fill():
                return None

    def shown(self) -> str:
        """What comes next, as a message shows it."""
        while len(self.data) - self.at < _SHOWN and self.fill():
            pass
        return self.data[self.at : self.at + _SHOWN].decode("utf-8", "replace")

    def next_span(self, closing: int) -> tuple[int, int, int]:
        """(start, end, byte behind it) of the text up to the container's next comma or its end.

        Offsets are those of `data` as it is then.

        Raises:
            _Broken: brackets that do not pair, a string without its end, or no more bytes.
        """
        self._start = self.at
        while True:
            found = self._pass(_TO_BREAK)
            if found in _OPENING:
                self._pass_value(found)
            elif found in (_COMMA, closing):
                return self._start, self.at - 1, found
            else:
                raise _Broken(
                    f"got {chr(found)!r} where {chr(closing)!r} or a comma belongs", self.at - 1
                )

    def _pass_value(self, opening: int) -> None:
        """Up to the bracket that closes the one just passed."""
        # In ASCII, a closing bracket is two places behind its opening one.
        expected = [opening + 2]
        while expected:
            found = self._pass(_TO_BRACKET)
            if found in _OPENING:
                expected.append(found + 2)
            elif found != expected.pop():
                raise _Broken(
                    f"got {chr(found)!r}, which closes no bracket that is open", self.at - 1
                )

    def _pass(self, pattern: re.Pattern[bytes]) -> int:
        match = pattern.match(self.data, self.at)
        while match is None:
            self._check_string()
            if len(self.data) - self._start > MAX_RECORD_BYTES:
                raise _Broken(
                    f"an element longer than {MAX_RECORD_BYTES // 2**20} MiB starts here",
                    self._start,
                )
            if not self.fill():
                raise _Broken("the text ends inside the element that starts here", self._start)
            match = pattern.match(self.data, self.at)
        self.at = match.end()
        return self.data[self.at - 1]

    def _check_string(self) -> None:
        """A string that was begun may go on in the next bytes, but not on the next line."""
        passed = _NO_BRACKET.match(self.data, self.at)
        string = _OPEN_STRING.match(self.data, passed.end()) if passed else None
        if string is None:
            return
        if self.data[string.end() : string.end() + 2].lstrip(b"\\")[:1] == b"\n":
            raise _Broken("a string that starts here has no end on its line", string.start())


def read_array(chunks: Iterator[bytes], path: str) -> Iterator[Element]:
    """The elements of a text that is one array, each as soon as it was read; an empty one where a
    comma is too many.

    Args:
        chunks: the text as UTF-8 (or what was meant to be), without a byte order mark.
        path: of the file, for messages.

    Runs on: executor.

    Raises:
        InputError: no array, an array without its end, text behind it, brackets that do not pair, a
            string that does not end on its line, an element longer than MAX_RECORD_BYTES; with file
            and line.
    """
    cutter = _Cutter(chunks)
    opening = cutter.skip_spaces()
    if opening is None:
        return
    if opening != ord("["):
        line = cutter.line_at(cutter.at)
        raise InputError(
            f"{path}, line {line}: got {cutter.shown()!r}; allowed with array: true: one array, "
            "which starts with '['",
            hint="leave array out (or say array: false) if each line of the file is an object of "
            "its own",
        )
    cutter.at += 1
    try:
        yield from _elements(cutter)
    except _Broken as error:
        line = cutter.line_at(error.at)
        raise InputError(
            f"{path}, line {line}: {error}: where the array's elements end cannot be told"
        ) from error
    if cutter.skip_spaces() is not None:
        line = cutter.line_at(cutter.at)
        raise InputError(
            f"{path}, line {line}: got {cutter.shown()!r} behind the array's end; allowed: one "
            "array a file"
        )


def _elements(cutter: _Cutter) -> Iterator[Element]:
    closing, first = ord("]"), True
    while True:
        start, end, found = cutter.next_span(closing)
        raw = cutter.data[start:end]
        inner = raw.lstrip(_SPACES)
        if inner or found != closing or not first:
            at = start + len(raw) - len(inner)
            yield Element(cutter.line_at(at), inner.rstrip(_SPACES))
        if found == closing:
            return
        first = False


def cut_elements(document: bytes, path: str | None = None) -> list[tuple[int, int]]:
    """Where each element of a list inside a JSON document stands: `document[start:end]` is its
    text, without spaces around it.

    Args:
        document: valid JSON, as UTF-8.
        path: of the list, such as `data.items` or `[0].rows`; None: the document itself is the
            list. Of a key that stands twice, the last counts, as everywhere in JSON.

    Runs on: driver | executor.

    Raises:
        ValueError: no list stands at the path, or the document's brackets do not pair.
    """
    steps = read_json_path(path) if path else ()
    at = _passed(document, 0)
    for number, step in enumerate(steps):
        found = _child(document, at, step)
        if found is None:
            raise ValueError(f"nothing stands at {written_path(steps[: number + 1])}")
        at = found
    if document[at : at + 1] != b"[":
        shown = document[at : at + _SHOWN].decode("utf-8", "replace")
        raise ValueError(f"got {shown!r}{f' at {path}' if path else ''}; allowed: a list")
    return list(_spans(document, at))


def _passed(document: bytes, at: int) -> int:
    """The offset behind the spaces at `at`."""
    return _SPACE.match(document, at).end()  # type: ignore[union-attr]


def _spans(document: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Spans between the commas of the container that opens at `at`; none if it is empty."""
    closing = document[at] + 2
    cutter = _Cutter(iter(()), document, at + 1)
    first = True
    while True:
        start, end, found = cutter.next_span(closing)
        text = document[start:end]
        inner = text.strip(_SPACES)
        if inner or found != closing or not first:
            start += len(text) - len(text.lstrip(_SPACES))
            yield start, start + len(inner)
        if found == closing:
            return
        first = False


def _child(document: bytes, at: int, step: JsonStep) -> int | None:
    """Where the value of a step starts; None if the container has none."""
    opening = document[at : at + 1]
    if isinstance(step, int):
        spans = list(_spans(document, at)) if opening == b"[" else []
        return spans[step][0] if step < len(spans) else None
    found = None
    for start, end in _spans(document, at) if opening == b"{" else ():
        key = _KEY.match(document, start, end)
        if key is not None and json.loads(key[1]) == step:
            found = _passed(document, key.end())
    return found
