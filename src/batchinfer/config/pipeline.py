"""The shape of a pipeline file, as pydantic models: names, types, defaults.

Owns what may be written in `conf/pipelines/*.yaml`. Knows neither files nor places (see `loader`), nor what a feature
step does: a step is a name and its parameters here, and the transforms room says which names there are.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from batchinfer.config.fields import (
    MODEL_URI,
    Encoding,
    Flag,
    Identifier,
    ModelChoice,
    ModelUri,
    Names,
    NotAllowed,
    Number,
    OneCharacter,
    Positive,
    Quote,
    RowCount,
    Size,
    Strict,
    Texts,
    TimeZone,
    VariableName,
    Whole,
)

__all__ = ["MODEL_URI", "Pipeline", "Source", "Strict"]

Compression = Literal["gzip", "bzip2", "zstd", "none"]


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


class LogTimestamp(Strict):
    """How the timestamp of a log line is read: the named group, its strptime format, its zone, its missing year."""

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
                "either format (combined, common, syslog) or pattern (a regular expression with named groups), not both"
            )
        return self


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
    Annotated[SliceColumn, Tag("<column>")] | Annotated[Literal["ingest_date"], Tag("<ingest_date>")],
    Discriminator(_slice_tag),
    BeforeValidator(_slice_rule),
]


class _Source(Strict):
    path: Names
    key: Names = ("source_file", "source_line")
    slice: SliceRule = "ingest_date"
    unique: Literal["checked", "assumed"] = "checked"
    roots: Names | None = None
    on_changed: Literal["fail", "replace", "append"] = "fail"


class CsvSource(_Source):
    """Delimited text."""

    kind: Literal["csv"]
    options: CsvOptions = CsvOptions()
    schema_: dict[str, str] = Field(alias="schema", min_length=1)


class LogSource(_Source):
    """Lines of a log; the schema is that of the format, or the pattern's groups (as strings, unless `schema` types them)."""

    kind: Literal["text_log"]
    options: LogOptions
    schema_: dict[str, str] | None = Field(None, alias="schema")


def _kind_tag(value: Any) -> str:
    return f"<{value.get('kind') if isinstance(value, dict) else getattr(value, 'kind', None)}>"


Source = Annotated[
    Annotated[CsvSource, Tag("<csv>")] | Annotated[LogSource, Tag("<text_log>")],
    Discriminator(_kind_tag),
]


class TrainSource(Strict):
    """What labelled data has of its own; the rest is as in `source`."""

    path: Names


class Target(Strict):
    """The column to learn. Neither `positive` nor `positive_pattern` means regression, unless the column is a string."""

    column: str
    positive: Names | None = None
    positive_pattern: str | None = None


class Train(Strict):
    """How `train` makes the model."""

    source: TrainSource | None = None
    target: Target
    model: ModelChoice = "mlp_classifier"
    params: dict[str, Any] = Field(default_factory=dict)


class Batch(Strict):
    """Limits of one batch: rows, bytes of its columns, seconds until it counts as hanging."""

    rows: RowCount = "auto"
    max_bytes: Size = 64 * 2**20
    timeout_s: Annotated[Number, Field(gt=0)] = 120.0


class Variant(Strict):
    """One more model beside the champion: served to a share of the keys, or a shadow that is never served."""

    name: str
    uri: ModelUri
    share: Annotated[Number, Field(gt=0, lt=1)] | None = None
    shadow: Flag = False


class Model(Strict):
    """Which model scores, and how."""

    uri: ModelUri
    device: Literal["auto", "cpu", "cuda"] = "auto"
    road: Literal["auto", "direct", "arrow", "pandas"] = "auto"
    batch: Batch = Batch()
    trust: Literal["none", "pickle"] = "none"
    variants: tuple[Variant, ...] = ()


class Checks(Strict):
    """Expectation files for the inputs and the predictions, and how many rows may go to quarantine."""

    input: str | None = None
    predictions: str | None = None
    max_quarantine_rate: Annotated[Number, Field(ge=0, le=1)] = 0.01


class Sink(Strict):
    """Where the predictions go: a table under the lake, or a full URI."""

    table: str


class RedisTarget(Strict):
    """An online store that `load` copies a published slice into."""

    kind: Literal["redis"]
    url_env: VariableName
    ttl_s: Positive | None = None


class Pipeline(Strict):
    """One pipeline file, whole. `prepare` and `postprocess` have their place; this version refuses steps in them."""

    name: Identifier
    description: str = ""
    source: Source
    features: tuple[dict[str, Any], ...] = ()
    train: Train | None = None
    model: Model
    checks: Checks = Checks()
    sink: Sink
    prepare: tuple[dict[str, Any], ...] = ()
    postprocess: tuple[dict[str, Any], ...] = ()
    load: tuple[RedisTarget, ...] = ()
    schedule: str | None = None
