"""The runs table: one row per attempt at a command, appended and never changed.

Owns how a row gets in and how the latest ones are found. Must not decide what is published: that is
read from the tables themselves.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow.fs import FileSystem

from batchinfer.checked_parquet import check_file, damage_among, page_checks
from batchinfer.contracts import BUNDLE_DIGEST, SLICE, runs_schema
from batchinfer.errors import InputError
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.delta import commit
from batchinfer.lake.snapshots import exists, file_actions, open_table
from batchinfer.lake.staging import StagedWriter
from batchinfer.lake.table_places import open_filesystem, storage_faults
from batchinfer.lake.table_rows import read_table_rows

_SKIP_BY = ("pipeline", "started_at")
_AT_ONCE = 32


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
        batch = pa.RecordBatch.from_pylist([{name: row.get(name) for name in schema.names}], schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
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
    wanted = (ds.field("pipeline") == pipeline) & ds.field(SLICE).is_valid()
    if command is not None:
        wanted &= ds.field("command") == command
    if bundle_digest is not None:
        wanted &= ds.field(BUNDLE_DIGEST) == bundle_digest
    table = open_table(uri)
    if newest is None:
        rows = read_table_rows(table, wanted=wanted)
    else:
        with storage_faults(uri, "read the runs table"):
            rows = _newest(uri, _starts(table, pipeline), wanted, newest)
    return {row[SLICE]: _as_run(row) for row in rows.sort_by("started_at").to_pylist()}


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
    wanted = (ds.field("pipeline") == pipeline) & (ds.field("command") == command)
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
            among = wanted & ds.field(SLICE).isin(list(slices))
            for row in _rows_among(filesystem, paths, among).to_pylist():
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
    wanted = (ds.field("pipeline") == pipeline) & (ds.field("command") == command)
    with storage_faults(uri, "read the runs table"):
        rows = _newest(uri, _starts(open_table(uri), pipeline), wanted, count)
    return [_as_run(row) for row in rows.sort_by([("started_at", "descending")]).to_pylist()]


def _as_run(row: Mapping[str, Any]) -> LatestRun:
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
    uri: str, files: Sequence[tuple[dt.datetime, str]], wanted: ds.Expression, count: int
) -> pa.Table:
    """So many rows, those that started last. Files are opened, the newest first, until all others
    hold older rows only.
    """
    filesystem, root = open_filesystem(uri)
    rows, opened = runs_schema().empty_table(), 0
    while opened < len(files):
        if rows.num_rows == count and rows["started_at"][-1].as_py() >= files[opened][0]:
            break
        paths = [f"{root}/{unquote(path)}" for _, path in files[opened : opened + count]]
        more = _rows_among(filesystem, paths, wanted)
        rows = (
            pa.concat_tables([rows, more]).sort_by([("started_at", "descending")]).slice(0, count)
        )
        opened += count
    return rows


def _rows_among(filesystem: FileSystem, paths: Sequence[str], wanted: ds.Expression) -> pa.Table:
    """The rows of these files that are wanted."""
    for path in paths:
        check_file(filesystem, path)
    dataset = ds.dataset(paths, schema=runs_schema(), filesystem=filesystem, format="parquet")
    try:
        return dataset.to_table(filter=wanted, fragment_scan_options=page_checks())
    except (OSError, pa.ArrowException) as error:
        raise damage_among(filesystem, paths, error) or error from error


def _starts(table: DeltaTable, pipeline: str) -> list[tuple[dt.datetime, str]]:
    """The files that may hold runs of the pipeline, and when the newest run of each started; the
    latest first.
    """
    actions = file_actions(table)

    def column(name: str) -> list[Any]:
        return (
            actions[name].to_pylist() if name in actions.column_names else [None] * actions.num_rows
        )

    told = zip(
        column("max.started_at"),
        column("path"),
        column("min.pipeline"),
        column("max.pipeline"),
        strict=True,
    )
    latest = dt.datetime.max.replace(tzinfo=dt.timezone.utc)  # of a file that does not tell
    files = [
        (start or latest, path)
        for start, path, low, high in told
        if low is None or high is None or low <= pipeline <= high
    ]
    return sorted(files, reverse=True)
