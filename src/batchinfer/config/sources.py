"""The shape of `source:` in a pipeline file: one model a kind of source.

Owns which fields each kind has, and their defaults; options are in `source_options`. Knows neither
files nor servers.
What a kind takes besides `path` may stand in `options:` or beside `kind:`; it is an option either
way.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from batchinfer.config.fields import Flag, Missing, Names, NotAllowed, Place, Strict, Texts
from batchinfer.config.http_options import HttpOptions
from batchinfer.config.source_options import (
    CsvOptions,
    DeltaOptions,
    ImageOptions,
    JdbcOptions,
    JsonOptions,
    LogOptions,
    ParquetOptions,
    TextOptions,
)

PLACE_KEY = ("source_file", "source_line")


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
    """A column of a file: its type, and its name in the file where that is another one."""

    type: str
    column: str | None = None


def _file_column(value: Any) -> Any:
    if not isinstance(value, (str, dict, FileColumn)):
        raise NotAllowed("a type such as int, or {type: a type, column: a name in the file}")
    return {"type": value} if isinstance(value, str) else value


FileSchema = Annotated[
    dict[str, Annotated[FileColumn, BeforeValidator(_file_column)]], Field(min_length=1)
]


class _Source(Strict):
    key: Names
    slice: SliceRule = "ingest_date"
    columns: ColumnRules = ColumnRules()
    unique: Literal["checked", "assumed"] = "checked"
    on_changed: Literal["fail", "replace", "append"] = "fail"

    @property
    def is_in_place(self) -> bool:
        """Whether the rows are read where they are: nothing is landed."""
        return False

    @property
    def has_position(self) -> bool:
        """Whether the landed table records how far the source has been read."""
        return False

    @property
    def numbers_records(self) -> bool:
        """Whether no two rows have the same `source_file` and `source_line`."""
        return True

    @property
    def never_anew(self) -> str | None:
        """Why no slice of it can be landed anew; None where one can."""
        if self.is_in_place:
            return "its Delta table is read in place, so none has landed"
        if self.has_position:
            return (
                "the source is read on from a position (a watermark, or pages), and nothing tells "
                "what of it was in a slice"
            )
        return None

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
    schema_: FileSchema = Field(alias="schema")


class JsonSource(FileSource):
    """JSON: one object a line, or arrays of objects."""

    kind: Literal["json"]
    options: JsonOptions = JsonOptions()
    schema_: JsonSchema = Field(alias="schema")

    @property
    def numbers_records(self) -> bool:
        return not (self.options.array or self.options.explode)


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
    schema_: FileSchema | None = Field(None, alias="schema")

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

    @property
    def is_in_place(self) -> bool:
        return True

    @property
    def numbers_records(self) -> bool:
        return False


class JdbcSource(_Source):
    """A table or a query of a database."""

    kind: Literal["jdbc"]
    options: JdbcOptions
    schema_: Schema | None = Field(None, alias="schema")

    @property
    def has_position(self) -> bool:
        return self.options.watermark is not None

    @property
    def numbers_records(self) -> bool:
        return False


class HttpSource(_Source):
    """An HTTP API that answers with JSON."""

    kind: Literal["http"]
    options: HttpOptions
    key: Names = PLACE_KEY
    schema_: JsonSchema = Field(alias="schema")

    @property
    def has_position(self) -> bool:
        return self.options.pagination is not None


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
