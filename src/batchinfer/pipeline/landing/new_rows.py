"""Rows of a database that are new since it was read last, and how workers take them over.

With a watermark, the rows behind the last one; without, the whole table, if its content is another
than it was.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from batchinfer.config.sources import JdbcSource
from batchinfer.config.types import parse_ddl
from batchinfer.contracts import SOURCE_FILE
from batchinfer.errors import InputError
from batchinfer.json_values import from_json, to_json
from batchinfer.lake.ledger import files_of, fingerprint63, mark_of
from batchinfer.pipeline.landing.database_columns import ReadColumns, choose_columns
from batchinfer.pipeline.landing.databases import Database
from batchinfer.pipeline.landing.increment import Increment, Landing, NewRecords
from batchinfer.pipeline.landing.landing_task import (
    LandingPlan,
    LandingResult,
    stage_rows,
)
from batchinfer.pipeline.slices.table_columns import table_fields
from batchinfer.sources.databases import jdbc
from batchinfer.sources.databases.addresses import read_address
from batchinfer.sources.databases.sql_dialects import DatabaseColumn, Position
from batchinfer.sources.rescued import is_rescued, with_rescued
from batchinfer.sources.text.columns import TextRule, convert
from batchinfer.sources.text.timestamps import TimestampRule
from batchinfer.spark.capacity import workers
from batchinfer.spark.jvm import needing_session
from batchinfer.spark.tasks import guarded, run_batches

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.sources.databases.database_rows import Boundary
    from batchinfer.sources.text.columns import TextRule
    from batchinfer.spark.session import OpenSession

# Tasks a worker: one that is slow does not hold up the others.
_TASKS_PER_WORKER = 2
_CHANGED_HINT = (
    "rows that changed in the database come again with their key: set source.on_changed: replace "
    "to land them in place of the former ones (--set source.on_changed=replace)"
)


def find_new_rows(landing: Landing, open_session: OpenSession) -> Increment | None:
    """The rows of a database that are new; None: none are.

    Runs on: driver.

    Raises:
        ConfigError: a variable that is not set, an address of no known form, no driver.
        InputError: a table that is not there or breaks the contract of its columns; rows without a
            watermark; a snapshot that changed and may not (`on_changed: fail`).
        StorageError: the database cannot be reached.
    """
    source = landing.source
    assert isinstance(source, JdbcSource)
    address = read_address(source.options, os.environ)
    address.check_file(source.options.url_env)
    options = source.options
    with needing_session("a database is read through the JVM"):
        session = open_session()
    database = Database(
        session, address, jdbc.source_name(options), options.url_env, options.fetch_size
    )
    reading = _plan_reading(landing, source, database)
    if options.watermark is None:
        return _snapshot(landing, reading)
    return _increment(landing, source, reading)


@dataclass(frozen=True)
class _Reading:
    """What one extraction reads of a database, and how.

    Attributes:
        columns: that are read, and that land.
        name: `source_file` of the rows.
        upper: the greatest watermark that is read.
    """

    database: Database
    columns: ReadColumns
    relation: str
    conditions: list[str]
    transfers: list[jdbc.Transfer]
    name: str
    mark: jdbc.Watermark | None
    upper: Position | None

    @property
    def fields(self) -> dict[str, pa.DataType]:
        """Arrow types of the columns that land, but for the one of what is rescued."""
        return _arrow_types(self.columns.fields)

    @property
    def since_1970(self) -> frozenset[str]:
        """Columns of times that are numbers."""
        return frozenset(column.name for column in self.transfers if column.since_1970)


def _arrow_types(types: Mapping[str, str]) -> dict[str, pa.DataType]:
    return {name: parse_ddl(type_) for name, type_ in types.items()}


def _plan_reading(landing: Landing, source: JdbcSource, database: Database) -> _Reading:
    """Asks the database for its columns, its greatest watermark and its bounds."""
    options, dialect = source.options, database.dialect
    columns = database.columns(jdbc.relation(options))
    chosen = choose_columns(landing, columns, dialect)
    by_name = {column.name: column for column in columns}
    text = mark_of(landing.known, jdbc.mark_name(options)) if options.watermark else None
    mark = jdbc.Watermark.from_text(text) if text else None
    upper = (
        _ask_watermark(database, source, by_name[options.watermark]) if options.watermark else None
    )
    window = jdbc.window(options, dialect, mark, upper)
    transfers = jdbc.transfers(columns, chosen.read, dialect, options.timestamp_format is not None)
    if options.timestamp_format and not any(column.since_1970 for column in transfers):
        raise InputError(
            f"{jdbc.source_name(options)}: source.timestamp_format: got "
            f"{options.timestamp_format}, but no column is a number or text that source.schema "
            "declares as timestamp or date"
        )
    conditions: list[str] = []
    if options.partition_column:
        conditions = _ask_partitions(database, source, by_name[options.partition_column], window)
    relation = jdbc.rows_query(options, dialect, transfers, window)
    return _Reading(
        database,
        chosen,
        relation,
        conditions,
        transfers,
        jdbc.read_name(options, mark),
        mark,
        upper,
    )


def _ask_watermark(
    database: Database, source: JdbcSource, column: DatabaseColumn
) -> Position | None:
    """The greatest watermark; None: no rows."""
    name = jdbc.source_name(source.options)
    try:
        query = jdbc.watermark_query(source.options, database.dialect, column)
    except ValueError as error:
        raise InputError(f"{name}: source.watermark: {error}") from error
    found = database.ask(query, ["kind"], ["upper"], ["missing"])
    if found["missing"]:
        raise InputError(
            f"{name}: {found['missing']:,} rows have no {column.name}; allowed: a watermark in "
            "every row, or they would never be known as new",
            hint=f"read them in a pipeline of their own: a query where {column.name} is null, "
            "without watermark",
        )
    if found["upper"] is None:
        return None
    upper = Position(str(found["kind"]).strip(), jdbc.position_text(found["upper"]))
    if upper.kind in ("real", "blob") or "infinity" in upper.text.lower():
        raise InputError(
            f"{name}: the greatest {column.name} is {upper.text!r} ({upper.kind}), which no later "
            "row can pass; allowed: whole numbers, decimals, text, dates and times"
        )
    return upper


def _ask_partitions(
    database: Database, source: JdbcSource, column: DatabaseColumn, window: Sequence[str]
) -> list[str]:
    try:
        query = jdbc.bounds_query(source.options, database.dialect, column, window)
    except ValueError as error:
        raise InputError(
            f"{jdbc.source_name(source.options)}: source.partition_column: {error}"
        ) from error
    found = database.ask(query, ["low_kind", "high_kind"], ["low", "high"])
    if found["low"] is None:
        return []
    low = Position(str(found["low_kind"]).strip(), jdbc.position_text(found["low"]))
    high = Position(str(found["high_kind"]).strip(), jdbc.position_text(found["high"]))
    return jdbc.partitions(database.dialect, low, high, _TASKS_PER_WORKER * workers(database.spark))


def _increment(landing: Landing, source: JdbcSource, reading: _Reading) -> Increment | None:
    """Rows behind the last watermark, and those at it that have not landed."""
    # A fingerprint of this run alone: rows may have come late into a window that an interrupted run
    # has read before.
    fingerprint = fingerprint63(hashlib.sha256(landing.context.run_id.encode()).digest())
    empty = NewRecords(
        with_rescued(source, reading.fields),
        {reading.name: fingerprint},
        retried=[reading.name],
        notes=reading.columns.notes,
    )
    # A slice that landed without rows has landed all the same.
    nothing = None if _slice_landed(landing) else empty
    options, mark, upper = source.options, reading.mark, reading.upper
    if upper is None:
        return None if nothing is None else Increment.of(nothing, lambda plan, _: [])
    boundary = _boundary(landing, source, reading) if mark else None
    records = replace(
        empty,
        marks={jdbc.mark_name(options): jdbc.next_mark(options, mark, upper).to_text()},
        replaces_keys=source.on_changed == "replace",
        repeats_hint=_CHANGED_HINT if mark and source.on_changed == "fail" else None,
    )

    def settled(results: Sequence[LandingResult]) -> NewRecords | None:
        # Without a greater watermark only rows that came late to the last one are new; and a
        # position never goes back.
        some = mark is None or any(result.rows_in for result in results)
        return records if some else nothing

    return Increment.once_read(
        records, partial(_stage, reading=reading, boundary=boundary), settled
    )


def _slice_landed(landing: Landing) -> bool:
    """Whether the slice of this command has landed; where the data decides on slices, whether
    anything has.
    """
    from batchinfer.lake.delta import exists
    from batchinfer.pipeline.slices.landed import read_slices

    if landing.ingest_slice is None:
        return exists(landing.table)
    return landing.ingest_slice in read_slices(landing.table)


def _boundary(landing: Landing, source: JdbcSource, reading: _Reading) -> Boundary:
    """What was read before of the rows at the position where the window begins."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    from batchinfer.lake.delta import exists
    from batchinfer.lake.snapshots import open_table
    from batchinfer.lake.table_rows import read_table_batches, read_table_rows
    from batchinfer.sources.databases.database_rows import Boundary, plain_record

    assert reading.mark is not None
    column, names = str(source.options.watermark), jdbc.names_at(source.options, reading.mark)
    type_ = reading.fields[column]
    rule = _number_rules(source, reading.since_1970).get(column, TextRule())
    value = convert(pa.array([reading.mark.position.text], pa.string()), type_, rule)[0][0]
    if not value.is_valid:
        raise InputError(
            f"{jdbc.source_name(source.options)}: it has been read up to {column} "
            f"{reading.mark.position.text!r}, which is no "
            f"{reading.columns.fields[column]}; allowed: the type that the column had then"
        )
    ours = ds.field(SOURCE_FILE).isin(names)
    then, at_start = table_fields(landing.table), ours & (ds.field(column) == value)
    fields = {name: type_ for name, type_ in reading.fields.items() if name in then}
    # Rows that landed before a column came have null there: they are known by the others.
    valued = {
        name
        for batch in read_table_batches(open_table(landing.table), list(fields), at_start)
        for name in fields
        if batch.column(name).null_count < batch.num_rows
    }
    fields = {name: type_ for name, type_ in fields.items() if name in valued or not valued}
    hashes: list[pa.Array] = []
    for batch in read_table_batches(open_table(landing.table), list(fields), at_start):
        rows = pa.RecordBatch.from_arrays(
            [batch.column(name).cast(type_) for name, type_ in fields.items()], list(fields)
        )
        hashes.append(_hash(rows, list(fields)))
    quarantine = landing.context.quarantine
    quarantined: list[str] = []
    if exists(quarantine):
        kept = ours & (ds.field("stage") == "extract") & ds.field("published")
        raw = read_table_rows(open_table(quarantine), ["raw"], kept)["raw"]
        quarantined = [plain_record(json.loads(record)) for record in raw.to_pylist()]
    return Boundary(
        column,
        value,
        pa.concat_arrays(hashes) if hashes else pa.array([], pa.binary(16)),
        list(fields),
        frozenset(quarantined),
    )


