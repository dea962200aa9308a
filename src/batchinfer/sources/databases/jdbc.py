"""The SQL that reads a table or a query: its columns, a window of its watermark, and partitions
that lose no row.

Owns SQL text and the names of what is read. Must not know Spark, connections or tables of ours.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

from batchinfer.config.source_options import JdbcOptions
from batchinfer.config.suggestions import did_you_mean, listed
from batchinfer.config.types import SqlType, read_type
from batchinfer.contracts import NOT_IN_NAMES, SLICE, SOURCE_FILE, SOURCE_LINE
from batchinfer.errors import InputError
from batchinfer.sources.databases.sql_dialects import DatabaseColumn, Position, SqlDialect
from batchinfer.sources.file_columns import Held

_TAKEN = (SLICE, SOURCE_FILE, SOURCE_LINE)


@dataclass(frozen=True)
class Watermark:
    """How far a source has been read: the greatest watermark, and which reads have rows with just
    that.

    Attributes:
        since: name of the read that came to this position.
        again: reads that began at this position and came no further.
    """

    position: Position
    since: str
    again: int

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Watermark:
        value = json.loads(text)
        return cls(Position(**value["position"]), value["since"], value["again"])


@dataclass(frozen=True)
class Transfer:
    """How one column crosses: the SQL expression, the Spark SQL type it crosses as, and the one
    that it is to have; whether it is a time written as a number.
    """

    name: str
    expression: str
    carried: str
    type: str
    since_1970: bool = False


def source_name(options: JdbcOptions) -> str:
    """What rows of the source are known by: the table as written, or `query`."""
    return (options.table or "query").strip()


def mark_name(options: JdbcOptions) -> str:
    """The name that a position is recorded under: stable for a table or query and its watermark
    column.
    """
    what = options.table.strip() if options.table else f"query {_digest(options.query or '')}"
    return f"jdbc:{what}:{options.watermark}"


def read_name(options: JdbcOptions, mark: Watermark | None) -> str:
    """`source_file` of the rows that are read next: source and window; the same again if an attempt
    came to nothing.
    """
    name = source_name(options)
    if mark is None:
        return name
    again = f", read {mark.again + 1}" if mark.again else ""
    return f"{name}[{options.watermark} > {mark.position.text}{again}]"


def names_at(options: JdbcOptions, mark: Watermark) -> list[str]:
    """`source_file` of every read that has rows with just the position's watermark."""
    return [
        mark.since,
        *(
            read_name(options, Watermark(mark.position, mark.since, number))
            for number in range(mark.again)
        ),
    ]


def next_mark(options: JdbcOptions, mark: Watermark | None, upper: Position) -> Watermark:
    """The mark after a read up to `upper`."""
    if mark is not None and mark.position == upper:
        return Watermark(upper, mark.since, mark.again + 1)
    return Watermark(upper, read_name(options, mark), 0)


def relation(options: JdbcOptions) -> str:
    """The table or query as it stands in a FROM clause, under the alias `q`."""
    if options.table is not None:
        return f"{options.table.strip()} q"
    # A line of its own: the query may end in a comment.
    return f"({(options.query or '').rstrip().removesuffix(';')}\n) q"


def place(dialect: SqlDialect, name: str) -> str:
    """A column of the relation, as SQL names it."""
    return f"q.{dialect.quote(name)}"


