"""What differs from one database to another: quoting, how values cross without loss, literals.

PostgreSQL and SQLite hand over as text whatever Spark's own reader would round, shift or cut off
(exact decimals, times, SQLite's values of any type in any column); workers turn it into the
declared types, and quarantine what does not fit. Every other database hands over what Spark makes
of it. Must not know windows, tasks or Spark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batchinfer.config.types import SqlType, read_type

_WHOLE = ("tinyint", "smallint", "int", "bigint")
_FLOATS = ("float", "double")
_TIMES = ("timestamp", "timestamp_ntz")
_SIMPLE_KINDS = {
    **dict.fromkeys((*_WHOLE, "decimal"), "number"),
    "date": "date",
    "timestamp_ntz": "timestamp",
    "string": "text",
}


@dataclass(frozen=True)
class DatabaseColumn:
    """A column of a table or query.

    Attributes:
        name: as the database has it.
        native: the database's name of its type, in lower case; `_int4` is PostgreSQL's array of
            `int4`.
        spark: the Spark SQL type that Spark's reader gives it.
    """

    name: str
    native: str
    spark: str

    @property
    def called(self) -> str:
        """Its type in messages."""
        return self.native or self.spark


@dataclass(frozen=True)
class Position:
    """One value of a column, as text that the database reads back as the very same value.

    Attributes:
        kind: number, text, date, timestamp, or timestamptz (in UTC).
    """

    kind: str
    text: str


class SqlDialect:
    """Any database: what Spark makes of its types, and the literals of JDBC itself."""

    # Settings of a connection; the names are the driver's own.
    properties: Mapping[str, str] = {}
    # Whether `position` gives text; else the value itself.
    positions_are_text = False
    # Lists the tables that a wrong name may have meant; None: not known how.
    tables: str | None = None

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def type_of(self, column: DatabaseColumn) -> str:
        """Spark SQL type of a column that no schema declares."""
        return column.spark

    def takes(self, column: DatabaseColumn, wanted: SqlType) -> bool:
        """Whether a schema may declare this type for the column: the same kind of value; a single
        one may still not fit.
        """
        return _fits(read_type(column.spark), wanted)

    def carry(self, place: str, column: DatabaseColumn, wanted: SqlType) -> tuple[str, str]:
        """(SQL expression, Spark SQL type) by which the column crosses.

        Args:
            place: the column as SQL names it.
        """
        return place, column.spark

    def counts(self, column: DatabaseColumn, wanted: SqlType) -> bool:
        """Whether a time that is wanted is a number, or text of one, in the database."""
        own = read_type(self.type_of(column)).name
        return wanted.name in ("date", *_TIMES) and own in (*_WHOLE, *_FLOATS, "decimal", "string")

    def carry_number(self, place: str, column: DatabaseColumn) -> tuple[str, str]:
        """`carry`, of a number that loses none of its digits."""
        return self.carry(place, column, read_type("string"))

    def position(self, value: str, column: DatabaseColumn) -> tuple[str, str]:
        """(SQL of the kind, SQL of the text) of a value that can be a watermark or a bound.

        Args:
            value: SQL of the value, such as `max(q."at")`.

        Raises:
            ValueError: values of this type have no order that can be written down; the message says
                which do.
        """
        kind = _SIMPLE_KINDS.get(read_type(column.spark).name)
        if kind is None:
            raise ValueError(_no_position(column))
        return f"'{kind}'", value

    def literal(self, position: Position) -> str:
        if position.kind == "number":
            return position.text
        escape = {"date": "d", "timestamp": "ts"}.get(position.kind)
        return (
            text_literal(position.text)
            if escape is None
            else f"{{{escape} {text_literal(position.text)}}}"
        )


class PostgreSQL(SqlDialect):
    """PostgreSQL: text casts are exact, and its literals take the type of what they are compared
    with.
    """

    positions_are_text = True
    properties: Mapping[str, str] = {
        # Seconds: a server that never answers ends the command.
        "connectTimeout": "10",
        "loginTimeout": "10",
        "tcpKeepAlive": "true",
        # Nothing that is read here may change the database, whatever stands in `query`.
        "readOnly": "true",
        "ApplicationName": "batchinfer",
    }
    tables: str | None = (
        "select table_schema || '.' || table_name as name from information_schema.tables"
    )
    _names: Mapping[str, str] = {
        "int2": "smallint", "int4": "int", "int8": "bigint", "oid": "bigint", "float4": "float",
        "float8": "double",
        "bool": "boolean", "bytea": "binary", "date": "date", "timestamp": "timestamp_ntz",
        "timestamptz": "timestamp",
        "smallserial": "smallint", "serial": "int", "bigserial": "bigint",
    }  # fmt: skip
    # The driver's own text of an address is what was written; a cast adds the width of its network.
    _plain = ("text", "varchar", "bpchar", "name", "inet")

    def type_of(self, column: DatabaseColumn) -> str:
        if column.native == "numeric":
            return column.spark
        if column.native.startswith("_"):
            return (
                f"array<{self._names.get(column.native[1:], 'string')}>"
                if column.native != "_bytea"
                else "array<string>"
            )
        return self._names.get(column.native, "string")

    def takes(self, column: DatabaseColumn, wanted: SqlType) -> bool:
        return _fits(read_type(self.type_of(column)), wanted)

    def carry(self, place: str, column: DatabaseColumn, wanted: SqlType) -> tuple[str, str]:
        own = self.type_of(column)
        if own == "binary" or column.native in self._plain:
            return place, own
        if (
            own == wanted.name
            and wanted.name not in ("date", *_TIMES)
            and column.native in self._names
        ):
            # oid is unsigned: the driver has no number of its own for it.
            return (place, own) if column.native != "oid" else (f"{place}::bigint", own)
        if wanted.name == "array":
            return f"array_to_json({place}::text[])::text", "string"
        if column.native == "timestamptz":
            # Without the zone of the session, which is the JVM's.
            return f"({place} at time zone 'UTC')::text", "string"
        return f"{place}::text", "string"

    def position(self, value: str, column: DatabaseColumn) -> tuple[str, str]:
        if column.native == "timestamptz":
            return "'timestamptz'", f"({value} at time zone 'UTC')::text"
        kind = _SIMPLE_KINDS.get(read_type(self.type_of(column)).name)
        if kind is None:
            raise ValueError(_no_position(column))
        return f"'{kind}'", f"{value}::text"

    def literal(self, position: Position) -> str:
        return text_literal(
            f"{position.text}+00" if position.kind == "timestamptz" else position.text
        )


class SQLite(SqlDialect):
    """SQLite: a column's type is advice, any value may stand in it; so everything crosses as bytes
    and is read by the schema.
    """

    positions_are_text = True
    # 1: read only (SQLITE_OPEN_READONLY).
    properties: Mapping[str, str] = {"open_mode": "1"}
    tables: str | None = "select name from sqlite_master where type in ('table', 'view')"

    def type_of(self, column: DatabaseColumn) -> str:
        """By SQLite's own rules of affinity; what is stored as a floating number has no exact
        decimals.
        """
        native = column.native
        if "int" in native:
            return "bigint"
        if any(part in native for part in ("char", "clob", "text")):
            return "string"
        if "blob" in native:
            return "binary"
        if "bool" in native:
            return "boolean"
        if native in ("datetime", "timestamp"):
            return "timestamp_ntz"
        if native == "date":
            return "date"
        # An expression has no declared type, and is told as numeric too: only text holds whatever
        # it gives.
        return (
            "double"
            if any(part in native for part in ("real", "floa", "doub", "dec"))
            else "string"
        )

    def takes(self, column: DatabaseColumn, wanted: SqlType) -> bool:
        return not wanted.parts

    def carry(self, place: str, column: DatabaseColumn, wanted: SqlType) -> tuple[str, str]:
        if wanted.name in _FLOATS:
            # SQLite's own text of a number has 15 digits; 17 give every double back.
            number = f"cast(printf('%!.17g', {place}) as blob)"
            return (
                f"case typeof({place}) when 'real' then {number} else cast({place} as blob) end",
                "binary",
            )
        if wanted.name == "decimal" or wanted.name in _WHOLE:
            return f"cast(cast({place} as text) as blob)", "binary"
        return f"cast({place} as blob)", "binary"

    def carry_number(self, place: str, column: DatabaseColumn) -> tuple[str, str]:
        return self.carry(place, column, read_type("double"))

    def position(self, value: str, column: DatabaseColumn) -> tuple[str, str]:
        kind = f"case typeof({value}) when 'integer' then 'number' else typeof({value}) end"
        return kind, f"cast({value} as text)"

    def literal(self, position: Position) -> str:
        return position.text if position.kind == "number" else text_literal(position.text)


_DIALECTS: Mapping[str, SqlDialect] = {"postgresql": PostgreSQL(), "sqlite": SQLite()}


def dialect_of(product: str) -> SqlDialect:
    """The dialect of a kind of database, as its JDBC URL names it."""
    return _DIALECTS.get(product, SqlDialect())


def text_literal(text: str) -> str:
    """A text literal of standard SQL."""
    return "'" + text.replace("'", "''") + "'"


def _fits(own: SqlType, wanted: SqlType) -> bool:
    if own == wanted or (wanted.name == "string" and own.name != "binary"):
        return True
    if own.name == "array" and wanted.name == "array":
        return _fits(own.parts[0][1], wanted.parts[0][1])
    numbers = (*_WHOLE, "decimal")
    return (
        (own.name in numbers and wanted.name in (*numbers, *_FLOATS))
        or (own.name in _FLOATS and wanted.name in _FLOATS)
        or (own.name in _TIMES and wanted.name in _TIMES)
    )


def _no_position(column: DatabaseColumn) -> str:
    return (
        f"column {column.name} is {column.called}; allowed: whole numbers, decimals, text, dates "
        "and times (of another database than PostgreSQL and SQLite: times without a zone)"
    )