def _number_rules(source: JdbcSource, since_1970: Iterable[str]) -> dict[str, TextRule]:
    """How the times that are numbers are written."""
    rule = TextRule(timestamp=TimestampRule(source.options.timestamp_format))
    return dict.fromkeys(since_1970, rule)


def _hash(rows: pa.RecordBatch, columns: Sequence[str]) -> pa.Array:
    from batchinfer.inference.fingerprint import fingerprint

    return fingerprint(rows, columns)


def _snapshot(landing: Landing, reading: _Reading) -> Increment:
    """The whole table; whether it is new is known once its rows have been read."""
    from batchinfer.sources.databases.database_rows import fingerprint_of

    name = reading.name
    known = files_of(landing.known, landing.scope, [name])[name]
    unread = NewRecords(
        fields=with_rescued(landing.source, reading.fields),
        fingerprints={name: 0},
        notes=reading.columns.notes,
        replaced=[name] if known is not None and landing.anew is None else [],
        retried=[name],
    )

    def settled(results: Sequence[LandingResult]) -> NewRecords | None:
        fingerprint = fingerprint63(fingerprint_of(result.digest for result in results))
        if fingerprint == known and landing.anew is None:
            return None
        if known not in (None, fingerprint) and landing.source.on_changed == "fail":
            raise InputError(
                f"{name}: its rows changed after they were landed; allowed with source.on_changed: "
                "replace",
                hint="set source.on_changed: replace to land them in place of the old (--set "
                "source.on_changed=replace), or name a source.watermark column to read only what "
                "is new",
            )
        kept = fingerprint if known is None or not landing.is_part else known
        return replace(unread, fingerprints={name: kept})

    return Increment.once_read(unread, partial(_stage, reading=reading, boundary=None), settled)


