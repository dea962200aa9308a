"""The table of what came true: whether it has the columns that `outcomes` names, and its rows, a
batch at a time.

Owns which of its rows are known at a time. Knows no predictions.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute

from batchinfer.config.suggestions import among
from batchinfer.contracts import Problem
from batchinfer.errors import ConfigError, InputError, InputMissing
from batchinfer.pipeline.definition.context import Context

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from batchinfer.config.pipeline import Outcomes

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

# The columns of the batches, behind those of the key.
AT, VALUE = "at", "value"
_DAY = dt.timedelta(days=1)
_MOMENT = re.compile(
    r"\d{4}-\d{2}(-\d{2}([T ]\d{2}(:\d{2}(:\d{2}(\.\d+)?)?)?(Z|[+-]\d{2}:\d{2})?)?)?", re.ASCII
)


@dataclass(frozen=True)
class OutcomesTable:
    """A table of outcomes at one version.

    Attributes:
        place: where it lies.
        key: its columns that hold the key, in the order of the pipeline's.
        types: Arrow type of each of its columns.
        rows: how many there are; None where the log does not tell.
        as_of: only rows known by then; None: all.
    """

    place: str
    version: int
    settings: Outcomes
    key: tuple[str, ...]
    types: Mapping[str, pa.DataType]
    rows: int | None
    table: DeltaTable
    as_of: str | None = None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Its rows that are known: the key's columns by their own names, `at` (where there is such
        a column) and `value`, null where nothing has come true.

        Raises:
            DamagedFile, StorageError: a file cannot be read.
        """
        from batchinfer.lake.table_rows import read_table_batches

        at, value = self.settings.at, self.settings.value
        named: list[str] = [*self.key, value, *([at] if at else [])]
        wanted = list(dict.fromkeys(named))
        for batch in read_table_batches(self.table, wanted):
            columns = [batch.column(name) for name in self.key]
            names = [f"key_{place}" for place in range(len(self.key))]
            if at is not None:
                columns.append(batch.column(at))
                names.append(AT)
            found = pa.record_batch([*columns, _value(batch.column(value))], [*names, VALUE])
            yield found if self.as_of is None else found.filter(_known(found, self.as_of))

    def counted(self) -> tuple[int, int]:
        """How many rows are known, and how many of them say what came true.

        Raises:
            DamagedFile, StorageError: a file cannot be read.
        """
        rows = told = 0
        for batch in self.batches():
            rows += batch.num_rows
            told += batch.num_rows - batch.column(VALUE).null_count
        return rows, told


def open_outcomes(context: Context, as_of: str | None = None) -> OutcomesTable:
    """The table that the pipeline's `outcomes` names, at its latest version.

    Args:
        as_of: a time, a day or a slice; only rows known by its end count.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: the pipeline has no `outcomes`, or names a column that the table lacks, or one
            of a type that cannot be meant.
        InputMissing: there is no such table.
        InputError: a table that cannot be read without Spark.
        StorageError: its log cannot be read.
    """
    from batchinfer.lake.snapshots import arrow_schema, exists, open_table, table_files

    settings, place = context.pipeline.outcomes, context.outcomes
    if settings is None or place is None:
        raise ConfigError(
            f"{context.loaded.file}: outcomes: got nothing; allowed: what came true, such as "
            f"outcomes: {{table: landed/{context.name}, value: COLUMN}}"
        )
    places, named_at = context.loaded.places, ("outcomes", "table")
    if place.rstrip("/") == context.predictions.rstrip("/"):
        raise ConfigError(
            places.sentence(
                Problem(
                    named_at,
                    f"got {settings.table!r}, the pipeline's own predictions; allowed: a table of "
                    "what came true",
                )
            )
        )
    if not exists(place):
        raise InputMissing(
            places.sentence(
                Problem(
                    named_at,
                    f"got {settings.table!r}, but there is no Delta table at {place}; allowed: a "
                    "table below the lake, such as landed/<pipeline>, or a URI",
                )
            )
        )
    table = open_table(place)
    _check_readable(table, place)
    types = {field.name: field.type for field in arrow_schema(table)}
    key = tuple(settings.key or context.pipeline.source.key)
    problems = _wrong_columns(settings, key, types, place)
    if problems:
        raise ConfigError(places.sentences(problems))
    if as_of is not None:
        _check_as_of(settings, types, as_of, context, table)
    counts = [file.rows for file in table_files(table)]
    rows = None if None in counts else sum(count or 0 for count in counts)
    return OutcomesTable(place, table.version(), settings, key, types, rows, table, as_of)


def _check_readable(table: DeltaTable, place: str) -> None:
    from batchinfer.lake.snapshots import kept_rows, maps_columns

    against = ["maps column names"] if maps_columns(table) else []
    against += ["has rows deleted by deletion vectors"] if kept_rows(table) else []
    if against:
        raise InputError(
            f"{place}: the table of outcomes {' and '.join(against)}; allowed: a table without "
            "column mapping and deletion vectors",
            hint="REORG TABLE … APPLY (PURGE) rewrites files that have deletion vectors",
        )


