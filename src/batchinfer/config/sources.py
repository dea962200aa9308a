"""The shape of `source:` in a pipeline file: one model a kind of source.

Owns which fields each kind has, and their defaults; options are in `source_options`. Knows neither
files nor servers.
What a kind takes besides `path` may stand in `options:` or beside `kind:`; it is an option either
way.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, GetJsonSchemaHandler, Tag, model_validator
from pydantic_core.core_schema import CoreSchema

from batchinfer.config.fields import Names, NotAllowed, Place, Strict, Texts
from batchinfer.config.http_options import HttpOptions
from batchinfer.config.shapes.described import options_beside
from batchinfer.config.shapes.source_columns import (
    ColumnRules,
    FileSchema,
    JsonSchema,
    Schema,
    SliceRule,
)
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


class _Source(Strict):
    """What all of them have.

    Attributes:
        key: columns that tell one row from every other.
        slice: what a row belongs to, usually a day: `ingest_date` (the value of `--slice`), a
            column, or a column and a unit of time.
        columns: what becomes of columns that are missing or new.
        unique: whether keys that repeat are looked for; `assumed`: they are not.
        on_changed: what becomes of records that have landed and that the source changed: the run
            ends, they are landed anew, or what was appended lands.
    """

    key: Names
    slice: SliceRule = "ingest_date"
    columns: ColumnRules = ColumnRules()
    unique: Literal["checked", "assumed"] = "checked"
    on_changed: Literal["fail", "replace", "append"] = "fail"

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> dict[str, Any]:
        reference = super().__get_pydantic_json_schema__(core_schema, handler)
        schema = handler.resolve_ref_schema(reference)
        options = handler.resolve_ref_schema(schema["properties"]["options"])
        options_beside(schema, options)
        if "table" in cls.model_fields:
            places = {name: schema["properties"][name] for name in ("path", "table")}
            options["properties"] = {**options.get("properties", {}), **places}
        return reference

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
    """What all sources have that are files: where they are, and folders that they may not leave.

    Attributes:
        path: files, folders or globs; local, or on s3a://, gs://, abfss:// or hdfs://.
        roots: folders that the files may not lie outside of, links followed.
        key: columns that tell one row from every other; by default the file and the line, of
            pictures and texts the path.
    """

    path: Names
    roots: Names | None = None
    key: Names = PLACE_KEY


class CsvSource(FileSource):
    """Delimited text.

    Attributes:
        kind: delimited text.
        options: how the text is written.
        schema: the columns and their types.
    """

    kind: Literal["csv"]
    options: CsvOptions = CsvOptions()
    schema_: FileSchema = Field(alias="schema")


class JsonSource(FileSource):
    """JSON: one object a line, or arrays of objects.

    Attributes:
        kind: JSON, one object a line or arrays.
        options: how the text is written.
        schema: the columns, their types and their paths.
    """

    kind: Literal["json"]
    options: JsonOptions = JsonOptions()
    schema_: JsonSchema = Field(alias="schema")

    @property
    def numbers_records(self) -> bool:
        return not (self.options.array or self.options.explode)


class LogSource(FileSource):
    """Lines of a log; the schema is that of the format, or the pattern's groups (as strings, unless
    `schema` types them).

    Attributes:
        kind: lines of a log.
        options: the format of the lines.
        schema: other types for columns of the format or groups of the pattern.
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

    Attributes:
        kind: Parquet files.
        path: files, folders or globs; either this or `table`.
        table: a folder below the lake, or an absolute one; either this or `path`.
        options: none.
        schema: the columns and their types; without it, those of the first file.
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
    """Pictures: a row a file.

    Attributes:
        kind: pictures, a row a file.
        options: none.
    """

    kind: Literal["images"]
    options: ImageOptions = ImageOptions()
    key: Names = ("path",)


class TextSource(FileSource):
    """Texts: a row a file.

    Attributes:
        kind: texts, a row a file.
        options: how the texts are written.
    """

    kind: Literal["texts"]
    options: TextOptions = TextOptions()
    key: Names = ("path",)


class DeltaSource(_Source):
    """A Delta table, by its folder or by its name; it is read in place. Without a schema, the
    table's own.

    Attributes:
        kind: a Delta table, read in place.
        path: the folder of the table; either this or `table`.
        table: the name of a table, or a folder below the lake; either this or `path`.
        roots: folders that the table may not lie outside of, links followed.
        options: which version is read.
        schema: the columns and their types; without it, the table's own.
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
    """A table or a query of a database.

    Attributes:
        kind: a table or a query of a database.
        options: the database, and what of it is read.
        schema: the columns and their types; without it, the database's.
    """

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
    """An HTTP API that answers with JSON.

    Attributes:
        kind: an API that answers with JSON.
        options: the address, pages and patience.
        key: columns that tell one row from every other; by default the URL and the number of the
            record.
        schema: the columns, their types and their paths.
    """

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
