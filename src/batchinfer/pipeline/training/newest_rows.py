"""Which rows of landed slices are older copies: a newer slice has their key.

A file that is landed anew each night brings its rows as often. Learned from as often, they would
count several times, and intervals would be too narrow. Where each night brings new rows only, no
key repeats and nothing is left out. Owns how copies are found; knows no transforms and no models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE, DataFile
from batchinfer.pipeline.definition.small_runs import PREPARED_BY_SPARK
from batchinfer.pipeline.slices.reading import SliceSplit, read_rows
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.slice_splits import splits_of
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.prepare.table_step import HIDDEN, SLICE_NAME, named
from batchinfer.spark.jvm import needing_session
from batchinfer.spark.tasks import OpenWorkplace, Work, run_tasks

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from batchinfer.spark.session import OpenSession

# Rows of which the driver holds the hashes of all keys, at some 40 bytes each; of more, Spark
# groups the keys.
_MOST_ROWS = 4_000_000
_WHOLE = 2**62
OLDER = f"{HIDDEN}older"


@dataclass(frozen=True)
class Superseded:
    """Rows whose key a newer slice has, too.

    Attributes:
        rows: how many.
        masks: by the path of each file, `(rows of the file,) bool`, in the order in which they are
            read; None where there are too many rows for the driver to say which.
    """

    rows: int
    masks: Mapping[str, np.ndarray] | None = None


def find_superseded(
    columns: TableColumns,
    data: SliceData,
    fields: Mapping[str, pa.DataType],
    open_session: OpenSession,
) -> Superseded | None:
    """The older copies among the rows of several slices, the newest being the one that sorts last;
    None where slices are no days of landing, or there is one.

    All rows of a key's newest slice count as new. Keys with a null have no copies.

    Args:
        fields: columns of the table that `data` is read from, and their types.

    Runs on: driver, reading the key columns, at 128 bits a key; of more than four million rows, one
    Spark aggregation over the keys.
    """
    source = columns.context.pipeline.source
    days = {data.day_of(file) for file in data.files if file.rows != 0}
    if source.slice != "ingest_date" or len(days) < 2:
        return None
    key = list(source.key)
    # Tables of others may have files that only Spark can read; with table transforms it does.
    by_spark = data.fields is not None and bool(columns.preparation.steps)
    if data.rows <= _MOST_ROWS and not by_spark:
        return _compared(data, key, fields)
    from batchinfer.pipeline.slices.prepared import rows_with_history

    with needing_session(PREPARED_BY_SPARK if by_spark else f"{data.rows:,} keys to compare"):
        spark = open_session()
    rows = rows_with_history(spark, columns, data, with_place(data, fields))
    keys = rows.select(*(named(name) for name in (*key, SLICE_NAME)))
    return Superseded(with_older(keys, key).where(named(OLDER)).count())


def superseded_warning(found: Superseded | None) -> list[str]:
    """What is said where slices were named, so that each of their rows is learned from."""
    if found is None or not found.rows:
        return []
    return [
        f"{found.rows:,} rows have a key that a newer one of the named slices has too: each copy "
        "is learned from, so these rows count more than once, and the intervals are too narrow; "
        "without --slice, --from and --to only the newest is learned from"
    ]


def with_older(rows: DataFrame, key: Sequence[str]) -> DataFrame:
    """Rows that have the hidden name of their slice, with the column `OLDER`: whether a newer slice
    has their key.

    Runs on: driver; no row is read yet.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    whole = reduce(lambda one, other: one & other, [named(name).isNotNull() for name in key])
    newest = F.max(named(SLICE_NAME)).over(Window.partitionBy(*(named(name) for name in key)))
    return rows.withColumn(OLDER, whole & (named(SLICE_NAME) < newest))