def _stage(plan: LandingPlan, reading: _Reading, boundary: Boundary | None) -> list[LandingResult]:
    """Reads the rows through Spark, and stages them in its workers; the results have a digest of
    the content.
    """
    carried = {f"c{number}": column.carried for number, column in enumerate(reading.transfers)}
    with reading.database.rows(reading.relation, reading.conditions, carried) as frame:
        tasks = max(1, len(reading.conditions))
        work, description = LandRows(plan, reading, boundary), f"extracting {reading.name}"
        return run_batches(frame, work, LandingResult, description, tasks)


class LandRows:
    """The function of `mapInArrow`: rows of a database are staged; one row of JSON a task."""

    def __init__(self, plan: LandingPlan, reading: _Reading, boundary: Boundary | None) -> None:
        self.plan, self.name, self.boundary = to_json(plan), reading.name, boundary
        self.read, self.since_1970 = dict(reading.columns.read), reading.since_1970

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        yield pa.RecordBatch.from_pydict({"result": [guarded(lambda: self._land(batches))]})

    def _land(self, batches: Iterable[pa.RecordBatch]) -> LandingResult:
        from batchinfer.sources.databases.database_rows import ContentDigest, RowReader

        plan = from_json(LandingPlan, self.plan)
        source = plan.source
        assert isinstance(source, JdbcSource)
        lands, digest = plan.fields, ContentDigest()
        reader = RowReader(
            _arrow_types({name: lands[name] for name in lands if not is_rescued(source, name)}),
            _arrow_types(self.read),
            self.name,
            source.key,
            _hash,
            self.boundary,
            _number_rules(source, self.since_1970),
            source.columns.rescue,
        )
        staged = stage_rows(plan, reader.rows(batches, digest))
        return replace(staged, digest=digest.numbers())
