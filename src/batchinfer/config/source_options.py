"""The options of each kind of source in a pipeline file, one model a kind; those of `http` are in
`http_options`.

Owns which options there are, their defaults, and which of them exclude each other. Knows neither
files nor servers.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from batchinfer.config.fields import (
    Encoding,
    Flag,
    NotAllowed,
    OneCharacter,
    Positive,
    Quote,
    Strict,
    Texts,
    TimeZone,
    VariableName,
    Whole,
)
from batchinfer.config.log_columns import (
    ACCESS_FORMATS,
    EXTRA_FORMATS,
    LOG_FORMATS,
    PLAIN_FORMATS,
    format_columns,
)
from batchinfer.config.sql import is_table_name, query_fault
from batchinfer.config.time_formats import EpochFormat, TimeFormat

Compression = Literal["gzip", "bzip2", "zstd", "none"]


class CsvOptions(Strict):
    """Options of `kind: csv`. Defaults are those of the contract.

    Attributes:
        header: the first line names the columns.
        delimiter: between the fields of a line.
        quote: around fields that hold a delimiter; empty: there are no quotes.
        escape: before a quote inside of a quoted field; without it the quote is doubled.
        multi_line: quoted fields may hold line ends.
        null_values: texts that mean null; they replace the default.
        trim: white space around fields is left out.
        encoding: of the files.
        decimal: sign before the decimals of numbers.
        timestamp_format: of times and dates; without it ISO 8601.
        compression: of the files; without it, as their names say.
    """

    header: Flag = True
    delimiter: OneCharacter = ","
    quote: Quote = '"'
    escape: OneCharacter | None = None
    multi_line: Flag = False
    null_values: Texts = ("",)
    trim: Flag = True
    encoding: Encoding = "utf-8"
    decimal: OneCharacter = "."
    timestamp_format: TimeFormat | None = None
    compression: Compression | None = None


class JsonOptions(Strict):
    """Options of `kind: json`: one object a line, or arrays; `explode` is a path to a list that
    becomes a row an item.

    Attributes:
        array: each file is one array of objects.
        explode: path to a list; each of its items becomes a row.
        encoding: of the files.
        timestamp_format: of times and dates; without it ISO 8601.
        compression: of the files; without it, as their names say.
    """

    array: Flag = False
    explode: str | None = None
    encoding: Encoding = "utf-8"
    timestamp_format: TimeFormat | None = None
    compression: Compression | None = None


class LogTimestamp(Strict):
    """How the timestamp of a log line is read: the named group, its format, its zone, its missing
    year.

    Attributes:
        column: the named group that holds the time.
        format: of the time; without it ISO 8601.
        timezone: of times that name none.
        year: of times without a year; without it, that of the file's last change.
    """

    column: str = "ts"
    format: TimeFormat | None = None
    timezone: TimeZone = "UTC"
    year: Whole | None = None


ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class LogOptions(Strict):
    """Options of `kind: text_log`: a known format, or a pattern with named groups.

    Attributes:
        format: a known format, by the name of its server; either this or `pattern`.
        pattern: a regular expression with named groups; either this or `format`.
        timestamp: which group of a pattern is the time, and how it is written.
        encoding: of the files.
        compression: of the files; without it, as their names say.
        forwarded: a list of addresses (`X-Forwarded-For`) stands where the client's address does.
        extra: columns behind the format's own, in their order, and their types.
        unescape: undo what the server escapes; False: values land as they are written.
        captures: whose headers HAProxy captures, where it is those of one side: `response` where
            they are not the request's.
    """

    format: (
        Literal[
            "combined",
            "common",
            "syslog",
            "apache",
            "apache_vhost",
            "nginx",
            "lighttpd",
            "varnish",
            "haproxy",
            "squid",
            "caddy",
            "journald",
        ]
        | None
    ) = None
    pattern: str | None = None
    forwarded: Flag = False
    extra: Annotated[dict[ColumnName, str], Field(min_length=1)] | None = None
    unescape: Flag = True
    captures: Literal["request", "response"] = "request"
    timestamp: LogTimestamp | None = None
    encoding: Encoding = "utf-8"
    compression: Compression | None = None

    @model_validator(mode="after")
    def _format_or_pattern(self) -> LogOptions:
        if (self.format is None) == (self.pattern is None):
            raise NotAllowed(
                f"either format ({', '.join(LOG_FORMATS)}) or pattern (a regular expression with "
                "named groups), not both"
            )
        if self.pattern is not None and not self.unescape:
            raise NotAllowed("unescape: false with a format; what a pattern finds lands as written")
        if self.forwarded and self.format not in ACCESS_FORMATS:
            raise NotAllowed(f"forwarded with a format of {', '.join(ACCESS_FORMATS)}")
        if self.captures == "response" and self.format != "haproxy":
            raise NotAllowed("captures: response with format: haproxy")
        if self.extra and self.format not in EXTRA_FORMATS:
            raise NotAllowed(f"extra with a format of {', '.join(EXTRA_FORMATS)}")
        if not self.unescape and self.format in PLAIN_FORMATS:
            raise NotAllowed(f"unescape: false with another format than {', '.join(PLAIN_FORMATS)}")
        if self.format is not None and self.extra:
            known = format_columns(self.format, self.forwarded, {})
            known = known if self.format != "nginx" else known.keys() - {"x_forwarded_for"}
            twice = sorted({name.lower() for name in self.extra} & set(known))
            if twice:
                raise NotAllowed(
                    f"names in extra that are no column of {self.format}, such as {twice[0]}"
                )
        return self


class ParquetOptions(Strict):
    """Options of `kind: parquet`: none; a Parquet file says itself how it is written."""


class DeltaOptions(Strict):
    """Options of `kind: delta`: which version is read, and whether a slice is the whole table or
    what changed in it.

    `changes_since: auto` says that a slice of a day holds only what was added since the slice
    before.

    Attributes:
        version: number of the version that is read; without it, the latest.
        as_of: a date or a time; the version of then is read.
        changes_since: `auto`: a slice of a day holds what was added since the slice before.
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
        url_env: the variable that holds the database's address.
        user_env: the variable that holds the user.
        password_env: the variable that holds the password.
        table: as SQL names it, such as `public.orders` or `"Mixed Case"`.
        query: one statement that reads.
        partition_column: a number, date or time whose ranges are read at the same time.
        watermark: a column that grows: a second extraction reads only what is behind the greatest
            one.
        fetch_size: rows that the driver asks for at once.
        timestamp_format: of columns of numbers or text that the schema declares as times.
    """

    url_env: VariableName
    table: TableName | None = None
    query: Query | None = None
    partition_column: str | None = None
    watermark: str | None = None
    fetch_size: Positive = 10_000
    timestamp_format: EpochFormat | None = None
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
    """Options of `kind: texts`.

    Attributes:
        encoding: of the files.
    """

    encoding: Encoding = "utf-8"
