"""Blocks of whole lines, and the screen that takes blank and undecodable lines out of them.

Owns line ends, line numbers and the raw bytes of a record. Must not know fields or columns. Blocks
of small files are joined: what costs the same for a block of any size, ten thousand tiny files then
pay a few times and not ten thousand times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from batchinfer.contracts import BadRecord
from batchinfer.errors import InputError
from batchinfer.sources.parsed import BLOCK_BYTES, MAX_RECORD_BYTES, Parsed, Where
from batchinfer.sources.text.byte_streams import is_utf8, original

LF = 10
# Blocks that are joined at most: what is held for each also costs memory.
_JOINED_BLOCKS = 4096
# Whether a byte is a control character.
_CONTROLS = np.array([byte < 32 or byte == 127 for byte in range(256)])
_BARE_CR = re.compile(rb"\r(?!\n)")


@dataclass
class Records:
    """Records of one block.

    Attributes:
        files: that the records stand in, in their order.
        block: bytes as they stand in the files (as UTF-8).
        starts, ends: int64 offsets of each record in the block, without its line feed.
        lines: int64, 1-based physical line at which each record starts.
        text: what is parsed: one record a line, in the same order, ended by line feeds.
        encoding: of the files; the raw bytes of a bad record are given in it.
        bad: records taken out.
        blank: blank lines taken out.
        owners: int32, the place in `files` of each record's file; None: all are of the first.
    """

    files: Sequence[Where]
    block: bytes
    starts: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    text: bytes
    encoding: str = "utf-8"
    bad: list[BadRecord] = field(default_factory=list)
    blank: int = 0
    owners: np.ndarray | None = None

    @classmethod
    def none_of(cls, where: Where, blank: int, encoding: str) -> Records:
        """What a file without records gives: its blank lines."""
        nothing = np.empty(0, np.int64)
        return cls([where], b"", nothing, nothing, nothing, b"", encoding, blank=blank)

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def path(self) -> str:
        """Where the block comes from, for messages."""
        others = len(self.files) - 1
        return (
            f"{self.files[0].path} and {others:,} files behind it" if others else self.files[0].path
        )

    def file_places(self) -> np.ndarray:
        """The place in `files` of each record's file: int32."""
        return np.zeros(len(self), np.int32) if self.owners is None else self.owners

    def source_files(self, numbers: np.ndarray | None = None) -> pa.Array:
        """The name of the file of each record, or of those with these numbers: string."""
        count = len(self) if numbers is None else len(numbers)
        if self.owners is None:
            return pa.repeat(self.files[0].name, count)
        owners = self.owners if numbers is None else self.owners[numbers]
        return pa.array([each.name for each in self.files], pa.string()).take(pa.array(owners))

    def raw(self, index: int) -> bytes:
        """Bytes of one record without its line end."""
        line = self.block[self.starts[index] : self.ends[index]]
        return line[:-1] if line.endswith(b"\r") else line

    def original(self, index: int) -> bytes:
        """Bytes of one record as they stand in the file, without its line end."""
        return original(self.raw(index), self.encoding)

    def reject(self, index: int, reason: str, message: str) -> None:
        """Puts one record among the bad ones; `drop` then takes it out."""
        where = self.files[0 if self.owners is None else self.owners[index]]
        self.bad.append(
            BadRecord(where.name, int(self.lines[index]), self.original(index), reason, message)
        )

    def parsed(
        self, rows: pa.RecordBatch, without_items: int = 0, numbers: np.ndarray | None = None
    ) -> Parsed:
        """The block as it is handed on, with the rows that its records gave.

        Args:
            numbers: of the record that each row comes from; None: each record gave one row.
        """

        def raw_at(row: int) -> bytes:
            return self.original(row if numbers is None else int(numbers[row]))

        self.bad.sort(key=lambda bad: (bad.source_file or "", bad.source_line or 0))
        return Parsed(
            rows, self.bad, rows.num_rows + len(self.bad), self.blank, without_items, raw_at
        )

    def drop(self, gone: np.ndarray) -> None:
        """Takes records out; `gone` is bool (records,)."""
        kept = np.flatnonzero(~gone)
        behind = line_ends(self.text) + 1
        lost = np.flatnonzero(gone)
        # The text between two lost records is kept in one piece: mostly few are lost.
        starts = np.concatenate([[0], behind[lost]])
        ends = np.concatenate([np.where(lost > 0, behind[lost - 1], 0), [len(self.text)]])
        self.text = b"".join(
            self.text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        )
        self.starts, self.ends, self.lines = self.starts[kept], self.ends[kept], self.lines[kept]
        self.owners = None if self.owners is None else self.owners[kept]


