"""Parquet files of other writers that Spark would read otherwise than they were written: refused
with the file and the column, before Spark shows other values or ends with a trace.

Owns what Spark makes of such files. Reads footers only.

Source: Apache Spark, `ParquetVectorUpdaterFactory`, `ParquetSchemaConverter`; Apache Hive,
`DataWritableWriteSupport`.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from batchinfer.config.uris import join
from batchinfer.contracts import DataFile
from batchinfer.errors import InputError, listed_some
from batchinfer.lake.table_places import open_filesystem
from batchinfer.object_stores import is_on_store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Footers that a store is asked for at once.
_OPENED = 32
_HERE = "allowed where Spark reads: signed numbers, microseconds"
HINT = "model.road: auto reads such files without Spark where it can"
# What marks the error of a row, so that it is known again among Spark's words.
MARK = "batchinfer refuses: "
_FIRST_GREGORIAN = dt.date(1582, 10, 15)


@dataclass(frozen=True)
class _Differences:
    """What Spark would read otherwise of a file.

    Attributes:
        problems: of its columns, for any row.
        old_days: columns whose days before 1582-10-15 are other ones; `.` in the name of one that
            is inside of another.
    """

    problems: tuple[str, ...] = ()
    old_days: tuple[str, ...] = ()


def check_foreign(frame: DataFrame, place: str, files: Sequence[DataFile]) -> DataFrame:
    """The rows of somebody else's table, if Spark reads them as they were written.

    Days before 1582-10-15 in files of Hive are told row by row: the frame ends at the first.

    Args:
        files: those that are read.

    Runs on: driver.

    Raises:
        InputError: files with columns that Spark reads otherwise, or not at all.
    """
    uris = [join(place, file.path) for file in files]
    sizes = [file.size for file in files]
    if is_on_store(place) and len(uris) > 1:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(_OPENED, len(uris)), thread_name_prefix="foreign") as pool:
            found = list(pool.map(_differences, uris, sizes))
    else:
        found = list(map(_differences, uris, sizes))
    if problems := [problem for each in found for problem in each.problems]:
        raise InputError(listed_some(problems), HINT)
    return _guarded(frame, place, dict(zip(uris, found, strict=True)))


def _guarded(frame: DataFrame, place: str, found: Mapping[str, _Differences]) -> DataFrame:
    """The frame with an error in the place of days that Hive counted otherwise."""
    from pyspark.sql import functions as F

    of_hive = {uri: each for uri, each in found.items() if each.old_days}
    columns = {name for each in of_hive.values() for name in each.old_days}
    if not columns:
        return frame
    if inside := sorted(name for name in columns if name not in frame.columns):
        raise InputError(
            f"{place}: days inside of columns ({', '.join(inside)}) in files of Hive, which may "
            "count them in the legacy calendar; Spark does not see it",
            HINT,
        )
    names = [uri.rpartition("/")[2] for uri in of_hive]
    is_here = (
        F.lit(True) if len(of_hive) == len(found) else F.col("_metadata.file_name").isin(names)
    )
    guarded = {}
    for name in sorted(columns):
        column = F.col("`" + name.replace("`", "``") + "`")
        said = (
            f"{MARK}{place}: column {name!r} has days before {_FIRST_GREGORIAN} in files of Hive, "
            "which may count them in the legacy calendar; Spark does not see it"
        )
        old = is_here & (column < F.lit(_FIRST_GREGORIAN))
        guarded[name] = F.when(old, F.raise_error(F.lit(said))).otherwise(column)
    return frame.withColumns(guarded)


@lru_cache(maxsize=100_000)
def _differences(uri: str, size: int) -> _Differences:
    """What Spark would read otherwise of a file; of one that cannot be read, Spark says so itself.

    Args:
        size: is there so that another file is not taken for this one.
    """
    filesystem, path = open_filesystem(uri)
    try:
        with filesystem.open_input_file(path) as source:
            metadata = pq.read_metadata(source)
    except (OSError, pa.ArrowException):
        return _Differences()
    problems = [
        f"{path}: column {metadata.schema.column(place).path!r} {problem}; {_HERE}"
        for place in range(metadata.num_columns)
        if (problem := _problem(metadata, place)) is not None
    ]
    return _Differences(tuple(problems), _old_days(metadata))


def _problem(metadata: pq.FileMetaData, place: int) -> str | None:
    leaf = metadata.schema.column(place)
    logical = json.loads(leaf.logical_type.to_json())
    if logical["Type"] == "Timestamp" and logical["timeUnit"] == "nanoseconds":
        return "is of times in nanoseconds, which Spark does not read"
    if logical["Type"] != "Int" or logical["isSigned"]:
        return None
    bits = int(logical["bitWidth"])
    chunks = [metadata.row_group(group).column(place) for group in range(metadata.num_row_groups)]
    for chunk in chunks:
        told = chunk.statistics
        if told is None or not told.has_min_max:
            if told is not None and told.null_count == chunk.num_values:
                continue
            return f"is uint{bits}, which Spark reads as signed, and its greatest value is not told"
        if told.max >= 2 ** (bits - 1):
            return f"is uint{bits}, of which Spark reads {told.max} as {told.max - 2**bits}"
        if bits > 16 and chunk.has_dictionary_page:
            return f"is uint{bits} in a dictionary, which Spark does not read"
    return None


def _old_days(metadata: pq.FileMetaData) -> tuple[str, ...]:
    """Columns of Hive's dates and INT96 timestamps."""
    from batchinfer.legacy_calendar import is_of_hive

    told: dict[bytes, bytes] = metadata.metadata or {}
    if not is_of_hive(told):
        return ()
    leaves = [metadata.schema.column(place) for place in range(metadata.num_columns)]
    dates = told.get(b"writer.date.proleptic") == b"false"
    return tuple(
        leaf.path
        for leaf in leaves
        if leaf.physical_type == "INT96" or (dates and '"Date"' in leaf.logical_type.to_json())
    )
