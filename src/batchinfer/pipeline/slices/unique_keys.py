"""No key stands twice in a slice: proved with Arrow where that is cheap, searched for with Spark
where it is not.

Of few rows the driver compares all keys, or their hashes, which takes less time than a Spark job.
Of more, a worker reads the key columns of its split and says of each block of rows whether keys
repeat in it, and between which keys it lies. Blocks that lie apart have no key in common; of the
others the driver compares keys or hashes, if they are not too many. Only then, or where something
repeats, Spark groups all keys, which takes ten times as long, and finds the examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import compute
from pydantic import Base64Bytes

from batchinfer.contracts import SLICE, SOURCE_FILE, SOURCE_LINE
from batchinfer.errors import InputError
from batchinfer.pipeline.definition.table_steps import mends_keys
from batchinfer.pipeline.slices.reading import SliceSplit, read_rows
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.slice_frames import slice_frame
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.spark.frames import quoted_name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from batchinfer.inference.road_choice import Road


# pyarrow makes these functions when it is imported; type checkers cannot see them.
pc: Any = compute

# Rows of which the driver reads and compares the keys by itself, at 8 bytes each: for three million
# that took 0.3 s, and two jobs of two workers 1.4 s.
_MOST_ROWS = 16_000_000
# Of more rows, keys or hashes that workers send to the driver.
_MOST_MARKS = 4_000_000
_SPLIT_BYTES = 2 * 2**30
# Keys that ascend in runs of so many rows on average are sorted by merging these.
_RUN_ROWS = 64


def check_keys(
    open_session: Callable[[], SparkSession],
    columns: TableColumns,
    data: SliceData,
    road: Road,
    prepared: DataFrame | None,
) -> None:
    """Ends the run if a key stands twice among the rows that remain.

    Table transforms add no rows, so none does after them where none does before.

    Args:
        open_session: called where Spark has to look.
        prepared: the rows after table transforms, where the pipeline has some.

    Runs on: driver.

    Raises:
        InputError: with three examples.
    """
    pipeline = columns.context.pipeline
    source = pipeline.source
    by_place = not data.fields and set(source.key) >= {SOURCE_FILE, SOURCE_LINE}
    if source.unique == "assumed" or by_place or mends_keys(pipeline):
        return
    if road.name == "direct" and _proved(open_session, data, list(source.key)):
        return
    from pyspark.sql.functions import lit

    from batchinfer.pipeline.slices.duplicate_keys import raise_duplicate_keys
    from batchinfer.pipeline.slices.prepared import remaining, row_faults

    spark = open_session()

    def check(rows: DataFrame) -> None:
        keys = rows.select(*[quoted_name(name) for name in source.key]).withColumn(
            SLICE, lit(data.slice)
        )
        raise_duplicate_keys(keys, data.table, source.key, sensitive=columns.context.sensitive)

    try:
        check(slice_frame(spark, data))
    except InputError:
        if prepared is None or not columns.preparation.reasons():
            raise
        with row_faults():
            check(remaining(prepared))


def _proved(open_session: Callable[[], SparkSession], data: SliceData, key: Sequence[str]) -> bool:
    """True if that is certain; False where it is not, or would take the driver too much memory to
    find out.
    """
    from batchinfer.pipeline.slices.slice_splits import splits_of
    from batchinfer.spark.capacity import workers
    from batchinfer.spark.tasks import Work, run_tasks

    if data.rows <= _MOST_ROWS:
        return none_repeats(splits_of(data, 1, _SPLIT_BYTES), key)
    spark = open_session()
    # Keys are a small part of the files: a task reads more of them than one that scores.
    splits = splits_of(data, workers(spark), _SPLIT_BYTES)
    tasks = [KeysOf(split, tuple(key)) for split in splits]
    work = Work(look_at_keys, KeysOf, Block)
    found = run_tasks(spark, work, tasks, f"keys of {data.rows:,} rows")
    blocks = [replace(block, task=task) for task, blocks in enumerate(found) for block in blocks]
    if any(block.repeats for block in blocks):
        return False
    together = overlapping(blocks)
    if not together:
        return True
    if sum(block.rows for block in together) > _MOST_MARKS:
        return False
    wanted: dict[int, list[int]] = {}
    for block in together:
        wanted.setdefault(block.task, []).append(block.number)
    again = [replace(tasks[task], blocks=tuple(numbers)) for task, numbers in wanted.items()]
    work = Work(mark_keys, KeysOf, Marks)
    marks = run_tasks(spark, work, again, "keys of blocks that overlap")
    return not _repeat([np.frombuffer(block.marks, "<i8") for each in marks for block in each])


@dataclass(frozen=True)
class KeysOf:
    """A split, its key columns, and the numbers of the blocks of rows that are wanted of it."""

    split: SliceSplit
    key: tuple[str, ...]
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Marks:
    """Of the keys of a block, `<i8` each."""

    marks: Base64Bytes


def none_repeats(splits: Sequence[SliceSplit], key: Sequence[str]) -> bool:
    """True if it is certain that no key stands twice in the splits; null keys do not count.

    Runs on: driver.
    """
    marks: list[np.ndarray] = []
    for split in splits:
        for _, keys in _blocks(KeysOf(split, tuple(key))):
            if not all(map(_has_order, keys.schema.types)):
                return False
            marks.append(_marks(keys))
    return not _repeat(marks)


@dataclass(frozen=True)
class Block:
    """Rows that were read together: their number in the task, whether their keys may repeat, the
    least and the greatest; and the task, which the driver knows.
    """

    number: int
    rows: int
    repeats: bool
    low: list[int | str]
    high: list[int | str]
    task: int = 0


def overlapping(blocks: Sequence[Block]) -> list[Block]:
    """The blocks that may have a key in common with another one."""
    found: dict[int, Block] = {}
    reaching: Block | None = None  # of the blocks so far the one that reaches furthest
    for block in sorted(blocks, key=lambda block: block.low):
        if reaching is not None and block.low <= reaching.high:
            found |= {id(reaching): reaching, id(block): block}
        if reaching is None or block.high > reaching.high:
            reaching = block
    return list(found.values())


def look_at_keys(task: KeysOf) -> Iterator[Block]:
    """For each block of rows of a split: whether its keys may repeat, and the least and greatest;
    null keys do not count.

    Blocks, not files: writers that share their rows out in turn leave files whose keys overlap, and
    few blocks whose do.

    Runs on: executor.
    """
    for number, keys in _blocks(task):
        if not keys.num_rows:
            continue
        repeats = not all(map(_has_order, keys.schema.types)) or _repeat([_marks(keys)])
        low, high = ([], []) if repeats else (_extreme(keys, pc.min), _extreme(keys, pc.max))
        yield Block(number, keys.num_rows, repeats, low, high)


def mark_keys(task: KeysOf) -> Iterator[Marks]:
    """The marks of the keys of some blocks of a split. Runs on: executor."""
    for number, keys in _blocks(task):
        if number in task.blocks:
            yield Marks(_marks(keys).tobytes())


def _blocks(task: KeysOf) -> Iterator[tuple[int, pa.RecordBatch]]:
    return enumerate(_comparable(batch) for batch in read_rows(task.split, task.key))


def _marks(keys: pa.RecordBatch) -> np.ndarray:
    """`(rows,) int64`: keys that are equal have equal ones, others hardly ever: a whole number is
    its own, of other keys it is a hash.
    """
    if keys.num_columns == 1 and pa.types.is_integer(keys.schema.types[0]):
        return keys.column(0).to_numpy().astype("<i8", copy=False)
    from batchinfer.inference.fingerprint import fingerprint, first_words

    return first_words(fingerprint(keys, keys.schema.names)).view("<i8")


def _repeat(blocks: Sequence[np.ndarray]) -> bool:
    """Whether a number stands twice."""
    marks = np.concatenate([np.empty(0, "<i8"), *blocks])
    descents = np.count_nonzero(marks[1:] < marks[:-1])
    # NumPy's stable way merges runs that ascend already, which most keys do; of others it is slow.
    marks.sort(kind="stable" if _RUN_ROWS * descents < len(marks) else None)
    return bool((marks[1:] == marks[:-1]).any())


def _has_order(type_: pa.DataType) -> bool:
    return pa.types.is_integer(type_) or pa.types.is_string(type_)


def _comparable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows without nulls; times and dates as whole numbers, which JSON and Python put into the
    same order as Arrow.
    """
    columns = [_whole_numbers(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names).drop_null()


def _whole_numbers(column: pa.Array) -> pa.Array:
    types = pa.types
    if types.is_timestamp(column.type):
        return column.cast(pa.int64())
    if types.is_date32(column.type):
        return column.cast(pa.int32())
    return (
        column.cast(pa.string())
        if types.is_dictionary(column.type) or types.is_large_string(column.type)
        else column
    )


def _extreme(keys: pa.RecordBatch, pick: Any) -> list[int | str]:
    """The least or the greatest key: of those with the extreme first column, the one with the
    extreme second, and so on.
    """
    found: list[int | str] = []
    for name in keys.schema.names:
        value = pick(keys.column(name))
        keys = keys.filter(pc.equal(keys.column(name), value))
        found.append(value.as_py())
    return found
