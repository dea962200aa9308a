"""An index of published predictions by the fingerprints of their rows, for one run.

Owns which columns of a published row are carried over, how executors read them, where the index
lies (below the environment's `staging`, which all workers see) and when it is gone. Every task
reads some of the files and writes their rows as they stand there: nothing is shuffled. What a file
is worth nothing for (damage, columns that the model does not give) is left out, and its rows are
scored. Must not know which slices are worth reading (see `reuse_choice`).
"""

from __future__ import annotations

import contextlib
import json
import math
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from batchinfer import contracts
from batchinfer.checked_parquet import CheckedParquetFile, damage
from batchinfer.config.types import parse_ddl
from batchinfer.contracts import DataFile
from batchinfer.errors import DamagedFile, StorageError
from batchinfer.inference.known_rows import write_part
from batchinfer.inference.repeats import distinct_rows
from batchinfer.json_values import from_json, to_json
from batchinfer.lake.delta_types import delta_type
from batchinfer.lake.ledger import slices_of
from batchinfer.lake.log import read_transactions
from batchinfer.lake.parquet import delete_quietly, make_folder, prefix_of
from batchinfer.lake.snapshots import snapshot_files
from batchinfer.lake.table_places import open_filesystem, storage_faults
from batchinfer.pipeline.reuse.reuse_choice import AnsweredSlice

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from batchinfer.pipeline.definition.context import Context

# pyarrow makes these functions when it is imported; type checkers cannot see them.
pc: Any = compute

# What says by which run, of which data and by which model a row was made: it stays that of the row.
MADE = (
    contracts.MODEL_NAME,
    contracts.MODEL_VERSION,
    contracts.SOURCE_TABLE,
    contracts.SOURCE_VERSION,
    contracts.RUN_ID,
    contracts.SCORED_AT,
)
_TEXTS = (
    contracts.BUNDLE_DIGEST,
    contracts.MODEL_NAME,
    contracts.MODEL_VERSION,
    contracts.SOURCE_TABLE,
    contracts.RUN_ID,
)
# A part is built in a worker's memory: so many rows, or bytes as they are in the files, of it.
_PART_ROWS, _PART_BYTES = 8_000_000, 256 * 2**20
# With fewer rows a part, a task takes longer to start than to run.
_LEAST_ROWS = 500_000
# A row that is new is searched for in all parts: where memory does not ask for more, these are all.
_MOST_PARTS = 8
# So many rows the driver reads sooner than a job is started.
_DRIVER_ROWS = 200_000
_BATCH_ROWS = 131_072


@dataclass(frozen=True)
class KnownIndex:
    """An index as it travels to tasks.

    Attributes:
        place: folder or URI of its files.
        files: of its parts.
        rows: that it has; equal ones count as often as they were published.
    """

    place: str
    files: tuple[str, ...]
    rows: int


@dataclass(frozen=True)
class AnsweringModel:
    """Whose predictions are carried over.

    Attributes:
        digest: of its bundle.
        outputs: columns that it gives, with their Spark SQL types.
    """

    digest: str
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class IndexPlan:
    """What all tasks share that build one index.

    Attributes:
        table: of the published predictions.
        model: that made the rows which are kept.
        place: folder or URI that the index is written into.
        run_id: of the run that it is for.
    """

    table: str
    model: AnsweringModel
    place: str
    run_id: str


@dataclass(frozen=True)
class PartFiles:
    """The published files whose rows one part has, relative to the table."""

    paths: tuple[str, ...]


@dataclass(frozen=True)
class BuiltPart:
    """One part: its file, the rows in it, and what is to be said of files that were left out."""

    file: str
    rows: int
    warnings: tuple[str, ...] = ()


@contextlib.contextmanager
def known_rows(
    context: Context,
    slices: Sequence[AnsweredSlice],
    model: AnsweringModel,
    open_spark: Callable[[], SparkSession],
    warnings: list[str],
) -> Generator[KnownIndex | None]:
    """An index of published slices, which is gone after the block; None where it has no row, or
    storage fails: all rows are scored then.

    Args:
        slices: none: there is no index.
        open_spark: gives the session by which more rows are read than this process reads itself.
        warnings: get what is to be said of files that were left out.

    Runs on: driver.
    """
    place = context.looked_up
    if not slices or place is None:
        yield None
        return
    try:
        try:
            with storage_faults(place, "make the folder"):
                make_folder(*open_filesystem(place))
            built = _build(context, place, slices, model, open_spark)
        except StorageError as error:
            built = []
            warnings += [f"nothing is carried over: {problem}" for problem in error.problems]
        warnings += dict.fromkeys(warning for one in built for warning in one.warnings)
        rows = sum(one.rows for one in built)
        yield KnownIndex(place, tuple(one.file for one in built), rows) if rows else None
    finally:
        remove_files(place, context.run_id)


