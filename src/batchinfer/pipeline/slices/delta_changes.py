"""Which slices a Delta source has, how many rows each, and which of them changed since they were
recorded.

Partition columns are read off the log. Of other columns, the rows that came and went are counted:
from the change data feed where it was on all the time and VACUUM left it, else from the files that
were added and removed; OPTIMIZE changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.config.types import spark_name
from batchinfer.contracts import DataFile
from batchinfer.errors import InputError
from batchinfer.inference.split_reading import partition_scalar
from batchinfer.lake.changes import Commit, NetChanges, net_changes, read_commits
from batchinfer.lake.table_places import logged_path
from batchinfer.pipeline.slices.delta_opened import Opened, check_data_files
from batchinfer.pipeline.slices.reading import (
    SliceCounts,
    SlicesOf,
    SliceSplit,
    count_batches,
    count_slices,
    slice_names,
)
from batchinfer.pipeline.slices.table_facts import table_facts

if TYPE_CHECKING:
    from batchinfer.spark.session import OpenSession

Counts = Mapping[str | None, int]
_FEED = "delta.enableChangeDataFeed"
# Files of less are counted here: starting Spark for them takes longer.
_DRIVER_BYTES = 256 * 2**20


@dataclass(frozen=True)
class FoundSlices:
    """Slices of a source at one version.

    Attributes:
        counts: rows of each slice; None: of the rows that belong to no slice.
        changed: slices whose rows changed since the version recorded; None: it cannot be told, so
            all may have.
        files: how many files were looked at.
    """

    counts: Counts
    changed: set[str | None] | None
    files: int


@dataclass(frozen=True)
class History:
    """What happened to a source between the version recorded and the one that is read."""

    opened: Opened
    since: int

    @cached_property
    def commits(self) -> list[Commit] | None:
        """The commits in between; None: log clean-up has taken some."""
        return read_commits(self.opened.place, *sorted((self.since, self.opened.version)))

    @property
    def backwards(self) -> bool:
        return self.opened.version < self.since

    @cached_property
    def changes(self) -> NetChanges | None:
        return None if self.commits is None else net_changes(self.commits, self.backwards)

    @property
    def has_feed(self) -> bool:
        """Whether every change in between is in the change data feed."""
        commits = self.commits
        if (
            self.backwards
            or commits is None
            or any(_is_off(properties) for each in commits for properties in each.properties)
        ):
            return False
        # On at the end, and never switched: it was on all the time.
        return not _is_off(self.opened.properties) and not any(
            commit.properties for commit in commits
        )

    @property
    def feed_files(self) -> list[str]:
        """Paths of the files that the change data feed is read from."""
        return [
            path
            for commit in self.commits or ()
            for path in (commit.feed or [file.path for file in (*commit.added, *commit.removed)])
        ]


def _is_off(properties: Mapping[str, str]) -> bool:
    return properties.get(_FEED, "false").lower() != "true"


def find_slices(
    opened: Opened,
    rule: SliceColumn,
    history: History | None,
    known: Counts,
    open_session: OpenSession,
) -> FoundSlices:
    """The slices of a source at the version opened, and which of them changed.

    Args:
        history: since the version recorded; None: there is none to compare with.
        known: rows of each slice at the version recorded.

    Runs on: driver; executors where much has to be counted.

    Raises:
        InputError: a file that changed is damaged.
    """
    if rule.column in opened.partition_columns:
        return _of_partitions(opened, rule, history)
    changes = history.changes if history else None
    if history is not None and changes is not None:
        found = _by_changes(opened, rule, history, changes, known, open_session)
        if found is not None:
            return found
    counts = _count_all(opened, rule, open_session)
    return FoundSlices(counts, None, len(opened.files))


def _of_partitions(opened: Opened, rule: SliceColumn, history: History | None) -> FoundSlices:
    names = file_slices(opened, rule, opened.files)
    counts: Counter[str | None] = Counter()
    for name, file in zip(names, opened.files, strict=True):
        counts[name] += file.known_rows
    changes = history.changes if history else None
    if changes is None or any(file.partition is None for file in changes.files):
        return FoundSlices(counts, None, len(opened.files))
    partitions = [opened.logical_partition(file.partition or {}) for file in changes.files]
    return FoundSlices(counts, set(partition_slices(opened, rule, partitions)), len(changes.files))


def file_slices(opened: Opened, rule: SliceColumn, files: Sequence[DataFile]) -> list[str | None]:
    """The slice that all rows of each file belong to, where the slice column is a partition
    column.
    """
    return partition_slices(opened, rule, [file.partition for file in files])


def partition_slices(
    opened: Opened, rule: SliceColumn, partitions: Sequence[Mapping[str, str | None]]
) -> list[str | None]:
    """The slice that partition values stand for, where the slice column is a partition column."""
    if not partitions:
        return []
    type_ = opened.fields[rule.column]
    values = [partition_scalar(partition[rule.column], type_) for partition in partitions]
    column = pa.array([value.as_py() for value in values], type_)
    return slice_names(pa.RecordBatch.from_arrays([column], names=[rule.column]), rule).to_pylist()


def _by_changes(
    opened: Opened,
    rule: SliceColumn,
    history: History,
    changes: NetChanges,
    known: Counts,
    open_session: OpenSession,
) -> FoundSlices | None:
    """Slices of the rows that came and went; None: the files that went are gone, or the counts do
    not come out even.
    """
    if not changes:
        return FoundSlices(known, set(), 0)
    if history.has_feed and _are_there(opened, history.feed_files):
        came, went = _count_feed(opened, rule, history, open_session)
    else:
        counted = _count_files(opened, rule, changes, open_session)
        if counted is None:
            return None
        came, went = counted
    changed = {*came, *went}
    counts = {name: known.get(name, 0) + came[name] - went[name] for name in {*known, *changed}}
    if sum(counts.values()) == opened.rows and min(counts.values(), default=0) >= 0:
        return FoundSlices(counts, changed, len(changes.files))
    # Deletion vectors: the files that changed hold rows that are deleted. What changed is known all
    # the same.
    return FoundSlices(_count_all(opened, rule, open_session), changed, len(opened.files))


def _count_feed(
    opened: Opened, rule: SliceColumn, history: History, open_session: OpenSession
) -> tuple[Counter[str | None], Counter[str | None]]:
    """Rows of each slice that came and that went, as the change data feed tells."""
    came: Counter[str | None] = Counter()
    went: Counter[str | None] = Counter()
    for batch in _feed(opened, rule, history, open_session):
        kinds = batch.column("_change_type").to_pylist()
        for kind in set(kinds):
            counts = count_batches([batch.filter(pa.array([each == kind for each in kinds]))], rule)
            (came if kind in ("insert", "update_postimage") else went).update(counts)
    return came, went


def _feed(
    opened: Opened, rule: SliceColumn, history: History, open_session: OpenSession
) -> Iterator[pa.RecordBatch]:
    since = history.since
    columns = [rule.column, "_change_type"]
    type_ = opened.fields[rule.column]
    if (
        mapped(opened)
        or rule.column in opened.rules.char
        or _counts_old_days(opened, rule, history)
    ):
        reader = open_session().read.format("delta").option("readChangeFeed", "true")
        frame = (
            reader.option("startingVersion", since + 1)
            .option("endingVersion", opened.version)
            .load(opened.place)
        )
        batches = frame.select(*columns).toArrow().to_batches()
    else:
        batches = pa.RecordBatchReader.from_stream(
            opened.table.load_cdf(since + 1, opened.version, columns=columns)
        )
    for batch in batches:
        # deltalake gives views of text, which Arrow cannot filter.
        arrays = [
            batch.column(rule.column).cast(type_),
            batch.column("_change_type").cast(pa.string()),
        ]
        yield pa.RecordBatch.from_arrays(arrays, names=columns)


def _counts_old_days(opened: Opened, rule: SliceColumn, history: History) -> bool:
    """Whether files of the feed count in the legacy calendar, which deltalake does not know."""
    type_ = opened.fields[rule.column]
    if not (pa.types.is_date(type_) or pa.types.is_timestamp(type_)):
        return False
    return any(map(opened.has_legacy_calendar, history.feed_files))


def mapped(opened: Opened) -> bool:
    """Whether the names in the files are other ones than the table's."""
    return opened.properties.get("delta.columnMapping.mode", "none") != "none"