def with_place(data: SliceData, fields: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    """The columns of a table, with the file and the line that landed rows have."""
    import pyarrow as pa

    landed = {SOURCE_FILE: pa.string(), SOURCE_LINE: pa.int64()}
    return {**fields, **(landed if data.fields is None else {})}


def _compared(data: SliceData, key: Sequence[str], fields: Mapping[str, pa.DataType]) -> Superseded:
    import numpy as np

    types = with_place(data, fields)
    newest_first = sorted({data.day_of(file) or "" for file in data.files}, reverse=True)
    ages = {day: age for age, day in enumerate(newest_first)}
    hashes, whole, counts = [np.empty((0, 2), np.uint64)], [np.empty(0, bool)], []
    for file in data.files:
        before = len(whole)
        for split in _whole_file(data, file):
            for batch in read_rows(split, key):
                found, complete = _key_words(batch, {name: types[name] for name in key})
                hashes.append(found)
                whole.append(complete)
        counts.append(sum(len(block) for block in whole[before:]))
    age = np.repeat([ages[data.day_of(file) or ""] for file in data.files], counts)
    older = _older(np.concatenate(hashes), age) & np.concatenate(whole)
    parts = np.split(older, np.cumsum(counts)[:-1])
    masks = {file.path: mask for file, mask in zip(data.files, parts, strict=True)}
    return Superseded(int(older.sum()), masks)


def _whole_file(data: SliceData, file: DataFile) -> list[SliceSplit]:
    """One split, so that its rows come in the order in which they lie; none of a file without
    rows.
    """
    return splits_of(replace(data, files=[file]), 1, _WHOLE, rounds=1)


def _key_words(
    batch: pa.RecordBatch, types: Mapping[str, pa.DataType]
) -> tuple[np.ndarray, np.ndarray]:
    """`(rows, 2) uint64` hashes of the keys, and whether each has no null, `(rows,) bool`."""
    import numpy as np
    import pyarrow as pa

    from batchinfer.inference.fingerprint import fingerprint, words

    # Of one type in all files: the hash of 1 as int is not that of 1 as long.
    keys = pa.RecordBatch.from_arrays(
        [batch.column(name).cast(type_) for name, type_ in types.items()], names=list(types)
    )
    complete = np.ones(keys.num_rows, bool)
    for column in keys.columns:
        complete &= column.is_valid().to_numpy(zero_copy_only=False)
    return words(fingerprint(keys, list(types))), complete


def _older(hashes: np.ndarray, ages: np.ndarray) -> np.ndarray:
    """Which rows are older than the youngest of their hash, `(rows,) bool`.

    Args:
        hashes: `(rows, 2) uint64`.
        ages: `(rows,)` whole numbers.
    """
    import numpy as np

    order = np.lexsort((ages, hashes[:, 1], hashes[:, 0]))
    hashes, sorted_ages = hashes[order], ages[order]
    first = np.ones(len(order), bool)
    first[1:] = (hashes[1:] != hashes[:-1]).any(axis=1)
    youngest = sorted_ages[first][np.cumsum(first) - 1]
    older = np.empty(len(order), bool)
    older[order] = sorted_ages > youngest
    return older


@dataclass(frozen=True)
class KeptOf:
    """A file whose rows are written anew without some.

    Attributes:
        columns: that are written.
        mask: NumPy file of the rows that are left out.
        target: Parquet file that is made.
    """

    split: SliceSplit
    columns: tuple[str, ...]
    mask: str
    target: str


def write_kept(task: KeptOf) -> Iterator[int]:
    """Writes the rows that are kept; tells how many.

    Runs on: executor.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from batchinfer.lake.table_places import storage_faults

    kept = ~np.load(task.mask, allow_pickle=False)
    writer: pq.ParquetWriter | None = None
    at = 0
    with storage_faults(task.target, "write the file"):
        for batch in read_rows(task.split, task.columns):
            rows = batch.filter(pa.array(kept[at : at + batch.num_rows]))
            at += batch.num_rows
            writer = writer or pq.ParquetWriter(task.target, rows.schema)
            writer.write_batch(rows)
        if writer is not None:
            writer.close()
    yield int(kept.sum())


def without_superseded(
    open_workplace: OpenWorkplace,
    data: SliceData,
    fields: Mapping[str, pa.DataType],
    masks: Mapping[str, np.ndarray],
    folder: Path,
) -> SliceData:
    """The data without older copies: files that hold nothing else are not read, and those that hold
    some are written anew below `folder`.

    Args:
        masks: rows to be left out, as in `Superseded`.
        folder: that executors see.

    Runs on: driver; files are written on executors, or here.

    Raises:
        StorageError: no room.
    """
    import numpy as np

    written = tuple(with_place(data, fields))
    tasks: list[KeptOf] = []
    anew: dict[str, Path] = {}
    for file in data.files:
        mask = masks[file.path]
        if not mask.any() or mask.all():
            continue
        place, target = folder / f"{len(tasks)}.npy", folder / f"{len(tasks)}.parquet"
        np.save(place, mask)
        tasks += [
            KeptOf(split, written, str(place), str(target)) for split in _whole_file(data, file)
        ]
        anew[file.path] = target
    work = Work(write_kept, KeptOf, int)
    description = "leaving older copies of rows out"
    counts = iter(run_tasks(open_workplace(), work, tasks, description) if tasks else ())
    files: list[DataFile] = []
    for file in data.files:
        if file.path in anew:
            [rows] = next(counts)
            target = anew[file.path]
            files.append(DataFile(str(target), target.stat().st_size, rows))
        elif not masks[file.path].any():
            files.append(file)
    return replace(data, files=files, rows=sum(file.known_rows for file in files))