def check_database_columns(
    options: JdbcOptions,
    columns: Sequence[DatabaseColumn],
    declared: Mapping[str, SqlType] | None,
    dialect: SqlDialect,
    held: Held,
    lands: Collection[str],
) -> None:
    """Holds the columns of a database against the contract.

    Args:
        declared: what `source.schema` declares; None: nothing.
        held: how the columns differ from those that are wanted.
        lands: names of those that land.

    Raises:
        InputError: every column that is missing, added or of another type; names that a landed
            table cannot have; a watermark or partition column that is not there.
    """
    known = {column.name: column for column in columns}
    numbers = options.timestamp_format is not None
    problems = _differences(known, held, declared, lands) if held.ends else []
    problems += _other_types(known, declared or {}, dialect, numbers)
    problems += [
        f"column {name!r} cannot be landed under this name; allowed: another, by a query with `as` "
        "(a landed table has its own "
        f"{listed(_TAKEN)}, and takes no spaces, commas, semicolons, brackets or = in names)"
        for name in known
        if name in lands and (name.lower() in _TAKEN or re.search(NOT_IN_NAMES, name))
    ]
    for option in ("watermark", "partition_column"):
        name = getattr(options, option)
        if name is not None and name not in known:
            problems.append(
                f"source.{option}: no such column: got {name}{did_you_mean(name, known)}; there "
                f"are {listed(known)}"
            )
    if problems:
        told = [f"{source_name(options)}: {problem}" for problem in problems]
        raise InputError(told, held.hint if held.ends else None)


def _differences(
    known: Mapping[str, DatabaseColumn],
    held: Held,
    declared: Mapping[str, SqlType] | None,
    lands: Collection[str],
) -> list[str]:
    """What the columns of a database and those that are wanted have not in common."""
    said_by = "which source.schema declares" if declared is not None else "which has landed"
    missing = [
        f"it has no column {name}{did_you_mean(name, known)}, {said_by}; there are {listed(known)}"
        for name in held.missing
    ]
    where = "in source.schema" if declared is not None else "among those that have landed"
    added = [
        f"column {name} ({known[name].called}) is not {where}; allowed: {listed(lands)}"
        for name in held.new
    ]
    return [*missing, *added]


def _other_types(
    known: Mapping[str, DatabaseColumn],
    declared: Mapping[str, SqlType],
    dialect: SqlDialect,
    numbers: bool,
) -> list[str]:
    """Columns that have another type than the schema declares.

    Args:
        numbers: whether times may be numbers.
    """
    return [
        f"column {name} is {known[name].called}, and source.schema declares {type_.name}; allowed: "
        f"{dialect.type_of(known[name])}"
        for name, type_ in declared.items()
        if name in known
        and not dialect.takes(known[name], type_)
        and not (numbers and dialect.counts(known[name], type_))
    ]


def transfers(
    columns: Sequence[DatabaseColumn],
    types: Mapping[str, str],
    dialect: SqlDialect,
    numbers: bool = False,
) -> list[Transfer]:
    """How each column crosses, in the order of `types`: the Spark SQL types that they are to have.

    Args:
        numbers: whether times may be numbers.
    """
    known = {column.name: column for column in columns}
    found: list[Transfer] = []
    for name, type_ in types.items():
        column, wanted = known[name], read_type(type_)
        if numbers and dialect.counts(column, wanted):
            crossing = dialect.carry_number(place(dialect, name), column)
            found.append(Transfer(name, *crossing, type_, since_1970=True))
        else:
            found.append(
                Transfer(name, *dialect.carry(place(dialect, name), column, wanted), type_)
            )
    return found


def rows_query(
    options: JdbcOptions, dialect: SqlDialect, columns: Sequence[Transfer], window: Sequence[str]
) -> str:
    """The relation that Spark reads: columns `c0` … and, where there is one, the partition column
    as `p`.
    """
    expressions = [
        f"{column.expression} as {dialect.quote(f'c{number}')}"
        for number, column in enumerate(columns)
    ]
    if options.partition_column is not None:
        expressions.append(f"{place(dialect, options.partition_column)} as {dialect.quote('p')}")
    return _subquery(f"select {', '.join(expressions)} from {relation(options)}", window)