def share_out(files: Sequence[DataFile], workers: int) -> list[PartFiles]:
    """The files of each part, in their order, with about as many rows in each.

    Args:
        files: at least one.
    """
    rows, size = sum(file.known_rows for file in files), sum(file.size for file in files)
    needed = math.ceil(max(rows / _PART_ROWS, size / _PART_BYTES))
    count = max(1, needed, min(workers, _MOST_PARTS, math.ceil(rows / _LEAST_ROWS)))
    parts: dict[int, list[str]] = {}
    before = 0
    for file in files:
        middle = before + file.known_rows / 2
        parts.setdefault(int(middle * count / max(1, rows)), []).append(file.path)
        before += file.known_rows
    return [PartFiles(tuple(paths)) for paths in parts.values()]


def _build(
    context: Context,
    place: str,
    slices: Sequence[AnsweredSlice],
    model: AnsweringModel,
    open_spark: Callable[[], SparkSession],
) -> list[BuiltPart]:
    from batchinfer.spark.tasks import Work, run_tasks

    files = answering_files(context.predictions, slices)
    rows = sum(file.known_rows for file in files)
    plan = IndexPlan(context.predictions, model, place, context.run_id)
    if rows <= _DRIVER_ROWS:
        return list(build_part(plan, PartFiles(tuple(file.path for file in files))))
    spark = open_spark()
    found = run_tasks(
        spark,
        Work(BuildParts(plan), PartFiles, BuiltPart),
        share_out(files, spark.sparkContext.defaultParallelism),
        f"indexing {rows:,} published rows",
    )
    return [one for of_task in found for one in of_task]


def answering_files(table: str, slices: Sequence[AnsweredSlice]) -> list[DataFile]:
    """The files of the slices, but of those that were published anew since they were chosen: they
    may be of another precision.

    Runs on: driver.
    """
    wanted = {each.slice: each.version for each in slices}
    files = [
        file for file in snapshot_files(table) if file.partition.get(contracts.SLICE) in wanted
    ]
    versions = slices_of(read_transactions(table))
    same = {slice_ for slice_, version in wanted.items() if versions.get(slice_) == version}
    return [file for file in files if file.partition[contracts.SLICE] in same]


class BuildParts:
    """The work of `run_tasks`: a part of some files. It carries the plan, which Spark sends
    once.
    """

    def __init__(self, plan: IndexPlan) -> None:
        self.plan = to_json(plan)

    def __call__(self, files: PartFiles) -> Iterator[BuiltPart]:
        return build_part(from_json(IndexPlan, self.plan), files)


def build_part(plan: IndexPlan, files: PartFiles) -> Iterator[BuiltPart]:
    """Reads files and writes the part of their rows.

    Runs on: executor, or the driver for few rows.

    Raises:
        StorageError: a file cannot be read because storage fails, or the index not be written.
    """
    found = _Found(plan)
    for path in files.paths:
        found.read(path)
    filesystem, root = open_filesystem(plan.place)
    name = f"{prefix_of(plan.run_id)}{uuid.uuid4().hex}.arrow"
    with (
        storage_faults(plan.place, "write the index"),
        filesystem.open_output_stream(f"{root}/{name}") as sink,
    ):
        rows = found.write(sink)
    yield BuiltPart(name, rows, tuple(found.warnings))


