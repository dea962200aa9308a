"""Cuts files into splits that workers read on their own, each with the exact physical line that it
starts at.

Owns byte ranges, line counts and which files can be cut. Must not know types or rows.

Three steps: `plan_text_splits` on the driver; `count_range` on executors for the splits of which
`needs_count` is true (only those of files larger than a split); `align` on the driver.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeVar

from batchinfer.config.schema import names_in_files
from batchinfer.config.sources import CsvSource, JsonSource, LogSource
from batchinfer.errors import InputError, InputMissing, listed_some
from batchinfer.sources.file_columns import Held, WantedColumns
from batchinfer.sources.listing import SourceFile
from batchinfer.sources.source_splits import LineFeeds, ParquetSplit, TextSplit, WholeFiles
from batchinfer.sources.text.byte_streams import (
    compression_of,
    is_ascii_compatible,
    read_range,
    read_stream,
    to_utf8,
)
from batchinfer.sources.text.csv_dialect import CsvDialect
from batchinfer.sources.text.csv_header import (
    BrokenRecord,
    Layout,
    foreign_content,
    header_problem,
    headerless_columns,
    read_first,
)

AnySplit = TypeVar("AnySplit", bound=TextSplit | ParquetSplit | WholeFiles)
TextFiles = CsvSource | JsonSource | LogSource

TARGET_BYTES = 16 * 2**20
# What opening a file costs, as bytes that could be read meanwhile; and a task of fewer bytes costs
# more to start than to run.
_OPEN_BYTES = 4 * 2**10
_SMALLEST_TASK_BYTES = 2**20
_TASKS_PER_WORKER = 2
_BOM = b"\xef\xbb\xbf"


def plan_text_splits(
    files: Iterable[SourceFile],
    source: TextFiles,
    target_bytes: int = TARGET_BYTES,
    optional: str | None = None,
) -> list[TextSplit]:
    """Splits of the files; files that are compressed, multi-line, one array or not ASCII-compatible
    are one stream each.

    The headers of CSV files are read and checked here, so that a broken contract shows before any
    work is done.

    Args:
        target_bytes: larger files are cut into ranges of this size, which `count_range` and `align`
            complete.
        optional: a column that files may lack (the target, in data to be scored): by name where
            there is a header, else only as the schema's last column, as each file's first record
            tells. It is null in such files.

    Runs on: driver.

    Raises:
        InputError: every header that does not fit the schema; a damaged file.
    """
    splits: list[TextSplit] = []
    problems: list[str] = []
    hint: str | None = None
    wanted, headers = None, list[Held]()
    if isinstance(source, CsvSource):
        wanted = WantedColumns.of(source, source.schema_, optional)
    for file in files:
        try:
            splits += _splits_of(file, source, target_bytes, optional, headers)
        except InputMissing:
            raise
        except InputError as error:
            problems += error.problems
            hint = hint or error.hint
    if problems:
        of_headers = None if wanted is None else wanted.hint_of(headers)
        raise InputError(listed_some(problems), of_headers or hint)
    return splits


def _splits_of(
    file: SourceFile,
    source: TextFiles,
    target_bytes: int,
    optional: str | None,
    headers: list[Held],
) -> list[TextSplit]:
    compression = compression_of(file.name, source.options.compression)
    multi_line = isinstance(source, CsvSource) and source.options.multi_line
    array = isinstance(source, JsonSource) and source.options.array
    stream = (
        compression is not None
        or multi_line
        or array
        or not is_ascii_compatible(source.options.encoding)
    )
    if file.size == 0 and compression is None:
        return []
    foreign = None if stream else foreign_content(file.read(0, 16), source.options.encoding)
    if foreign:
        raise InputError(f"{file.path}: {foreign}")
    layout = _layout(file, source, compression, stream, optional, headers)
    whole = TextSplit(
        file,
        layout.start,
        None if stream else file.size,
        layout.line,
        compression,
        stream,
        tuple(layout.columns),
        layout.blank_lines,
        layout.missing,
        dict.fromkeys(layout.new, "string"),
    )
    if stream or file.size - layout.start <= target_bytes:
        return [whole]
    starts = range(layout.start, file.size, target_bytes)
    ranges = [
        replace(whole, start=start, end=min(start + target_bytes, file.size), is_range=True)
        for start in starts
    ]
    return [ranges[0], *(replace(each, line=None, blank_lines=0) for each in ranges[1:])]


def _layout(
    file: SourceFile,
    source: TextFiles,
    compression: str | None,
    stream: bool,
    optional: str | None,
    headers: list[Held],
) -> Layout:
    """The layout of a file; how its header differs goes to `headers`."""
    if not isinstance(source, CsvSource):
        return Layout((), 0, 1, 0)
    schema, options = list(source.schema_), source.options
    dialect = CsvDialect.of(options)
    if not options.header and optional != schema[-1]:
        return Layout(tuple(schema), 0, 1, 0)
    chunks = read_stream(file.path, compression) if stream else read_range(file.path, 0, file.size)
    encoding = "utf-8" if stream else options.encoding
    pieces = pieces_of(to_utf8(chunks, options.encoding) if stream else chunks, 2**16)
    try:
        first = read_first(pieces, dialect, encoding, file.path)
    except BrokenRecord:
        if options.header:
            raise
        # A record like others: it is quarantined, and the file is taken to have all columns.
        first = None
    if not options.header:
        return Layout(headerless_columns(first, schema, optional), 0, 1, 0)
    if first is None:
        return Layout(tuple(names_in_files(source).values()), 0, 1, 0)
    wanted = WantedColumns.of(source, schema, optional)
    held = wanted.hold(first.fields)
    headers.append(held)
    problem = header_problem(first.fields, wanted, held)
    if problem is not None:
        raise InputError(f"{file.path}:{first.blank_lines + 1}: {problem}", held.hint)
    missing, new = tuple(held.missing), tuple(held.new)
    return Layout(first.fields, first.end, first.line, first.blank_lines, missing, new)


def needs_count(split: TextSplit) -> bool:
    """True for a range of a larger file, which `count_range` must see before `align`."""
    return split.is_range and split.feeds is None


def count_range(split: TextSplit) -> TextSplit:
    """The split with the line feeds in its range.

    Runs on: executor.

    Raises:
        InputError: the file changed since it was listed.
    """
    check_unchanged(split.file)
    count, first, last, offset = 0, None, b"", split.start
    for chunk in read_range(split.file.path, split.start, _end(split)):
        found = chunk.find(b"\n") if first is None else -1
        first = offset + found if found >= 0 else first
        count += chunk.count(b"\n")
        offset, last = offset + len(chunk), chunk[-1:]
    return replace(split, feeds=LineFeeds(count, first, last == b"\n"))


def _end(split: TextSplit) -> int:
    return split.file.size if split.end is None else split.end


def align(splits: Sequence[TextSplit]) -> list[TextSplit]:
    """The splits, with each counted range moved to the record starts inside it and given its first
    line.

    A record belongs to the range in which it starts. Splits that need no count pass unchanged.

    Runs on: driver.

    Raises:
        ValueError: a range that was not counted.
    """
    aligned = [split for split in splits if not split.is_range]
    ranges = sorted((split for split in splits if split.is_range), key=_place)
    for _, group in groupby(ranges, key=lambda split: split.file.name):
        aligned += _aligned(list(group))
    return sorted(aligned, key=_place)


def _place(split: TextSplit) -> tuple[str, int]:
    return split.file.name, split.start


def _aligned(ranges: list[TextSplit]) -> list[TextSplit]:
    line, at_start = ranges[0].first_line, True
    moved: list[TextSplit] = []
    for each in ranges:
        feeds = each.feeds
        if feeds is None:
            raise ValueError(f"{each.file.path}: range {each.start} to {each.end} was not counted")
        if at_start:
            moved.append(replace(each, line=line))
        elif feeds.first is not None:
            moved.append(replace(each, start=feeds.first + 1, line=line + 1))
        line, at_start = line + feeds.count, feeds.is_last
    ends = [*(each.start for each in moved[1:]), _end(ranges[-1])]
    return [
        replace(each, end=end, is_range=False, feeds=None)
        for each, end in zip(moved, ends, strict=True)
        if each.start < end or each.blank_lines
    ]


def group_splits(splits: Sequence[AnySplit], workers: int) -> list[list[AnySplit]]:
    """Shares splits out over tasks: neighbours together, none cut, thousands of tiny files in a few
    tasks.

    Args:
        workers: tasks that run at the same time.

    Runs on: driver.
    """
    costs = [_cost(split) for split in splits]
    wanted = min(
        TARGET_BYTES, max(_SMALLEST_TASK_BYTES, sum(costs) // (workers * _TASKS_PER_WORKER))
    )
    groups: list[list[AnySplit]] = []
    held = 0
    for split, cost in zip(splits, costs, strict=True):
        # A full task ends before a split that would leave it further from what is wanted than it is
        # now.
        if not groups or held + cost / 2 > wanted:
            groups.append([])
            held = 0
        groups[-1].append(split)
        held += cost
    return groups


def _cost(split: TextSplit | ParquetSplit | WholeFiles) -> int:
    """Bytes to read, and what opening costs."""
    return split.bytes + _OPEN_BYTES * len(split.files)


def check_unchanged(file: SourceFile) -> None:
    """Raises InputError if the file is not the one that was listed: another size or modification
    time.
    """
    try:
        status = os.stat(file.path)
    except FileNotFoundError as error:
        raise InputMissing(f"{file.path} is gone since it was listed") from error
    except OSError as error:
        raise InputError(f"{file.path} cannot be read: {error.strerror}") from error
    if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
        same = ", written later" if status.st_size == file.size else ""
        sizes = f"it had {file.size:,} bytes when it was listed, now {status.st_size:,}{same}"
        raise InputError(f"{file.path} changed while it was being read: {sizes}")


def open_split(split: TextSplit, encoding: str, piece_bytes: int) -> Iterator[bytes]:
    """UTF-8 text of a split in pieces of at most `piece_bytes`, without a byte order mark at the
    file's start.

    Runs on: executor.

    Raises:
        InputError: the file changed since it was listed, or is damaged.
    """
    path = split.file.path
    check_unchanged(split.file)
    if split.is_stream:
        chunks = _skip(to_utf8(read_stream(path, split.compression), encoding), split.start)
    else:
        chunks = to_utf8(read_range(path, split.start, _end(split)), encoding)
    yield from pieces_of(_without_bom(chunks) if split.start == 0 else chunks, piece_bytes)
    # Once more: what was written over it meanwhile may stand between the pieces.
    check_unchanged(split.file)


def _skip(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    for chunk in chunks:
        if count < len(chunk):
            yield chunk[count:]
        count = max(0, count - len(chunk))


def _without_bom(chunks: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= len(_BOM):
            break
    yield head.removeprefix(_BOM)
    yield from chunks


def pieces_of(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same bytes, in pieces of at most `size` and none empty."""
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]
