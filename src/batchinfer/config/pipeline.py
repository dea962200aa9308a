"""The shape of a pipeline file, as pydantic models: names, types, defaults.

Owns what may be written in `conf/pipelines/*.yaml`. Knows neither files nor places (see `loader`), nor what a feature
step does: a step is a name and its parameters here, and the transforms room says which names there are.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from batchinfer.config.units import parse_bytes


class Strict(BaseModel):
    """Base of all configuration models: unknown fields are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]


class CsvOptions(Strict):
    """Options of `kind: csv`. Defaults are those of the contract."""

    header: bool = True
    delimiter: str = Field(",", min_length=1, max_length=1)
    quote: str = Field('"', max_length=1)
    escape: str | None = Field(None, min_length=1, max_length=1)
    multi_line: bool = False
    null_values: tuple[str, ...] = ("",)
    trim: bool = True
    encoding: str = "utf-8"
    decimal: str = Field(".", min_length=1, max_length=1)
    timestamp_format: str | None = None
    compression: Literal["gzip", "bzip2", "zstd", "none"] | None = None


class LogTimestamp(Strict):
    """How the timestamp of a log line is read: the named group, its strptime format, its zone, its missing year."""

    column: str = "ts"
    format: str | None = None
    timezone: str = "UTC"
    year: int | None = None


class LogOptions(Strict):
    """Options of `kind: text_log`: a known format, or a pattern with named groups."""

    format: Literal["combined", "common", "syslog"] | None = None
    pattern: str | None = None
    timestamp: LogTimestamp | None = None
    encoding: str = "utf-8"
    compression: Literal["gzip", "bzip2", "zstd", "none"] | None = None

    @model_validator(mode="after")
    def _format_or_pattern(self) -> LogOptions:
        if (self.format is None) == (self.pattern is None):
            raise ValueError("give either format (combined, common, syslog) or pattern (a regular expression with named groups)")
        return self


class SliceColumn(Strict):
    """A slice made of a column, cut to a unit of time (UTC) where one is given."""

    column: str
    unit: Literal["hour", "day", "month"] | None = None


SliceRule = SliceColumn | Literal["ingest_date"]


def _slice_rule(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) and value != "ingest_date" else value


class _Source(Strict):
    path: Names
    schema_: dict[str, str] | None = Field(None, alias="schema")
    key: Names = ("source_file", "source_line")
    slice: Annotated[SliceRule, BeforeValidator(_slice_rule)] = "ingest_date"
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


Source = Annotated[CsvSource | LogSource, Field(discriminator="kind")]


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
    model: str | dict[Literal["python"], str] = "mlp_classifier"
    params: dict[str, Any] = {}


class Batch(Strict):
    """Limits of one batch: rows, bytes of its columns, seconds until it counts as hanging."""

    rows: int | Literal["auto"] = "auto"
    max_bytes: Annotated[int, BeforeValidator(parse_bytes)] = 64 * 2**20
    timeout_s: float = Field(120.0, gt=0)

    @model_validator(mode="after")
    def _positive(self) -> Batch:
        if self.rows != "auto" and self.rows < 1:
            raise ValueError(f"rows: got {self.rows}; allowed: auto, or a whole number from 1 up")
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes: got {self.max_bytes}; allowed: from 1 byte up, such as 64MiB")
        return self


class Model(Strict):
    """Which model scores, and how."""

    uri: str = Field(pattern=r"^models:/[^/@]+(@[A-Za-z][\w.-]*|/[0-9]+)$")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    road: Literal["auto", "direct", "arrow", "pandas"] = "auto"
    batch: Batch = Batch()
    trust: Literal["none", "pickle"] = "none"


class Checks(Strict):
    """Expectation files for the inputs and the predictions, and how many rows may go to quarantine."""

    input: str | None = None
    predictions: str | None = None
    max_quarantine_rate: float = Field(0.01, ge=0, le=1)


class Sink(Strict):
    """Where the predictions go: a table under the lake, or a full URI."""

    table: str


class Pipeline(Strict):
    """One pipeline file, whole."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    description: str = ""
    source: Source
    features: tuple[dict[str, Any], ...] = ()
    train: Train | None = None
    model: Model
    checks: Checks = Checks()
    sink: Sink
    schedule: str | None = None
