"""The words that all rooms share: column names, table schemas, and the small values that pass
between rooms.

Owns the shape of the predictions, landed, quarantine and runs tables. Knows no room: it imports
only the standard library at module level, and pyarrow inside the functions that build schemas.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

# Columns of the landed table that extraction adds.
SOURCE_FILE = "source_file"
SOURCE_LINE = "source_line"
SLICE = "slice"
# And where `source.columns.rescue` asks for it.
RESCUED = "_rescued_data"

# What Delta refuses in the name of a column: a match of this.
NOT_IN_NAMES = r"[ ,;{}()\n\t=]|^$"
NAMES_ALLOWED = "names without space , ; { } ( ) tab newline ="

# Columns of the predictions table besides the key, the slice and what the handler declares.
VARIANT = "variant"
SERVED = "served"
MODEL_NAME = "model_name"
MODEL_VERSION = "model_version"
BUNDLE_DIGEST = "bundle_digest"
SOURCE_TABLE = "source_table"
SOURCE_VERSION = "source_version"
INPUT_FINGERPRINT = "input_fingerprint"
RUN_ID = "run_id"
SCORED_AT = "scored_at"


CHAMPION = "champion"

# Table property that names the key columns, as a JSON list: lookups need no pipeline file.
KEY_PROPERTY = "batchinfer.key"


def arrow_type(name: str) -> pa.DataType:
    """Arrow type of one of the short names used in this module."""
    import pyarrow as pa

    fixed = {
        "string": pa.string(),
        "bool": pa.bool_(),
        "int64": pa.int64(),
        "binary": pa.binary(),
        # Delta has no fixed-size binary; the length is part of the contract, not of the type.
        "binary16": pa.binary(),
        "double": pa.float64(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }
    return fixed[name]


def commented(name: str, type_: pa.DataType, comment: str, nullable: bool = True) -> pa.Field:
    """An Arrow field whose comment Delta shows as the column's comment."""
    import pyarrow as pa

    return pa.field(name, type_, nullable=nullable, metadata={"comment": comment})


QUARANTINE_PARTITIONS = (SLICE, "stage", "published")
_QUARANTINE: Mapping[str, tuple[str, str]] = {
    "pipeline": ("string", "Pipeline whose run put the row aside."),
    SLICE: ("string", "Slice of the row; null where it could not be told."),
    "stage": ("string", "Where the row failed: extract or score."),
    SOURCE_FILE: ("string", "File that the record stands in."),
    SOURCE_LINE: ("int64", "1-based physical line at which the record starts."),
    "key": ("string", "Key of the row as a JSON object, where it is known."),
    "raw": (
        "binary",
        "The record as it was read (extract), or the row as a JSON object (score): its inputs, or "
        "if removed all.",
    ),
    "reason": (
        "string",
        "Short machine-readable reason, such as not_utf8, field_count, type, model_error.",
    ),
    "message": ("string", "What was got and what is allowed."),
    RUN_ID: ("string", "The run that put the row aside."),
    "published": ("bool", "True if that run landed or published its other rows."),
    "at": ("timestamp", "When, UTC."),
}


def quarantine_schema() -> pa.Schema:
    """Schema of a quarantine table."""
    import pyarrow as pa

    return pa.schema(
        [
            commented(name, arrow_type(short), comment)
            for name, (short, comment) in _QUARANTINE.items()
        ]
    )


_RUNS: Mapping[str, tuple[str, str]] = {
    RUN_ID: ("string", "One attempt at one command on one slice."),
    "pipeline": ("string", "Name of the pipeline."),
    "command": ("string", "extract, train, register, score, replay, evaluate or nightly."),
    SLICE: ("string", "Slice, or null where the command handled several."),
    "status": ("string", "As in the command's JSON."),
    "exit_code": ("int64", "Exit code of the command."),
    "started_at": ("timestamp", "UTC."),
    "seconds": ("double", "Wall time."),
    MODEL_VERSION: ("string", "Version of the model that scored, if any."),
    BUNDLE_DIGEST: ("string", "Digest of the bundle that scored, if any."),
    SOURCE_VERSION: ("int64", "Delta version of the table that was read, if any."),
    "version": ("int64", "Delta version that the run published, if any."),
    "rows_in": ("int64", "Rows read."),
    "rows_quarantined": ("int64", "Rows put aside."),
    "report": ("string", "The command's JSON, whole."),
}


