"""What `source:` says of columns: what a slice is, names and types of columns, and what becomes of
those that are missing or new.

Owns their shapes and the short ways of writing them. Knows no kind of source.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from batchinfer.config.fields import Flag, Missing, NotAllowed, Strict


class SliceColumn(Strict):
    """A slice made of a column, cut to a unit of time (UTC) where one is given.

    Attributes:
        column: whose values the slices are; a column of the source.
        unit: of time that a timestamp or a date is cut to.
    """

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
    BeforeValidator(_slice_rule, json_schema_input_type=str | SliceColumn),
]


class JsonColumn(Strict):
    """A column of JSON records: its type, and its path where that is not the column's name.

    Attributes:
        type: a Spark SQL type such as `long` or `array<string>`.
        path: where the value stands in the record; without it, under the column's name.
    """

    type: str
    path: str | None = None


def _json_column(value: Any) -> Any:
    if not isinstance(value, (str, dict, JsonColumn)):
        raise NotAllowed("a type such as int, or {type: a type, path: a path such as a.b[0].c}")
    return {"type": value} if isinstance(value, str) else value


JsonSchema = Annotated[
    dict[
        str,
        Annotated[
            JsonColumn, BeforeValidator(_json_column, json_schema_input_type=str | JsonColumn)
        ],
    ],
    Field(min_length=1),
]
Schema = Annotated[dict[str, str], Field(min_length=1)]


class ColumnRules(Strict):
    """What becomes of columns that a source lacks, and of those that nobody asked for.

    Attributes:
        missing: a column that is missing ends the run (`fail`), is null with a warning (`warn`) or
            without one (`null`). `auto`: it ends the run where something that looks like it stands
            in its place, and is null with a warning elsewhere.
        new: a column that is not in the schema ends the run (`fail`), is left out (`ignore`) or
            lands, too (`add`). `auto`: `fail`; but keys of JSON are left out, with a warning.
        rescue: what is not in the schema is kept, as one JSON text a row, in a column of its own.
    """

    missing: Missing = "auto"
    new: Literal["auto", "fail", "ignore", "add"] = "auto"
    rescue: Flag = False


class FileColumn(Strict):
    """A column of a file: its type, and its name in the file where that is another one.

    Attributes:
        type: a Spark SQL type such as `long` or `decimal(10,2)`.
        column: its name in the file; without it, the same.
    """

    type: str
    column: str | None = None


def _file_column(value: Any) -> Any:
    if not isinstance(value, (str, dict, FileColumn)):
        raise NotAllowed("a type such as int, or {type: a type, column: a name in the file}")
    return {"type": value} if isinstance(value, str) else value


FileSchema = Annotated[
    dict[
        str,
        Annotated[
            FileColumn, BeforeValidator(_file_column, json_schema_input_type=str | FileColumn)
        ],
    ],
    Field(min_length=1),
]