def _count_files(
    opened: Opened, rule: SliceColumn, changes: NetChanges, open_session: OpenSession
) -> tuple[Counter[str | None], Counter[str | None]] | None:
    """Rows of each slice in the files that came, and in those that went; None: some cannot be read
    any more.
    """
    if mapped(opened) or any(file.size is None for file in changes.files):
        return None
    if not _are_there(opened, [file.path for file in changes.files]):
        return None
    # How many rows each has is what is to be found out; to share files out, their bytes suffice.
    came, went = (
        [DataFile(file.path, file.size or 0, 1) for file in files]
        for files in (changes.added, changes.removed)
    )
    return _count(opened, rule, came, open_session), _count(opened, rule, went, open_session)


def _are_there(opened: Opened, paths: Sequence[str]) -> bool:
    """False where VACUUM took files that went, or those of the feed: what was in them, nobody
    knows.
    """
    try:
        check_data_files(opened, paths)
    except InputError:
        return False
    return True


def _count(
    opened: Opened, rule: SliceColumn, files: Sequence[DataFile], open_session: OpenSession
) -> Counter[str | None]:
    """Rows of each slice in some files; only the slice column is read."""
    from batchinfer.inference.splits import split_files
    from batchinfer.spark.capacity import workers
    from batchinfer.spark.tasks import Work, run_tasks

    types = {rule.column: spark_name(opened.fields[rule.column])}

    def tasks(count: int) -> list[SlicesOf]:
        splits = split_files(opened.place, files, count)
        read = [SliceSplit(split, types=types, char=opened.rules.char) for split in splits]
        return [SlicesOf(each, rule) for each in read]

    if sum(file.size for file in files) <= _DRIVER_BYTES:
        results = [list(count_slices(task)) for task in tasks(1)]
    else:
        spark, work = open_session(), Work(count_slices, SlicesOf, SliceCounts)
        description = f"counting the slices of {opened.place}"
        results = run_tasks(spark, work, tasks(workers(spark)), description)
    return _merge(pair for [result] in results for pair in result)