def runs_schema() -> pa.Schema:
    """Schema of the append-only runs table."""
    import pyarrow as pa

    return pa.schema(
        [commented(name, arrow_type(short), comment) for name, (short, comment) in _RUNS.items()]
    )


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a configuration file.

    Attributes:
        path: place inside the document, such as ("features", 2, "clip", "columns").
        message: the fact, what was got, what is allowed.
    """

    path: tuple[str | int, ...]
    message: str


@dataclass(frozen=True)
class StagedFile:
    """A Parquet file that a worker wrote under a table's folder and that no commit refers to yet.

    Attributes:
        path: relative to the table's root, not URL-encoded, `/` between folders.
        rows: number of rows.
        size: bytes.
        partition: value of each partition column as Delta writes it (null as None).
        stats: Delta's statistics of the file, as JSON.
        checksum: CRC-32 of its bytes; None: its writer does not tell.
    """

    path: str
    rows: int
    size: int
    partition: dict[str, str | None]
    stats: str
    checksum: int | None = None


@dataclass(frozen=True)
class DataFile:
    """A Parquet file of a table's version.

    Attributes:
        path: of the table's log, or whole.
        size: bytes.
        rows: number of rows, less those that a deletion vector takes away; None: the log does not
            tell, which ours do.
        partition: value of each partition column as Delta writes it (null as None).
    """

    path: str
    size: int
    rows: int | None
    partition: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def known_rows(self) -> int:
        """Its rows, of a file that has been counted."""
        if self.rows is None:
            raise ValueError(f"{self.path}: the log does not tell how many rows it has")
        return self.rows


@dataclass(frozen=True)
class BadRecord:
    """A record that could not be parsed, validated or scored.

    Attributes:
        source_file: as in the landed table, or None.
        source_line: 1-based physical line at which the record starts, or None.
        raw: the record's bytes without its line end, or the row's inputs as JSON.
        reason: short machine-readable word.
        message: what was got and what is allowed.
        key: the row's key as a JSON object, where known.
        slice: the row's slice, where known.
    """

    source_file: str | None
    source_line: int | None
    raw: bytes
    reason: str
    message: str
    key: str | None = None
    slice: str | None = None


# An alias is resolved again after so long, so that a promotion reaches whoever holds a model.
RESOLVED_FOR_S = 60.0


@dataclass(frozen=True)
class ModelRef:
    """A model version that an alias or URI was resolved to, once per run.

    Attributes:
        name, version: in the registry.
        digest: SHA-256 (hex) of the bundle's manifest.
        uri: what was asked for, such as `models:/income@champion`.
    """

    name: str
    version: str
    digest: str
    uri: str


@dataclass(frozen=True)
class NamedModel:
    """The model that a URI names: a version, or that which has an alias.

    Attributes:
        alias, version: one of them is None.
    """

    name: str
    alias: str | None = None
    version: str | None = None

    @classmethod
    def of(cls, uri: str) -> NamedModel | None:
        """The parts of `models:/NAME@ALIAS` or `models:/NAME/VERSION`; None of any other text."""
        match = re.fullmatch(r"models:/([^/@]+)(?:@([A-Za-z][\w.-]*)|/([0-9]+))", uri)
        return None if match is None else cls(match[1], match[2], match[3])


@dataclass(frozen=True)
class CheckReport:
    """What a suite of expectations said of a frame.

    Attributes:
        success: True if every expectation held (a suite of none holds).
        results: per expectation: {expectation, column, success, observed, unexpected_count,
            unexpected_percent, examples}.
        seconds: wall time.
    """

    success: bool
    results: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def failures(self) -> list[str]:
        """One sentence for each expectation that did not hold."""
        return [str(result["message"]) for result in self.results if not result["success"]]


class ScoringHandler(Protocol):
    """What the inference engine needs of a model: columns to tensors, tensors to output, output to
    columns.

    `output` maps each prediction column to its Spark SQL type.
    """

    output: Mapping[str, str]

    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]: ...

    def forward(self, tensors: dict[str, Any]) -> Any: ...

    def decode(self, output: Any) -> dict[str, pa.Array]: ...
