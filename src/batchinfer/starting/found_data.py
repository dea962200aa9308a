"""What the data are that somebody names: CSV, JSON lines, Parquet, or a Delta table.

Owns how kinds are told apart. Must not know columns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batchinfer.errors import InputError
from batchinfer.sources.listing import SourceFile, list_files
from batchinfer.sources.text.byte_streams import compression_of, read_stream
from batchinfer.starting.far_data import path_here

# Of a file, what tells its kind and how it is written.
HEAD_BYTES = 2**20
_JSON = (".json", ".jsonl", ".ndjson")
_ALLOWED = "allowed: CSV, JSON lines, Parquet, a Delta table"
_BY_HAND = (
    "init writes no pipeline for such data; kind: {kind} reads them, and docs/sources.md says how"
)
_BY_BYTES = (
    (b"PK\x03\x04", "a ZIP archive, such as an .xlsx file", "save the sheet as CSV"),
    (
        b"\xd0\xcf\x11\xe0",
        "a document of Microsoft Office, such as an .xls file",
        "save the sheet as CSV",
    ),
    (b"SQLite format 3\0", "a SQLite database", _BY_HAND.format(kind="jdbc")),
    (b"%PDF", "a PDF", None),
    (b"\x89PNG", "a picture", _BY_HAND.format(kind="images")),
    (b"\xff\xd8\xff", "a picture", _BY_HAND.format(kind="images")),
    (b"\x1f\x8b", "compressed by gzip", "let its name end in .gz"),
    (b"BZh", "compressed by bzip2", "let its name end in .bz2"),
    (b"\x28\xb5\x2f\xfd", "compressed by Zstandard", "let its name end in .zst"),
)
# A line of a web server's log in the common or the combined format.
_ACCESS = re.compile(rb'\S+ \S+ .+ \[[^\]\n]+\] "[^\n]*" [0-9]{3} (?:[0-9]+|-)')


@dataclass(frozen=True)
class FoundData:
    """Data by their kind.

    Attributes:
        kind: `csv`, `json`, `parquet` or `delta`.
        path: absolute; may be a pattern.
        files: with content; of a Delta table none.
        head: the first bytes of the first file, decompressed; empty for tables.
        is_cut: the first file has more.
    """

    kind: str
    path: str
    files: Sequence[SourceFile] = ()
    head: bytes = b""
    is_cut: bool = False


def find_data(asked: str, folder: Path) -> FoundData:
    """Finds the data and what they are.

    Args:
        asked: a file, a folder or a pattern; relative ones start at `folder`.

    Runs on: driver.

    Raises:
        InputMissing: nothing is there; with names that are near.
        InputError: an address of a store or a server; nothing but empty files, files of two kinds,
            or a kind that cannot be read.
    """
    path = os.path.normpath(os.path.join(folder, os.path.expanduser(path_here(asked))))
    if os.path.isdir(os.path.join(path, "_delta_log")):
        return FoundData("delta", path)
    listed = list_files([path], folder)
    files = [file for file in listed if file.size]
    if not files:
        raise InputError(f"{path}: got only files without content; allowed: data with records")
    kinds = {_kind_by_name(file) for file in files}
    if len(kinds) > 1:
        names = ", ".join(file.name for file in files[:4])
        raise InputError(
            f"{path}: got files of several kinds ({names}); allowed: one kind, such as by a "
            "pattern: 'folder/*.csv'"
        )
    head = _head_of(files[0])
    if kinds == {"parquet"} or head.startswith(b"PAR1"):
        return FoundData("parquet", path, files)
    if not head.strip():
        raise InputError(f"{files[0].path}: got no records, only blank lines")
    for mark, what, hint in _BY_BYTES:
        if head.startswith(mark):
            raise InputError(f"{files[0].path}: it is {what}; {_ALLOWED}", hint)
    if _ACCESS.match(head):
        raise InputError(
            f"{files[0].path}: it is the log of a web server; {_ALLOWED}",
            _BY_HAND.format(kind="text_log").replace("sources.md", "logs.md"),
        )
    kind = "json" if kinds == {"json"} or head.lstrip()[:1] == b"{" else "csv"
    return FoundData(kind, path, files, head, len(head) >= HEAD_BYTES)


def _kind_by_name(file: SourceFile) -> str:
    name = file.name.lower()
    if compression_of(name, None):
        name = os.path.splitext(name)[0]
    if name.endswith(".parquet"):
        return "parquet"
    return "json" if name.endswith(_JSON) else "csv"


def _head_of(file: SourceFile) -> bytes:
    head = b""
    for chunk in read_stream(file.path, compression_of(file.name, None)):
        head += chunk
        if len(head) >= HEAD_BYTES:
            break
    return head
