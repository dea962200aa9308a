"""The executor's side of extraction: splits of a source become staged Parquet files.

Good records go to the landed table's folder, bad ones to the quarantine table's. No commit refers
to any of them yet.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pyarrow import compute

from batchinfer.config.shapes.source_columns import SliceColumn, SliceRule
from batchinfer.config.sources import Files, JsonSource, Source
from batchinfer.contracts import SLICE, SOURCE_FILE, SOURCE_LINE, BadRecord, StagedFile
from batchinfer.masking.sensitive_columns import SensitiveColumns
from batchinfer.pipeline.definition.slice_names import names_slice
from batchinfer.sources.json.unknown_keys import KeyKinds
from batchinfer.sources.parsed import FileKeys, Parsed
from batchinfer.sources.source_splits import SourceSplit, TextSplit

# pyarrow makes these functions when it is imported; type checkers cannot see them.
pc: Any = compute

# Bad records that a task holds before it writes them; a line may be as long as a record may be.
_HELD_RECORDS = 20_000
_HELD_BYTES = 64 * 2**20


@dataclass(frozen=True)
class LandingPlan:
    """What every task of one extraction shares; travels as JSON.

    Attributes:
        fields: Spark SQL types of the source's columns.
        landed, quarantine: URIs of the tables.
        ingest_slice: the slice of all rows, where the pipeline takes it from `--slice`.
        landed_until: files that grew, and the line up to which they have been landed.
        only: the one slice whose rows are wanted; None: those of all slices.
        sensitive: columns whose values no message shows.
    """

    source: Source
    fields: Mapping[str, str]
    landed: str
    quarantine: str
    pipeline: str
    run_id: str
    ingest_slice: str | None
    landed_until: Mapping[str, int]
    only: str | None = None
    sensitive: tuple[str, ...] = ()


@dataclass(frozen=True)
class LandingTask:
    """What one task lands."""

    plan: LandingPlan
    splits: tuple[SourceSplit, ...]


@dataclass(frozen=True)
class LandingResult:
    """What one task staged and counted.

    Attributes:
        files: rows that were staged.
        quarantine: files of the records that cannot be landed.
        rows: of each slice that was staged.
        elsewhere: rows of other slices than the one that is landed anew.
        without_items, replaced, cut, fine_files: see `Parsed`.
        reasons: of the records that are quarantined, and how many of each.
        keys, new_keys: see `Parsed`; of the whole task.
        seconds: of parsing and of writing.
        digest: of the rows' content, as `ContentDigest` tells it; of databases only.
    """

    files: tuple[StagedFile, ...]
    quarantine: tuple[StagedFile, ...]
    rows: Mapping[str, int]
    rows_in: int
    elsewhere: int
    blank_lines: int
    without_items: int
    replaced: int
    cut: int
    reasons: Mapping[str, int]
    fine_files: int
    keys: Mapping[str, FileKeys]
    new_keys: Mapping[str, tuple[str, ...]]
    seconds: Mapping[str, float]
    digest: tuple[int, ...] = ()

    @property
    def rows_quarantined(self) -> int:
        return sum(self.reasons.values())


@dataclass(frozen=True)
class KeySearch:
    """Splits of JSON that are searched for keys which no column reads.

    Attributes:
        fields: Spark SQL types of the columns.
    """

    source: JsonSource
    fields: Mapping[str, str]
    splits: tuple[TextSplit, ...]


def count_lines(task: TextSplit) -> Iterator[TextSplit]:
    """Counts the lines of one byte range, so that the driver can tell every range its first line
    number.

    Runs on: executor.
    """
    from batchinfer.sources.text.byte_ranges import count_range

    yield count_range(task)


def land_task(task: LandingTask) -> Iterator[LandingResult]:
    """Parses the splits of one task and stages their rows.

    Runs on: executor.

    Raises:
        InputError: a file that is truncated, corrupt or breaks the contract of its columns.
    """
    from batchinfer.config.types import parse_ddl
    from batchinfer.sources.readers import read_splits

    plan = task.plan
    assert isinstance(plan.source, Files)
    fields = {name: parse_ddl(type_) for name, type_ in plan.fields.items()}
    yield stage_rows(plan, read_splits(task.splits, plan.source, fields))


def look_for_keys(task: KeySearch) -> Iterator[KeyKinds]:
    """Which keys no column reads stand in the JSON splits of one task.

    Runs on: executor.

    Raises:
        InputError: a file that is truncated or corrupt.
    """
    from batchinfer.config.types import parse_ddl
    from batchinfer.sources.json.parser import find_new_keys

    fields = {name: parse_ddl(type_) for name, type_ in task.fields.items()}
    yield find_new_keys(task.splits, task.source, fields)


def stage_rows(plan: LandingPlan, blocks: Iterable[Parsed]) -> LandingResult:
    """Stages the rows and the bad records of parsed blocks.

    Runs on: executor.
    """
    landing = _Landing(plan, plan.source.key, plan.source.slice)
    try:
        started = time.perf_counter()
        for parsed in blocks:
            landing.seconds["parse"] += time.perf_counter() - started
            landing.add(parsed)
            started = time.perf_counter()
        return landing.finish()
    except BaseException:
        landing.abort()
        raise


def remove_results(plan: LandingPlan, results: Iterable[LandingResult]) -> None:
    """Deletes what tasks staged for a run that cannot go on: on a full disk, it would be in the way
    of the next one.

    Runs on: driver.
    """
    from batchinfer.lake.staged_files import remove_staged

    for result in results:
        remove_staged(plan.landed, result.files)
        remove_staged(plan.quarantine, result.quarantine)


@dataclass(frozen=True)
class _Block:
    """Rows of one block, some of them refused by now.

    Attributes:
        places: of each row in the block as it was parsed; int64.
        raw_at: see `Parsed`.
    """

    rows: pa.RecordBatch
    places: pa.Array
    raw_at: Callable[[int], bytes] | None

    @classmethod
    def of(cls, parsed: Parsed) -> _Block:
        return cls(parsed.rows, pa.array(np.arange(parsed.rows.num_rows)), parsed.raw_at)

    def filter(self, mask: pa.Array) -> _Block:
        return _Block(self.rows.filter(mask), self.places.filter(mask), self.raw_at)


class _Landing:
    """Rows of one task on their way to the two tables, and what was counted."""

    def __init__(self, plan: LandingPlan, key: Sequence[str], rule: SliceRule) -> None:
        self.plan, self.key = plan, key
        self.rule: SliceColumn | Literal["ingest_date"] = rule
        self.rows: Counter[str] = Counter()
        self.bad: list[BadRecord] = []
        self.quarantined_files: list[StagedFile] = []
        self.reasons: Counter[str] = Counter()
        self.records_in = self.blank_lines = self.without_items = self.replaced = 0
        self.elsewhere = self.cut = 0
        self.keys: dict[str, FileKeys] = {}
        self.fine_files = 0
        self.new_keys: dict[str, set[str]] = {}
        self.seconds = {"parse": 0.0, "write": 0.0}
        self.writer: Any = None

    def add(self, parsed: Parsed) -> None:
        started = time.perf_counter()
        block, bad = self._behind_what_landed(parsed)
        self.records_in += block.rows.num_rows + len(bad)
        self.blank_lines += parsed.blank_lines
        self.without_items += parsed.without_items
        self.replaced += parsed.replaced
        self.cut += parsed.cut
        self.fine_files += parsed.fine_files
        for file, told in parsed.keys.items():
            self.keys.setdefault(file, FileKeys()).add(told)
        for file, paths in parsed.new_keys.items():
            self.new_keys.setdefault(file, set()).update(paths)
        self.bad += bad
        for slice_, part in self._by_slice(self._without_null_keys(block)):
            if self.plan.only in (None, slice_):
                self._write(part, slice_)
            else:
                self.elsewhere += part.num_rows
        if (
            len(self.bad) >= _HELD_RECORDS
            or sum(len(record.raw) for record in self.bad) >= _HELD_BYTES
        ):
            self._write_quarantine()
        self.seconds["write"] += time.perf_counter() - started

    def _behind_what_landed(self, parsed: Parsed) -> tuple[_Block, list[BadRecord]]:
        """All records of a new file; of one that grew, those behind the last line landed."""
        block, until = _Block.of(parsed), self.plan.landed_until
        if not until:
            return block, parsed.bad
        bad = [
            record
            for record in parsed.bad
            if (record.source_line or 0) > until.get(record.source_file or "", 0)
        ]
        files = block.rows.column(SOURCE_FILE).dictionary_encode()
        last = pa.array(
            [until.get(name, 0) for name in files.dictionary.to_pylist()], pa.int64()
        ).take(files.indices)
        return block.filter(pc.greater(block.rows.column(SOURCE_LINE), last)), bad

    def _without_null_keys(self, block: _Block) -> _Block:
        keys = [block.rows.column(name) for name in self.key]
        if not any(key.null_count for key in keys):
            return block
        missing = pc.is_null(keys[0])
        for key in keys[1:]:
            missing = pc.or_(missing, pc.is_null(key))
        message = f"a key column is null; allowed: a value in each of {', '.join(self.key)}"
        return self._quarantine(block, missing, "null_key", message)

    def _quarantine(self, block: _Block, mask: pa.Array, reason: str, message: str) -> _Block:
        """Moves the masked rows to the bad ones; returns the others."""
        if block.rows.num_rows == 0 or not pc.any(mask).as_py():
            return block
        refused = block.filter(mask)
        for row, place in zip(refused.rows.to_pylist(), refused.places.to_pylist(), strict=True):
            raw = block.raw_at(place) if block.raw_at else json.dumps(row, default=str).encode()
            key = json.dumps({name: row[name] for name in self.key}, default=str)
            self.bad.append(
                BadRecord(row[SOURCE_FILE], row[SOURCE_LINE], raw, reason, message, key=key)
            )
        return block.filter(pc.invert(mask))

    def _by_slice(self, block: _Block) -> Iterator[tuple[str, pa.RecordBatch]]:
        from batchinfer.sources.slice_values import slice_values

        if block.rows.num_rows == 0:
            return
        if self.rule == "ingest_date" and self.plan.ingest_slice is not None:
            yield self.plan.ingest_slice, block.rows
            return
        values = slice_values(block.rows, self.rule, self.plan.ingest_slice)
        null = pc.is_null(values)
        message = "the slice column is null; allowed: a value that names the row's slice"
        block = self._quarantine(block, null, "null_slice", message)
        values = values.filter(pc.invert(null))
        names = [name for name in pc.unique(values).to_pylist() if names_slice(self.rule, name)]
        refused = pc.invert(pc.is_in(values, pa.array(names, pa.string())))
        message = (
            "the slice column's value cannot name a slice; allowed: text without path "
            "syntax or control characters, times of the years 0001 to 9999"
        )
        rows = self._quarantine(block, refused, "slice_name", message).rows
        values = values.filter(pc.invert(refused))
        distinct = pc.unique(values).to_pylist()
        for slice_ in distinct:
            yield slice_, rows if len(distinct) == 1 else rows.filter(pc.equal(values, slice_))

    def _write(self, rows: pa.RecordBatch, slice_: str) -> None:
        from batchinfer.lake.staging import StagedWriter

        if self.writer is None:
            self.writer = StagedWriter(
                self.plan.landed,
                rows.schema,
                (SLICE,),
                stats_columns=landed_stats(self.key),
                run_id=self.plan.run_id,
            )
        self.rows[slice_] += rows.num_rows
        self.writer.write(rows, {SLICE: slice_})

    def finish(self) -> LandingResult:
        started = time.perf_counter()
        files = self.writer.close() if self.writer else []
        self._write_quarantine()
        self.seconds["write"] += time.perf_counter() - started
        return LandingResult(
            files=tuple(files),
            quarantine=tuple(self.quarantined_files),
            rows=self.rows,
            rows_in=self.records_in,
            elsewhere=self.elsewhere,
            blank_lines=self.blank_lines,
            without_items=self.without_items,
            replaced=self.replaced,
            cut=self.cut,
            reasons=self.reasons,
            fine_files=self.fine_files,
            keys=self.keys,
            new_keys={file: tuple(sorted(paths)) for file, paths in self.new_keys.items()},
            seconds=self.seconds,
        )

    def _write_quarantine(self) -> None:
        """Writes the bad records held: a file of nothing else must not fill the worker's memory."""
        from batchinfer.lake.quarantine import write_quarantine

        plan = self.plan
        sensitive = SensitiveColumns(frozenset(plan.sensitive))
        self.quarantined_files += write_quarantine(
            plan.quarantine,
            [replace(bad, message=sensitive.of_record(bad.message)) for bad in self.bad],
            pipeline=plan.pipeline,
            stage="extract",
            run_id=plan.run_id,
            published=True,
            slice=plan.ingest_slice,
        )
        self.reasons.update(record.reason for record in self.bad)
        self.bad.clear()

    def abort(self) -> None:
        from batchinfer.lake.staged_files import remove_staged

        if self.writer:
            self.writer.abort()
        remove_staged(self.plan.quarantine, self.quarantined_files)


def landed_stats(key: Sequence[str]) -> tuple[str, ...]:
    """Columns of the landed table that have statistics: what reads skip by. On all columns they
    cost more than the write.
    """
    return tuple(dict.fromkeys([*key, SOURCE_FILE, SOURCE_LINE]))