def _wrong_columns(
    settings: Outcomes, key: tuple[str, ...], types: Mapping[str, pa.DataType], place: str
) -> list[Problem]:
    """What is wrong with the columns that are named."""
    named = [("key", name) for name in key] + [("value", settings.value)]
    named += [("at", settings.at)] if settings.at is not None else []
    problems = [
        Problem(("outcomes", field), f"no such column in {place}: {among(name, types)}")
        for field, name in named
        if name not in types
    ]
    value, at = types.get(settings.value), types.get(settings.at or "")
    if value is not None and not _is_value(value):
        problems.append(
            Problem(
                ("outcomes", "value"),
                f"column {settings.value} of {place} is {value}; allowed: text, true or false, or "
                "a number",
            )
        )
    if at is not None and not (_is_text(at) or pa.types.is_timestamp(at) or pa.types.is_date(at)):
        problems.append(
            Problem(
                ("outcomes", "at"),
                f"column {settings.at} of {place} is {at}; allowed: a timestamp, a date, or text "
                "that sorts by time, such as slice",
            )
        )
    return problems


def _is_value(type_: pa.DataType) -> bool:
    kinds = pa.types
    return (
        _is_text(type_)
        or kinds.is_boolean(type_)
        or kinds.is_integer(type_)
        or kinds.is_floating(type_)
        or kinds.is_decimal(type_)
    )


def _is_text(type_: pa.DataType) -> bool:
    kinds = pa.types
    return kinds.is_string(type_) or kinds.is_large_string(type_) or kinds.is_string_view(type_)


def _check_as_of(
    settings: Outcomes,
    types: Mapping[str, pa.DataType],
    as_of: str,
    context: Context,
    table: DeltaTable,
) -> None:
    if settings.at is None:
        raise ConfigError(
            f"--as-of {as_of}: {context.loaded.file} has no outcomes.at; allowed: --as-of where a "
            "column says since when an outcome is known"
        )
    type_ = types[settings.at]
    if _is_text(type_):
        _check_text_as_of(settings.at, as_of, table)
        return
    try:
        moment = dt.datetime.fromisoformat(as_of.replace("Z", "+00:00"))
    except ValueError as error:
        raise ConfigError(
            f"--as-of: got {as_of!r}; allowed: a day such as 2026-11-21, or a time such as "
            "2026-11-21T07:30:00"
        ) from error
    if pa.types.is_date(type_) and len(as_of) > 10:
        raise ConfigError(
            f"--as-of: got {as_of!r}, but outcomes.at, column {settings.at}, has days; allowed: a "
            "day such as 2026-11-21"
        )
    if moment.tzinfo is not None and getattr(type_, "tz", None) is None:
        raise ConfigError(
            f"--as-of: got {as_of!r}, but outcomes.at, column {settings.at}, has times without a "
            "zone; allowed: a time without one"
        )


def _check_text_as_of(at: str, as_of: str, table: DeltaTable) -> None:
    """Text sorts by time only beside text of its form, so that of the first rows is held against
    `as_of`.
    """
    from batchinfer.lake.table_rows import read_table_batches

    values: list[str] = []
    for batch in read_table_batches(table, [at]):
        values = batch.column(at).cast(pa.string()).unique().drop_null().to_pylist()
        if values:
            break
    if as_of == "":
        allowed = f"text such as {values[0]!r}" if values else "text that is not empty"
        raise ConfigError(f"--as-of: got ''; allowed: {allowed}")
    if not values or not all(map(_is_moment, values)):
        return
    finest = max(values, key=len)
    times = len(finest) > 10
    if not _is_moment(as_of) or (len(as_of) > 10 and (not times or as_of[10] != finest[10])):
        raise ConfigError(
            f"--as-of: got {as_of!r}, but outcomes.at, column {at}, has values such as {finest!r}; "
            "allowed: a value of that form, or its beginning, such as its day"
        )


def _is_moment(text: str) -> bool:
    """Whether text is a month, a day, an hour or a time, as names of slices and ISO 8601 write
    them.
    """
    if _MOMENT.fullmatch(text) is None:
        return False
    day, time = text[:10] if len(text) > 7 else f"{text}-01", text[10:]
    try:
        dt.datetime.fromisoformat(f"{day}{time}".replace("Z", "+00:00"))
    except ValueError:
        return False
    return True


def _known(batch: pa.RecordBatch, as_of: str) -> pa.Array:
    """Which rows are known by the end of a day, of a slice or of a time; a row without `at` is
    not.
    """
    at = batch.column(AT)
    if _is_text(at.type):
        # The name of a slice of hours begins with that of its day.
        start = pc.utf8_slice_codeunits(at.cast(pa.string()), 0, len(as_of))
        return pc.fill_null(pc.less_equal(start, as_of), fill_value=False)
    if pa.types.is_date(at.type):
        known = pc.less_equal(at.cast(pa.date32()), dt.date.fromisoformat(as_of))
        return pc.fill_null(known, fill_value=False)
    moment = dt.datetime.fromisoformat(as_of.replace("Z", "+00:00"))
    zone = at.type.tz
    if zone is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.timezone.utc)
    whole_day = len(as_of) <= 10
    bound = pa.scalar(moment + _DAY if whole_day else moment, pa.timestamp("us", zone))
    compare = pc.less if whole_day else pc.less_equal
    return pc.fill_null(compare(at.cast(bound.type, safe=False), bound), fill_value=False)


def _value(column: pa.Array) -> pa.Array:
    """What came true; not-a-number is nothing, as where a target is learned."""
    if _is_text(column.type):
        return column.cast(pa.string())
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
        return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
    return column
