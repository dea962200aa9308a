"""Blocks of whole lines, and the screen that takes blank and undecodable lines out of them.

Owns line ends, line numbers and the raw bytes of a record. Must not know fields or columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from batchinfer.contracts import BadRecord
from batchinfer.errors import InputError
from batchinfer.sources.parsed import BLOCK_BYTES, MAX_RECORD_BYTES, Where
from batchinfer.sources.streams import is_utf8, original

LF = 10
_BARE_CR = re.compile(rb"\r(?!\n)")


@dataclass
class Records:
    """Records of one block.

    Attributes:
        block: bytes as they stand in the file (as UTF-8).
        starts, ends: int64 offsets of each record in the block, without its line feed.
        lines: int64, 1-based physical line at which each record starts.
        text: what is parsed: one record a line, in the same order, ended by line feeds.
        encoding: of the file; the raw bytes of a bad record are given in it.
        bad: records taken out.
        blank: blank lines taken out.
    """

    where: Where
    block: bytes
    starts: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    text: bytes
    encoding: str = "utf-8"
    bad: list[BadRecord] = field(default_factory=list)
    blank: int = 0

    def __len__(self) -> int:
        return len(self.lines)

    def raw(self, index: int) -> bytes:
        """Bytes of one record without its line end."""
        line = self.block[self.starts[index] : self.ends[index]]
        return line[:-1] if line.endswith(b"\r") else line

    def raw_at(self, line: int) -> bytes:
        """Bytes of the record that starts at a line, as they stand in the file."""
        return original(self.raw(int(np.searchsorted(self.lines, line))), self.encoding)

    def reject(self, index: int, reason: str, message: str) -> None:
        """Puts one record among the bad ones; `drop` then takes it out."""
        raw = original(self.raw(index), self.encoding)
        self.bad.append(BadRecord(self.where.name, int(self.lines[index]), raw, reason, message))

    def drop(self, gone: np.ndarray) -> None:
        """Takes records out; `gone` is bool (records,)."""
        kept = np.flatnonzero(~gone)
        behind = line_ends(self.text) + 1
        lost = np.flatnonzero(gone)
        # The text between two lost records is kept in one piece: mostly few are lost.
        starts = np.concatenate([[0], behind[lost]])
        ends = np.concatenate([np.where(lost > 0, behind[lost - 1], 0), [len(self.text)]])
        self.text = b"".join(self.text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True))
        self.starts, self.ends, self.lines = self.starts[kept], self.ends[kept], self.lines[kept]


def cut_lines(chunks: Iterator[bytes], where: Where, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
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
            raise InputError(f"{where.path} has a line longer than {MAX_RECORD_BYTES // 2**20} MiB: is it a text file?")
    if size:
        yield b"".join(parts)


def split_lines(block: bytes, first_line: int, where: Where, encoding: str) -> Records:
    """The lines of a block as records, none of them judged yet."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == LF)
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    starts = np.concatenate([[0], ends[:-1] + 1])
    text = block if block.endswith(b"\n") else block + b"\n"
    return Records(where, block, starts, ends, first_line + np.arange(len(ends)), text, encoding)


def screen(records: Records, blank: bytes = b" \t", bare_cr: bool = False) -> None:
    """Takes out blank lines (only characters of `blank`) and undecodable ones, and with `bare_cr` those with a CR inside."""
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
    for index in range(len(records)):
        raw = records.raw(index)
        if not _is_valid(raw):
            gone[index] = True
            records.reject(index, reason, f"the record holds bytes that are not {records.encoding}")


def _reject_bare_cr(records: Records, gone: np.ndarray) -> None:
    ends = line_ends(records.text)
    for index in np.unique(np.searchsorted(ends, [match.start() for match in _BARE_CR.finditer(records.text)])):
        if not gone[index]:
            gone[index] = True
            records.reject(
                index,
                "bare_cr",
                "a carriage return inside the record; allowed: as part of the line end, or in a quoted field with multi_line",
            )


def _find_blank(records: Records, gone: np.ndarray, blank: bytes) -> None:
    text = records.text
    # Starts with the line feed before the blank line: a literal first byte is what makes the search fast.
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