class _Found:
    """The rows of one part, as they are found in file after file."""

    def __init__(self, plan: IndexPlan) -> None:
        self._plan = plan
        self._filesystem, self._root = open_filesystem(plan.table)
        self._types = {
            name: delta_type(parse_ddl(type_)) for name, type_ in plan.model.outputs.items()
        }
        self._makers: dict[str, int] = {}
        self._prints: list[pa.Array] = []
        self._made: list[np.ndarray] = []
        self._answers: dict[str, list[pa.Array]] = {name: [] for name in self._types}
        self.warnings: list[str] = []

    def read(self, file: str) -> None:
        """Keeps what the file has; all of it, or nothing."""
        before = len(self._prints)
        path = file if file.startswith("/") else f"{self._root}/{file}"
        try:
            self._read(path)
        except (DamagedFile, pa.ArrowException, OSError) as error:
            for parts in (self._prints, self._made, *self._answers.values()):
                del parts[before:]
            found = damage(path, error)
            if found is None and not isinstance(error, FileNotFoundError):
                raise StorageError(f"{path}: {error}") from error
            why = found.problems[0] if found else f"{path} is not there"
            self.warnings.append(f"{why}; its rows are scored, and none of them is carried over")

    def _read(self, path: str) -> None:
        reader = CheckedParquetFile(self._filesystem, path, read_dictionary=list(_TEXTS))
        with reader:
            have = reader.schema_arrow
            columns = [contracts.INPUT_FINGERPRINT, contracts.BUNDLE_DIGEST, *MADE, *self._types]
            if not all(name in have.names for name in columns):
                return
            if any(
                delta_type(have.field(name).type) != type_ for name, type_ in self._types.items()
            ):
                return
            for batch in reader.iter_batches(
                batch_size=_BATCH_ROWS, columns=columns, use_threads=False
            ):
                self._keep(batch)

    def _keep(self, batch: pa.RecordBatch) -> None:
        digests = _encoded(batch.column(contracts.BUNDLE_DIGEST))
        ours = pc.index(digests.dictionary, self._plan.model.digest).as_py()
        if ours < 0:
            return
        prints = batch.column(contracts.INPUT_FINGERPRINT)
        told = [prints, digests, *map(batch.column, MADE)]
        mask = np.ones(batch.num_rows, bool)
        for column in told:
            if column.null_count:
                mask &= column.is_valid().to_numpy(zero_copy_only=False)
        mask &= digests.indices.fill_null(-1).to_numpy() == ours
        if not mask.all():
            batch = batch.filter(pa.array(mask))
        if not batch.num_rows:
            return
        # One that has not 16 bytes is an error of Arrow.
        self._prints.append(batch.column(contracts.INPUT_FINGERPRINT).cast(pa.binary(16)))
        self._made.append(self._makers_of(batch))
        for name, type_ in self._types.items():
            values = batch.column(name)
            self._answers[name].append(values if values.type == type_ else values.cast(type_))

    def _makers_of(self, batch: pa.RecordBatch) -> np.ndarray:
        """The number of what made each row, `(rows,) int32`."""
        columns = [_encoded(batch.column(name)) for name in MADE]
        if all(len(column.dictionary) == 1 for column in columns):
            maker = _maker([column.dictionary[0].as_py() for column in columns])
            return np.full(
                batch.num_rows, self._makers.setdefault(maker, len(self._makers)), np.int32
            )
        code = np.zeros(batch.num_rows, np.int64)
        for column in columns:
            code = code * len(column.dictionary) + column.indices.to_numpy()
        distinct = distinct_rows(pa.array(code).dictionary_encode())
        numbers = [
            self._makers.setdefault(
                _maker([column[row].as_py() for column in columns]), len(self._makers)
            )
            for row in distinct.first.tolist()
        ]
        return np.asarray(numbers, np.int32)[distinct.equals]

    def write(self, sink: pa.NativeFile) -> int:
        """Writes the part; how many rows it has."""
        prints = pa.chunked_array(self._prints, pa.binary(16)).combine_chunks()
        write_part(
            sink,
            prints,
            np.concatenate([np.empty(0, np.int32), *self._made]),
            list(self._makers),
            {
                name: pa.chunked_array(parts, self._types[name])
                for name, parts in self._answers.items()
            },
        )
        return len(prints)


def _encoded(column: pa.Array) -> pa.DictionaryArray:
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def _maker(values: Sequence[Any]) -> str:
    """A maker as the index holds it; times as microseconds since 1970."""
    *rest, scored_at = values
    return json.dumps([*rest, pa.scalar(scored_at, pa.timestamp("us", tz="UTC")).value])


def remove_files(place: str, run_id: str) -> None:
    """Deletes what a run has written there, by attempts that failed too; what cannot be deleted,
    the sweep of orphans takes later.

    Runs on: driver.
    """
    from pyarrow.fs import FileSelector

    filesystem, root = open_filesystem(place)
    with contextlib.suppress(OSError):
        for info in filesystem.get_file_info(FileSelector(root, allow_not_found=True)):
            if info.base_name.startswith(prefix_of(run_id)):
                delete_quietly(filesystem, info.path)