def watermark_query(options: JdbcOptions, dialect: SqlDialect, column: DatabaseColumn) -> str:
    """The relation that tells the greatest watermark (`kind`, `upper`), and how many rows have none
    (`missing`).
    """
    own = place(dialect, column.name)
    kind, text = dialect.position(f"max({own})", column)
    names = [dialect.quote(name) for name in ("kind", "upper", "missing")]
    missing = f"count(*) - count({own})"
    return _subquery(
        f"select {kind} as {names[0]}, {text} as {names[1]}, {missing} as {names[2]} from "
        f"{relation(options)}",
        (),
    )


def bounds_query(
    options: JdbcOptions, dialect: SqlDialect, column: DatabaseColumn, window: Sequence[str]
) -> str:
    """The relation that tells the least and the greatest partition value inside a window."""
    own = place(dialect, column.name)
    parts: list[str] = []
    for function, kind_name, name in (("min", "low_kind", "low"), ("max", "high_kind", "high")):
        kind, text = dialect.position(f"{function}({own})", column)
        parts += [f"{kind} as {dialect.quote(kind_name)}", f"{text} as {dialect.quote(name)}"]
    return _subquery(f"select {', '.join(parts)} from {relation(options)}", window)


def window(
    options: JdbcOptions, dialect: SqlDialect, mark: Watermark | None, upper: Position | None
) -> list[str]:
    """Conditions of the rows that are read: from the last position on, itself included, up to
    `upper`.
    """
    if options.watermark is None or upper is None:
        return []
    own = place(dialect, options.watermark)
    lower = [f"{own} >= {dialect.literal(mark.position)}"] if mark else []
    return [*lower, f"{own} <= {dialect.literal(upper)}"]


def partitions(dialect: SqlDialect, low: Position, high: Position, count: int) -> list[str]:
    """Conditions on `p` that share all rows out, each to one task, whatever the bounds: rows
    without a value go to the first.

    The bounds only balance the tasks. An empty list: one task reads everything.
    """
    own = dialect.quote("p")
    cuts = [dialect.literal(Position(low.kind, text)) for text in _cuts(low, high, count)]
    if not cuts:
        return []
    first = f"{own} < {cuts[0]} or {own} is null"
    between = [f"{own} >= {one} and {own} < {other}" for one, other in pairwise(cuts)]
    return [first, *between, f"{own} >= {cuts[-1]}"]


def _cuts(low: Position, high: Position, count: int) -> list[str]:
    """Values that cut a range into equal parts, as text in ascending order; none where the bounds
    are no numbers or times.
    """
    start, end = _measure(low), _measure(high)
    if start is None or end is None or low.kind != high.kind or end <= start:
        return []
    found = sorted({start + (end - start) * number // count for number in range(1, count)})
    return [_written(low.kind, value) for value in found if value > start]


def _measure(position: Position) -> int | None:
    """A bound as a whole number: itself, days or microseconds; None where it has none, such as
    PostgreSQL's infinity.
    """
    try:
        if position.kind == "number":
            return int(Decimal(position.text))
        if position.kind == "date":
            return dt.date.fromisoformat(position.text).toordinal()
        if position.kind in ("timestamp", "timestamptz"):
            moment = dt.datetime.fromisoformat(position.text) - dt.datetime.min
            return moment // dt.timedelta(microseconds=1)
    except (ValueError, OverflowError, InvalidOperation):
        return None
    return None


def _written(kind: str, value: int) -> str:
    if kind == "number":
        return str(value)
    if kind == "date":
        return dt.date.fromordinal(value).isoformat()
    return (dt.datetime.min + dt.timedelta(microseconds=value)).isoformat(" ")


def position_text(value: Any) -> str:
    """A value as Spark hands it over, as the text of a position."""
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _subquery(select: str, conditions: Sequence[str]) -> str:
    where = f" where {' and '.join(conditions)}" if conditions else ""
    return f"({select}{where}) batchinfer_rows"


def _digest(query: str) -> str:
    """Of a query's words: spaces and line ends between them do not count."""
    return hashlib.sha256(" ".join(query.rstrip(" \t\r\n;").split()).encode()).hexdigest()[:16]
