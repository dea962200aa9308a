"""The runs table: one row per attempt at a command, appended and never changed.

Owns how a row gets in and how the latest ones are found. Must not decide what is published: that is
read from the tables themselves.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow.fs import FileSystem

from batchinfer.checked_parquet import CheckedParquetFile, damage
from batchinfer.contracts import BUNDLE_DIGEST, SLICE, runs_schema
from batchinfer.errors import InputError
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.delta import commit
from batchinfer.lake.snapshots import exists, file_actions, open_table
from batchinfer.lake.staging import StagedWriter
from batchinfer.lake.table_places import open_filesystem, storage_faults
from batchinfer.object_stores import side_by_side

_SKIP_BY = ("pipeline", "started_at")
_AT_ONCE = 32
_TOLD_APART = ("pipeline", "command", SLICE, BUNDLE_DIGEST)
"""The columns that say whether a row is wanted."""
_MICROS = pa.timestamp("us", "UTC")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
Row = Mapping[str, Any]


@dataclass(frozen=True)
class LatestRun:
    """The attempt at a slice that started last.

    Attributes:
        status, exit_code, seconds, rows_in: None where it was not recorded.
        report: the fields of its JSON line; empty where there were none.
    """

    run_id: str
    started_at: dt.datetime
    status: str | None
    exit_code: int | None
    seconds: float | None
    rows_in: int | None
    report: Mapping[str, Any]


def append_run(uri: str, row: Mapping[str, Any]) -> int:
    """Appends one row; columns that it leaves out are null. The table is made if missing.

    Args:
        uri: of the runs table.
        row: columns of `contracts.runs_schema`; times are aware datetimes.

    Returns:
        The table's version.

    Runs on: driver

    Raises:
        InputError: unknown columns, or values of another type.
        StorageError: the table cannot be written.
    """
    schema = runs_schema()
    unknown = sorted(set(row) - set(schema.names))
    if unknown:
        raise InputError(f"unknown columns of the runs table: {unknown}; it has {schema.names}")
    try:
        batch = _batch_of(row, schema)
    except (pa.ArrowInvalid, TypeError) as error:
        raise InputError(f"a row of the runs table: {error}; its columns are {schema}") from error
    ensure_table(
        uri,
        schema,
        description="One row per attempt at a command; appended, never changed.",
        stats_columns=_SKIP_BY,
    )
    with StagedWriter(uri, schema, (), _SKIP_BY) as writer:
        writer.write(batch, {})
        return commit(uri, writer.close(), even_if_stopped=True)


def _batch_of(row: Row, schema: pa.Schema) -> pa.RecordBatch:
    """The row as Arrow's. It goes by way of JSON: to take Python's own values Arrow imports pandas,
    which takes longer than all else that a short command does.
    """
    import pyarrow.json as pj

    for field in schema:
        # Of JSON's texts Arrow would take those for times that look like some.
        if pa.types.is_timestamp(field.type) and isinstance(row.get(field.name), str):
            raise TypeError(f"{field.name}: got the text {row[field.name]!r}")
    text = json.dumps(row, default=_text_of_moment).encode()
    table = pj.read_json(
        pa.BufferReader(text),
        pj.ReadOptions(use_threads=False, block_size=len(text)),
        pj.ParseOptions(explicit_schema=schema),
    )
    [batch] = table.to_batches()
    return batch


def _text_of_moment(value: object) -> str:
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.timezone.utc).isoformat()
    raise TypeError(f"got {value!r}, which is no text, number or aware datetime")


def latest_runs(
    uri: str,
    pipeline: str,
    command: str | None = None,
    bundle_digest: str | None = None,
    newest: int | None = None,
) -> dict[str, LatestRun]:
    """The run of each slice that started last, by its name; runs on no one slice are left out.

    Args:
        uri: of the runs table; no table means no runs.
        pipeline: name of the pipeline.
        command: only runs of this command.
        bundle_digest: only runs with this bundle.
        newest: of all these only so many, those that started last; None: all. Each run is a file,
            which takes 2 ms to read.

    Runs on: driver

    Raises:
        StorageError: the table cannot be read.
    """
    if not exists(uri):
        return {}

    def wanted(row: Row) -> bool:
        return (
            row["pipeline"] == pipeline
            and row[SLICE] is not None
            and command in (None, row["command"])
            and bundle_digest in (None, row[BUNDLE_DIGEST])
        )

    with storage_faults(uri, "read the runs table"):
        files = _starts(open_table(uri), pipeline)
        rows = _newest(uri, files, wanted, newest)
    return {row[SLICE]: _as_run(row) for row in reversed(rows)}


def last_attempts(
    uri: str, pipeline: str, command: str, slices: Collection[str]
) -> dict[str, LatestRun]:
    """The attempt at each of these slices that started last; those without one are left out. Files
    are read, the newest first, until every slice has been found.

    Args:
        uri: of the runs table; no table means no attempts.

    Runs on: driver

    Raises:
        StorageError: the table cannot be read.
    """
    found: dict[str, LatestRun] = {}
    if not slices or not exists(uri):
        return found

    def wanted(row: Row) -> bool:
        return (row["pipeline"], row["command"]) == (pipeline, command) and row[SLICE] in slices

    filesystem, root = open_filesystem(uri)
    with storage_faults(uri, "read the runs table"):
        files = _starts(open_table(uri), pipeline)
        for at in range(0, len(files), _AT_ONCE):
            # A file behind this one may hold a newer row of a slice only if it may be as new.
            if len(found) == len(slices) and all(
                run.started_at >= files[at][0] for run in found.values()
            ):
                break
            paths = [f"{root}/{unquote(path)}" for _, path in files[at : at + _AT_ONCE]]
            for row in _rows_among(filesystem, paths, wanted):
                known = found.get(row[SLICE])
                if known is None or row["started_at"] > known.started_at:
                    found[row[SLICE]] = _as_run(row)
    return found


def newest_attempts(uri: str, pipeline: str, command: str, count: int) -> list[LatestRun]:
    """The attempts at a command of a pipeline that started last, the newest first, on one slice or
    none; no table means no attempts.

    Runs on: driver

    Raises:
        StorageError: the table cannot be read.
    """
    if not exists(uri):
        return []

    def wanted(row: Row) -> bool:
        return (row["pipeline"], row["command"]) == (pipeline, command)

    with storage_faults(uri, "read the runs table"):
        rows = _newest(uri, _starts(open_table(uri), pipeline), wanted, count)
    return [_as_run(row) for row in rows]


def _as_run(row: Row) -> LatestRun:
    return LatestRun(
        row["run_id"],
        row["started_at"],
        row["status"],
        row["exit_code"],
        row["seconds"],
        row["rows_in"],
        json.loads(row["report"] or "{}"),
    )


def _newest(
    uri: str,
    files: Sequence[tuple[dt.datetime, str]],
    wanted: Callable[[Row], bool],
    count: int | None,
) -> list[Row]:
    """So many rows, those that started last, the newest first; all if None. Files are opened, the
    newest first, until all others hold older rows only.
    """
    filesystem, root = open_filesystem(uri)
    rows: list[Row] = []
    at_once = len(files) if count is None else count
    for at in range(0, len(files), max(1, at_once)):
        if len(rows) == count and rows[-1]["started_at"] >= files[at][0]:
            break
        paths = [f"{root}/{unquote(path)}" for _, path in files[at : at + at_once]]
        rows += _rows_among(filesystem, paths, wanted)
        rows = sorted(rows, key=lambda row: row["started_at"], reverse=True)[:count]
    return rows


def _rows_among(
    filesystem: FileSystem, paths: Sequence[str], wanted: Callable[[Row], bool]
) -> list[Row]:
    """The rows of these files that are wanted."""

    def read(path: str) -> list[Row]:
        try:
            with CheckedParquetFile(filesystem, path) as file:
                return [row for batch in file.iter_batches() for row in _chosen(batch, wanted)]
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise damage(path, error) or error from error

    return [row for rows in side_by_side(filesystem, read, paths) for row in rows]


def _chosen(batch: pa.RecordBatch, wanted: Callable[[Row], bool]) -> Iterator[Row]:
    # Reports are long, so they are made Python's of wanted rows alone.
    rest = batch.drop_columns(["started_at"])
    told = zip(_moments(batch["started_at"]), batch.select(_TOLD_APART).to_pylist(), strict=True)
    for place, (start, facts) in enumerate(told):
        if wanted(facts):
            [row] = rest.slice(place, 1).to_pylist()
            yield row | {"started_at": start}


def _moments(values: pa.Array) -> list[dt.datetime | None]:
    """Times as Python's; Arrow would import pandas to make them."""
    micros = values if values.type == _MICROS else values.cast(_MICROS)
    return [
        None if count is None else _EPOCH + dt.timedelta(microseconds=count)
        for count in micros.view("int64").to_pylist()
    ]


def _starts(table: DeltaTable, pipeline: str) -> list[tuple[dt.datetime, str]]:
    """The files that may hold runs of the pipeline, and when the newest run of each started; the
    latest first.
    """
    actions = file_actions(table)

    def column(name: str) -> list[Any]:
        return actions[name].to_pylist() if name in actions.column_names else no_facts

    no_facts = [None] * actions.num_rows
    starts = no_facts
    if "max.started_at" in actions.column_names:
        starts = [start for chunk in actions["max.started_at"].chunks for start in _moments(chunk)]
    told = zip(starts, column("path"), column("min.pipeline"), column("max.pipeline"), strict=True)
    latest = dt.datetime.max.replace(tzinfo=dt.timezone.utc)  # of a file that does not tell
    files = [
        (start or latest, path)
        for start, path, low, high in told
        if low is None or high is None or low <= pipeline <= high
    ]
    return sorted(files, reverse=True)