def cut_lines(
    chunks: Iterator[bytes], where: Where, block_bytes: int = BLOCK_BYTES
) -> Iterator[bytes]:
    """Blocks of at least `block_bytes` that end with a line end; only the last may lack it.

    Raises:
        InputError: a line longer than MAX_RECORD_BYTES.
    """
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        cut = chunk.rfind(b"\n") + 1
        if cut and size + cut >= block_bytes:
            yield b"".join([*parts, chunk[:cut]])
            parts, size, chunk = [], 0, chunk[cut:]
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_RECORD_BYTES + block_bytes:
            raise InputError(
                f"{where.path} has a line longer than {MAX_RECORD_BYTES // 2**20} MiB: is it a "
                "text file?"
            )
    if size:
        yield b"".join(parts)


def line_blocks(
    chunks: Iterator[bytes], line: int, where: Where, encoding: str, block_bytes: int
) -> Iterator[Records]:
    """The lines of a file's text in blocks, none of them judged yet.

    Args:
        line: physical line at which the text starts.

    Raises:
        InputError: a line longer than MAX_RECORD_BYTES.
    """
    for block in cut_lines(chunks, where, block_bytes):
        records = split_lines(block, line, where, encoding)
        line += len(records)
        yield records


def split_lines(block: bytes, first_line: int, where: Where, encoding: str) -> Records:
    """The lines of a block as records, none of them judged yet."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == LF)
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    starts = np.concatenate([[0], ends[:-1] + 1])
    text = block if block.endswith(b"\n") else block + b"\n"
    return Records([where], block, starts, ends, first_line + np.arange(len(ends)), text, encoding)


def share_blocks(blocks: Iterable[Records], block_bytes: int) -> Iterator[Records]:
    """The same records, none screened yet: blocks smaller than `block_bytes` are joined to their
    neighbours of any file.
    """
    held: list[Records] = []
    size = 0
    for records in blocks:
        held.append(records)
        size += len(records.block)
        if size >= block_bytes or len(held) == _JOINED_BLOCKS:
            yield _join(held)
            held, size = [], 0
    if held:
        yield _join(held)


def _join(blocks: Sequence[Records]) -> Records:
    if len(blocks) == 1:
        return blocks[0]
    files: list[Where] = []
    places: list[int] = []
    for records in blocks:
        if not files or files[-1] != records.files[0]:
            files += records.files
        places.append(len(files) - 1)
    counts = [len(records) for records in blocks]
    # A line feed ends each: two halves of a character must not become one.
    pieces = [
        records.block if records.block[-1:] in (b"", b"\n") else records.block + b"\n"
        for records in blocks
    ]
    offsets = np.repeat(np.cumsum([0, *map(len, pieces[:-1])]), counts)
    return Records(
        files,
        b"".join(pieces),
        np.concatenate([records.starts for records in blocks]) + offsets,
        np.concatenate([records.ends for records in blocks]) + offsets,
        np.concatenate([records.lines for records in blocks]),
        b"".join(records.text for records in blocks),
        blocks[0].encoding,
        [bad for records in blocks for bad in records.bad],
        sum(records.blank for records in blocks),
        np.repeat(np.array(places, np.int32), counts),
    )


def screen(records: Records, blank: bytes = b" \t", bare_cr: bool = False) -> None:
    """Takes out blank lines (only characters of `blank`) and undecodable ones, and with `bare_cr`
    those with a CR inside.
    """
    gone = np.zeros(len(records), bool)
    if not _is_valid(records.block):
        _reject_undecodable(records, gone)
    if b"\r" in records.text:
        if bare_cr:
            _reject_bare_cr(records, gone)
        records.text = records.text.replace(b"\r\n", b"\n")
    _find_blank(records, gone, blank)
    if gone.any():
        records.drop(gone)


def reject_controls(records: Records, allowed: bytes | None) -> None:
    """Takes out the lines that hold a NUL or another control character: what was cut off, or is no
    text.

    Args:
        allowed: characters that are none of them; None: all but NUL.
    """
    text = np.frombuffer(records.text, np.uint8)
    if allowed is None:
        if b"\0" not in records.text:
            return
        wrong = text == 0
    else:
        harmless = sum(records.text.count(character) for character in (b"\n", *_low(allowed)))
        if np.count_nonzero(text < 32) == harmless and b"\x7f" not in records.text:
            return
        wrong = _CONTROLS[text]
        for character in b"\n" + allowed:
            wrong &= text != character
    places = np.flatnonzero(wrong)
    if not len(places):
        return
    ends = line_ends(records.text)
    lines, first = np.unique(np.searchsorted(ends, places), return_index=True)
    gone = np.zeros(len(records), bool)
    gone[lines] = True
    for line, place in zip(lines.tolist(), places[first].tolist(), strict=True):
        start = int(ends[line - 1]) + 1 if line else 0
        records.reject(
            line,
            "control",
            f"the line holds the control character U+{text[place]:04X}, at its byte "
            f"{place - start + 1}; allowed: text",
        )
    records.drop(gone)


def _low(characters: bytes) -> list[bytes]:
    return [bytes([character]) for character in characters if character < 32]


def _is_valid(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _reject_undecodable(records: Records, gone: np.ndarray) -> None:
    reason = "not_utf8" if is_utf8(records.encoding) else "encoding"
    for index in _undecodable(records, 0, len(records)):
        gone[index] = True
        records.reject(index, reason, f"the record holds bytes that are not {records.encoding}")


def _undecodable(records: Records, start: int, end: int) -> Iterator[int]:
    """Numbers of the records in a range that do not decode, found by halving: mostly they are
    few.
    """
    if start == end or _is_valid(records.block[records.starts[start] : records.ends[end - 1]]):
        return
    if end - start == 1:
        yield start
        return
    middle = (start + end) // 2
    yield from _undecodable(records, start, middle)
    yield from _undecodable(records, middle, end)


def _reject_bare_cr(records: Records, gone: np.ndarray) -> None:
    ends = line_ends(records.text)
    for index in np.unique(
        np.searchsorted(ends, [match.start() for match in _BARE_CR.finditer(records.text)])
    ):
        if not gone[index]:
            gone[index] = True
            records.reject(
                index,
                "bare_cr",
                "a carriage return inside the record; allowed: as part of the line end, or in a "
                "quoted field with multi_line",
            )


def _find_blank(records: Records, gone: np.ndarray, blank: bytes) -> None:
    text = records.text
    # Starts with the line feed before the blank line: a literal first byte is what makes the search
    # fast.
    pattern = re.compile(rb"\n[%s]*(?=\n)" % re.escape(blank))
    first = not text[: text.find(b"\n")].strip(blank) if text else False
    if not first and pattern.search(text) is None:
        return
    # Each match ends at the line feed of its blank line.
    found = np.searchsorted(line_ends(text), [match.end() for match in pattern.finditer(text)])
    found = np.concatenate([[0], found]).astype(np.int64) if first else found
    found = found[~gone[found]]
    gone[found] = True
    records.blank += len(found)


def line_ends(text: bytes) -> np.ndarray:
    """Offsets of the line feeds."""
    return np.flatnonzero(np.frombuffer(text, np.uint8) == LF)
