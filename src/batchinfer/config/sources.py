"""The shape of `source:` in a pipeline file: one model a kind of source.

Owns which fields and options each kind has, and their defaults. Knows neither files nor servers.
What a kind takes besides `path` may stand in `options:` or beside `kind:`; it is an option either
way.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from batchinfer.config.fields import (
    Encoding,
    Flag,
    Names,
    NotAllowed,
    OneCharacter,
    Place,
    Positive,
    Quote,
    Strict,
    Texts,
    TimeZone,
    VariableName,
    Whole,
)
from batchinfer.config.http_options import HttpOptions
from batchinfer.config.sql import is_table_name, query_fault

Compression = Literal["gzip", "bzip2", "zstd", "none"]
PLACE_KEY = ("source_file", "source_line")


class CsvOptions(Strict):
    """Options of `kind: csv`. Defaults are those of the contract."""

    header: Flag = True
    delimiter: OneCharacter = ","
    quote: Quote = '"'
    escape: OneCharacter | None = None
    multi_line: Flag = False
    null_values: Texts = ("",)
    trim: Flag = True
    encoding: Encoding = "utf-8"
    decimal: OneCharacter = "."
    timestamp_format: str | None = None
    compression: Compression | None = None


class JsonOptions(Strict):
    """Options of `kind: json`: one object a line, or arrays; `explode` is a path to a list that
    becomes a row an item.
    """

    array: Flag = False
    explode: str | None = None
    encoding: Encoding = "utf-8"
    timestamp_format: str | None = None
    compression: Compression | None = None


class LogTimestamp(Strict):
    """How the timestamp of a log line is read: the named group, its strptime format, its zone, its
    missing year.
    """

    column: str = "ts"
    format: str | None = None
    timezone: TimeZone = "UTC"
    year: Whole | None = None


class LogOptions(Strict):
    """Options of `kind: text_log`: a known format, or a pattern with named groups."""

    format: Literal["combined", "common", "syslog"] | None = None
    pattern: str | None = None
    timestamp: LogTimestamp | None = None
    encoding: Encoding = "utf-8"
    compression: Compression | None = None

    @model_validator(mode="after")
    def _format_or_pattern(self) -> LogOptions:
        if (self.format is None) == (self.pattern is None):
            raise NotAllowed(
                "either format (combined, common, syslog) or pattern (a regular expression with "
                "named groups), not both"
            )
        return self


class ParquetOptions(Strict):
    """Options of `kind: parquet`: none; a Parquet file says itself how it is written."""


class DeltaOptions(Strict):
    """Options of `kind: delta`: which version is read, and whether a slice is the whole table or
    what changed in it.

    `changes_since: auto` says that a slice of a day holds only what was added since the slice
    before.
    """

    version: Annotated[Whole, Field(ge=0)] | None = None
    as_of: str | None = None
    changes_since: Literal["auto"] | None = None

    @field_validator("as_of", mode="before")
    @classmethod
    def _date_of_yaml(cls, value: Any) -> Any:
        """YAML reads an unquoted date as one."""
        return value.isoformat() if isinstance(value, datetime.date) else value

    @field_validator("as_of")
    @classmethod
    def _a_time(cls, value: str | None) -> str | None:
        try:
            # A date alone is its first moment, as Spark's `TIMESTAMP AS OF` has it.
            _ = None if value is None else datetime.datetime.fromisoformat(value)
        except ValueError as error:
            raise NotAllowed(
                "a date or a time in ISO 8601, UTC unless it has a zone, such as "
                "2026-11-20T06:00:00"
            ) from error
        return value

    @model_validator(mode="after")
    def _one_version(self) -> DeltaOptions:
        if self.version is not None and self.as_of is not None:
            raise NotAllowed("either version or as_of, not both")
        return self


def _table_name(value: str) -> str:
    if not is_table_name(value):
        raise NotAllowed(
            'a table as SQL names it, such as orders, public.orders or "Mixed Case"; anything else '
            "is a query"
        )
    return value


def _query(value: str) -> str:
    fault = query_fault(value)
    if fault is not None:
        raise NotAllowed(fault)
    return value


TableName = Annotated[str, AfterValidator(_table_name)]
Query = Annotated[str, AfterValidator(_query)]


class JdbcOptions(Strict):
    """Options of `kind: jdbc`; addresses and credentials only by the names of environment
    variables.

    Attributes:
        table: as SQL names it, such as `public.orders` or `"Mixed Case"`.
        query: one statement that reads.
        partition_column: a number, date or time whose ranges are read at the same time.
        watermark: a column that grows: a second extraction reads only what is behind the greatest
            one.
        fetch_size: rows that the driver asks for at once.
    """

    url_env: VariableName
    table: TableName | None = None
    query: Query | None = None
    partition_column: str | None = None
    watermark: str | None = None
    fetch_size: Positive = 10_000
    user_env: VariableName | None = None
    password_env: VariableName | None = None

    @model_validator(mode="after")
    def _table_or_query(self) -> JdbcOptions:
        if (self.table is None) == (self.query is None):
            raise NotAllowed("either table or query, not both")
        return self


class ImageOptions(Strict):
    """Options of `kind: images`: none; pictures land as they are and are decoded where they are
    scored.
    """


class TextOptions(Strict):
    """Options of `kind: texts`."""

    encoding: Encoding = "utf-8"


class SliceColumn(Strict):
    """A slice made of a column, cut to a unit of time (UTC) where one is given."""

    column: str
    unit: Literal["hour", "day", "month"] | None = None


def _slice_rule(value: Any) -> Any:
    if not isinstance(value, (str, dict, SliceColumn)):
        raise NotAllowed("ingest_date, a column, or {column: a column, unit: hour, day or month}")
    return {"column": value} if isinstance(value, str) and value != "ingest_date" else value


def _slice_tag(value: Any) -> str:
    return "<ingest_date>" if isinstance(value, str) else "<column>"


# Tags in angle brackets: in the place of an error they cannot be taken for a key of the file.
SliceRule = Annotated[
    Annotated[SliceColumn, Tag("<column>")]
    | Annotated[Literal["ingest_date"], Tag("<ingest_date>")],
    Discriminator(_slice_tag),
    BeforeValidator(_slice_rule),
]


class JsonColumn(Strict):
    """A column of JSON records: its type, and its path where that is not the column's name."""

    type: str
    path: str | None = None