def _count_all(opened: Opened, rule: SliceColumn, open_session: OpenSession) -> Counter[str | None]:
    """Rows of each slice in the whole version."""
    from batchinfer.inference.road_choice import obstacles
    from batchinfer.pipeline.slices.slice_frames import table_frame

    if not obstacles(table_facts(opened.place, opened.version, opened.files)):
        return _count(opened, rule, opened.files, open_session)
    frame = table_frame(open_session(), opened.place, opened.version, opened.rules)
    frame = frame.select(rule.column)
    rows = frame.mapInArrow(_CountSlices(rule), "slice string, rows bigint").collect()
    return _merge([row["slice"], row["rows"]] for row in rows)


def _merge(pairs: Iterable[Sequence[Any]]) -> Counter[str | None]:
    counts: Counter[str | None] = Counter()
    for name, count in pairs:
        counts[name] += count
    return counts


class _CountSlices:
    """The function of `mapInArrow` that counts the rows of each slice."""

    def __init__(self, rule: SliceColumn) -> None:
        self.rule = rule

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        counts = count_batches(batches, self.rule)
        columns = [pa.array(counts.keys(), pa.string()), pa.array(counts.values(), pa.int64())]
        yield pa.RecordBatch.from_arrays(columns, names=["slice", "rows"])


def files_of_slices(opened: Opened, rule: SliceColumn, slices: Sequence[str]) -> list[DataFile]:
    """The files that hold rows of these slices; of columns that are no partitions, those whose
    statistics do not rule it out.

    Runs on: driver.
    """
    wanted = set(slices)
    if rule.column in opened.partition_columns:
        names = file_slices(opened, rule, opened.files)
        return [file for file, name in zip(opened.files, names, strict=True) if name in wanted]
    bounds = _bounds(opened, rule)
    low, high = min(wanted, default=""), max(wanted, default="")
    return [file for file in opened.files if _may_hold(bounds.get(file.path), low, high)]


def _may_hold(bounds: tuple[str, str] | None, low: str, high: str) -> bool:
    return bounds is None or (bounds[0] <= high and low <= bounds[1])


def _bounds(opened: Opened, rule: SliceColumn) -> dict[str, tuple[str, str]]:
    """Smallest and greatest slice of each file, of columns whose values and slices have one order:
    text and times.
    """
    type_ = opened.fields[rule.column]
    # The log knows CHAR(n) without its spaces.
    is_text = pa.types.is_string(type_) and rule.column not in opened.rules.char
    if not (is_text or pa.types.is_date(type_) or pa.types.is_timestamp(type_)):
        return {}
    actions = pa.table(opened.table.get_add_actions(flatten=True))
    column = opened.physical_name(rule.column)
    if not {f"min.{column}", f"max.{column}"} <= set(actions.column_names):
        return {}
    ends = [_as_slices(actions[f"{end}.{column}"], type_, rule) for end in ("min", "max")]
    found = zip(actions["path"].to_pylist(), *ends, strict=True)
    return {
        logged_path(path): (low, high)
        for path, low, high in found
        if low is not None and high is not None
    }


def _as_slices(values: pa.ChunkedArray, type_: pa.DataType, rule: SliceColumn) -> list[str | None]:
    from batchinfer.sources.slice_values import slice_values

    column = values.cast(type_).combine_chunks()
    return slice_values(
        pa.RecordBatch.from_arrays([column], names=[rule.column]), rule, None
    ).to_pylist()