def _json_column(value: Any) -> Any:
    if not isinstance(value, (str, dict, JsonColumn)):
        raise NotAllowed("a type such as int, or {type: a type, path: a path such as a.b[0].c}")
    return {"type": value} if isinstance(value, str) else value


JsonSchema = Annotated[
    dict[str, Annotated[JsonColumn, BeforeValidator(_json_column)]], Field(min_length=1)
]
Schema = Annotated[dict[str, str], Field(min_length=1)]


class _Source(Strict):
    key: Names
    slice: SliceRule = "ingest_date"
    unique: Literal["checked", "assumed"] = "checked"
    on_changed: Literal["fail", "replace", "append"] = "fail"

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, value: Any) -> Any:
        """Options that stand beside `kind:` are put where they belong."""
        options: Any = (
            cls.model_fields["options"].annotation if "options" in cls.model_fields else None
        )
        if (
            not isinstance(value, dict)
            or options is None
            or not isinstance(value.get("options", {}), dict)
        ):
            return value
        beside = {
            name for name in value if name in options.model_fields and name not in cls.model_fields
        }
        given = value.get("options", {})
        twice = sorted(beside & given.keys())
        if twice:
            raise NotAllowed(f"{', '.join(twice)} once: in options, or beside kind")
        rest = {name: item for name, item in value.items() if name not in beside}
        return (
            {**rest, "options": {**given, **{name: value[name] for name in beside}}}
            if beside
            else value
        )


class FileSource(_Source):
    """What all sources have that are files: where they are, and folders that they may not leave."""

    path: Names
    roots: Names | None = None
    key: Names = PLACE_KEY


class CsvSource(FileSource):
    """Delimited text."""

    kind: Literal["csv"]
    options: CsvOptions = CsvOptions()
    schema_: Schema = Field(alias="schema")


class JsonSource(FileSource):
    """JSON: one object a line, or arrays of objects."""

    kind: Literal["json"]
    options: JsonOptions = JsonOptions()
    schema_: JsonSchema = Field(alias="schema")


class LogSource(FileSource):
    """Lines of a log; the schema is that of the format, or the pattern's groups (as strings, unless
    `schema` types them).
    """

    kind: Literal["text_log"]
    options: LogOptions
    schema_: dict[str, str] | None = Field(None, alias="schema")


def _place_beside_kind(value: Any) -> Any:
    """`path` and `table` may stand in `options`, too."""
    options = value.get("options") if isinstance(value, dict) else None
    if not isinstance(options, dict):
        return value
    inside = {
        name: options[name] for name in ("path", "table") if name in options and name not in value
    }
    return {
        **value,
        **inside,
        "options": {name: item for name, item in options.items() if name not in inside},
    }


class ParquetSource(FileSource):
    """Parquet files, by their path or by the name of a table: a folder below the lake, or an
    absolute folder.

    Without a schema the columns are those that have landed, at first those of the first file.
    """

    kind: Literal["parquet"]
    path: Texts = ()
    table: Place | None = None
    options: ParquetOptions = ParquetOptions()
    schema_: Schema | None = Field(None, alias="schema")

    @model_validator(mode="before")
    @classmethod
    def _gather_place(cls, value: Any) -> Any:
        return _place_beside_kind(value)

    @model_validator(mode="after")
    def _path_or_table(self) -> ParquetSource:
        if bool(self.path) == (self.table is not None):
            raise NotAllowed("either path or table, not both")
        return self


class ImageSource(FileSource):
    """Pictures: a row a file."""

    kind: Literal["images"]
    options: ImageOptions = ImageOptions()
    key: Names = ("path",)


class TextSource(FileSource):
    """Texts: a row a file."""

    kind: Literal["texts"]
    options: TextOptions = TextOptions()
    key: Names = ("path",)


class DeltaSource(_Source):
    """A Delta table, by its folder or by its name; it is read in place. Without a schema, the
    table's own.
    """

    kind: Literal["delta"]
    path: Place | None = None
    table: Place | None = None
    roots: Names | None = None
    options: DeltaOptions = DeltaOptions()
    schema_: Schema | None = Field(None, alias="schema")

    @model_validator(mode="before")
    @classmethod
    def _gather_place(cls, value: Any) -> Any:
        return _place_beside_kind(value)

    @model_validator(mode="after")
    def _path_or_table(self) -> DeltaSource:
        if (self.path is None) == (self.table is None):
            raise NotAllowed("either path or table, not both")
        return self


class JdbcSource(_Source):
    """A table or a query of a database."""

    kind: Literal["jdbc"]
    options: JdbcOptions
    schema_: Schema | None = Field(None, alias="schema")


class HttpSource(_Source):
    """An HTTP API that answers with JSON."""

    kind: Literal["http"]
    options: HttpOptions
    key: Names = PLACE_KEY
    schema_: JsonSchema = Field(alias="schema")


# Sources that are files: listed, split and read by workers.
Files = CsvSource | JsonSource | LogSource | ParquetSource | ImageSource | TextSource


def _kind_tag(value: Any) -> str:
    return f"<{value.get('kind') if isinstance(value, dict) else getattr(value, 'kind', None)}>"


Source = Annotated[
    Annotated[CsvSource, Tag("<csv>")]
    | Annotated[JsonSource, Tag("<json>")]
    | Annotated[LogSource, Tag("<text_log>")]
    | Annotated[ParquetSource, Tag("<parquet>")]
    | Annotated[DeltaSource, Tag("<delta>")]
    | Annotated[JdbcSource, Tag("<jdbc>")]
    | Annotated[HttpSource, Tag("<http>")]
    | Annotated[ImageSource, Tag("<images>")]
    | Annotated[TextSource, Tag("<texts>")],
    Discriminator(_kind_tag),
]
