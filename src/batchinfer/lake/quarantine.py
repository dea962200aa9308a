"""The quarantine table: records that could not be parsed, validated or scored, kept once each
whatever crashed in between.

Workers stage files; the driver commits them before the main table's commit, and moves them into
their partition's folder then: only then it is known whether the run published. A staged file of
stage `extract` holds records of one source file, and its folder says which: `extract/<encoded
source file>/part-….parquet`. So the driver can leave out the files of a source file that an
interrupted run has quarantined already. Records of very many source files share one staged file, or
ten thousand small ones would leave as many behind; of that, a copy is made where some are to be
left out. Owns who replaces whose rows. Must not decide why a record is bad.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import compute

from batchinfer.checked_parquet import CheckedParquetFile
from batchinfer.contracts import (
    QUARANTINE_PARTITIONS,
    RUN_ID,
    SLICE,
    SOURCE_FILE,
    SOURCE_LINE,
    BadRecord,
    StagedFile,
    quarantine_schema,
)
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.delta import commit
from batchinfer.lake.ledger import (
    file_transactions,
    landed_files,
    publisher_of,
    run_number,
    run_transactions,
)
from batchinfer.lake.log import read_transactions
from batchinfer.lake.quarantine_messages import (
    STATS_COLUMNS,
    messages_without_secrets,
    records_schema,
)
from batchinfer.lake.snapshots import exists, open_table, partition_text
from batchinfer.lake.staged_files import place_staged, remove_staged
from batchinfer.lake.staging import StagedWriter
from batchinfer.lake.table_places import encode_name, open_filesystem, reading_faults
from batchinfer.lake.table_rows import read_table_batches, read_table_rows

# pyarrow makes these functions when it is imported; type checkers cannot see them.
pc: Any = compute

EXTRACT, SCORE = "extract", "score"
# Records held at once by a worker.
_CHUNK_RECORDS = 20_000
# More source files than this in a chunk of records share one staged file, in a folder that no
# encoded name gives.
_OWN_FILES = 16
_SHARED = "=shared"


def write_quarantine(
    uri: str,
    records: Iterable[BadRecord],
    *,
    pipeline: str,
    stage: str,
    run_id: str,
    published: bool,
    slice: str | None,
) -> list[StagedFile]:
    """Stages bad records below the quarantine table; no records, no file.

    Args:
        uri: of the table; it may be missing yet.
        records: to quarantine.
        pipeline, stage, run_id: columns of every row.
        published: until the commit says otherwise.
        slice: of the records that do not know theirs.

    Runs on: executor

    Raises:
        StorageError: storage is full or cannot be written.
    """
    common = {
        "pipeline": pipeline,
        "run_id": run_id,
        "at": datetime.datetime.now(datetime.timezone.utc),
    }
    partition = {"stage": stage, "published": partition_text(published)}
    staged: list[StagedFile] = []
    rest = iter(records)
    try:
        while chunk := list(itertools.islice(rest, _CHUNK_RECORDS)):
            for folder, group in _by_folder(chunk, stage).items():
                staged += _write_group(uri, folder, group, slice, partition, common)
    except BaseException:
        remove_staged(uri, staged)
        raise
    return staged


def commit_quarantine(
    uri: str, files: Sequence[StagedFile], *, slice: str, published: bool, run_id: str
) -> int | None:
    """Puts the rows of one slice that could not be scored in place of those of the slice's earlier
    runs.

    A published run replaces all of them; one that published nothing replaces only those of others
    that did not. Running it again with the same files changes nothing.

    Args:
        run_id: of a run that publishes, remembered where the slice has or had records: so a run
            that is cut off before its predictions is told from one that was not, also where it
            quarantined nothing.

    Returns:
        The table's version; None if there is no table and nothing to put into it.

    Runs on: driver

    Raises:
        StorageError: the table cannot be written.
    """
    if not _ensure(uri, files):
        return None
    owned = [published, False] if published else [False]
    gone = [_scored(slice, flag) for flag in owned]
    partition = _scored(slice, published)
    placed = [place_staged(uri, file, partition) for file in messages_without_secrets(uri, files)]
    is_told = published and (files or publisher_of(read_transactions(uri), slice).run)
    return commit(
        uri,
        placed,
        replace=gone,
        transactions=run_transactions(slice, run_number(run_id)) if is_told else None,
    )


def read_scored(uri: str, slice: str) -> pa.Table:
    """The records in quarantine of a slice's publication: `key` and `reason`, both text.

    Runs on: driver

    Raises:
        StorageError: the table cannot be read.
    """
    columns = ["key", "reason"]
    if not exists(uri):
        return quarantine_schema().empty_table().select(columns)
    wanted = (ds.field(SLICE) == slice) & (ds.field("stage") == SCORE) & ds.field("published")
    return read_table_rows(open_table(uri), columns, wanted)


def commit_replayed(
    uri: str, records: pa.Table, files: Sequence[StagedFile], *, slice: str, run: int | None
) -> int:
    """Takes records out of a slice's quarantine, and puts those of the rows that failed once more
    in their place.

    Args:
        records: of the rows that were scored again, as `read_scored` tells them.
        files: from `write_quarantine`.
        run: number of the run that published rows of them; None: none of them could be scored.

    Returns:
        The table's version.

    Runs on: driver

    Raises:
        StorageError: the table cannot be written.
    """
    partition = _scored(slice, True)
    return commit(
        uri,
        [place_staged(uri, file, partition) for file in messages_without_secrets(uri, files)],
        # A row of the same key may have been removed: its reason is another.
        replace_rows={"key": records["key"], "reason": records["reason"], **partition},
        transactions=None if run is None else run_transactions(slice, run),
    )


def commit_extract_quarantine(
    uri: str,
    staged: Sequence[StagedFile],
    *,
    scope: str,
    slice: str | None,
    published: bool,
    files: Mapping[str, int],
    replaced: Collection[str] = (),
    anew: bool = False,
) -> int | None:
    """Adds the bad records of source files that are about to be landed, once per content of a file.

    The table keeps a ledger of its own (application transactions, as the landed table): where a run
    ended between this commit and that of the landed table, the next one finds the file there and
    adds nothing. Records of runs that landed nothing (`published` false) give way to those of every
    later run on the same source files.

    Args:
        uri: of the table.
        staged: from `write_quarantine` with stage `extract`; those that are not needed are deleted.
        scope: of the ledger: names the landed table and what its own ledger counts by.
        slice: the one slice that the source files belong to; None where records have slices of
            their own.
        published: True if the rows of these source files are landed next.
        files: every source file of the run and its fingerprint, those without bad records too.
        replaced: source files that changed, and whose former bad records go.
        anew: those of all these files go, and all that are staged come.

    Returns:
        The table's version; None if there is no table and nothing to put into it.

    Runs on: driver

    Raises:
        StorageError: the table cannot be written.
    """
    if not _ensure(uri, staged):
        return None
    known = landed_files(uri, scope, files) if published and not anew else {}
    there = [name for name, fingerprint in files.items() if known.get(name) == fingerprint]
    done = {encode_name(name) for name in there}
    needed = [each for file in staged for each in _needed(uri, file, there, done)]
    remove_staged(uri, [file for file in staged if file not in needed])
    gone = [_rows_of(list(files), slice, published=False)]
    if anew:
        replaced = list(files)
    if published and replaced:
        gone.append(
            _rows_of(
                [name for name in replaced if encode_name(name) not in done], slice, published=True
            )
        )
    new = {
        name: fingerprint for name, fingerprint in files.items() if known.get(name) != fingerprint
    }
    return commit(
        uri,
        [
            place_staged(uri, file, {**file.partition, "published": partition_text(published)})
            for file in messages_without_secrets(uri, needed)
        ],
        replace_rows=gone,
        transactions=file_transactions(scope, new) if published else None,
    )


def first_record(uri: str, run_id: str) -> dict[str, Any] | None:
    """The first record, by source file and line, that a run quarantined: `{source_file,
    source_line, reason, message}`.

    Runs on: driver

    Raises:
        StorageError: the table cannot be read.
    """
    if not exists(uri):
        return None
    order = [(SOURCE_FILE, "ascending"), (SOURCE_LINE, "ascending")]
    first = None
    columns = [SOURCE_FILE, SOURCE_LINE, "reason", "message"]
    for batch in read_table_batches(open_table(uri), columns, ds.field(RUN_ID) == run_id):
        found = pa.Table.from_batches([batch] if first is None else [first, batch])
        if found.num_rows:
            first = (
                found.take(pc.sort_indices(found, sort_keys=order)[:1])
                .combine_chunks()
                .to_batches()[0]
            )
    return first.to_pylist()[0] if first is not None else None


def _by_folder(records: Sequence[BadRecord], stage: str) -> dict[str, list[BadRecord]]:
    if stage != EXTRACT:
        return {stage: list(records)}
    if len({record.source_file for record in records}) > _OWN_FILES:
        return {f"{stage}/{_SHARED}": list(records)}
    groups: dict[str, list[BadRecord]] = {}
    for record in records:
        groups.setdefault(f"{stage}/{encode_name(record.source_file)}", []).append(record)
    return groups


def _needed(
    uri: str, file: StagedFile, there: Sequence[str], done: Collection[str]
) -> list[StagedFile]:
    """The staged file, nothing if its records are in the table already, or a copy of it without
    those that are.
    """
    folder = file.path.split("/")[1]
    if folder != _SHARED or not there:
        return [] if folder in done else [file]
    filesystem, root = open_filesystem(uri)
    path = f"{root}/{file.path}"
    with reading_faults(path), CheckedParquetFile(filesystem, path) as parquet:
        rows = parquet.read()
    rest = rows.filter(
        pc.invert(pc.is_in(rows[SOURCE_FILE], value_set=pa.array(there, pa.string())))
    )
    if rest.num_rows == rows.num_rows:
        return [file]
    schema = records_schema()
    with StagedWriter(
        uri, schema, QUARANTINE_PARTITIONS, STATS_COLUMNS, folder=f"{EXTRACT}/{_SHARED}"
    ) as writer:
        for batch in rest.to_batches():
            writer.write(batch, file.partition)
        return writer.close()


def _write_group(
    uri: str,
    folder: str,
    records: Sequence[BadRecord],
    slice_: str | None,
    partition: Mapping[str, str | None],
    common: Mapping[str, Any],
) -> list[StagedFile]:
    schema = records_schema()
    by_slice: dict[str | None, list[dict[str, Any]]] = {}
    for record in records:
        row = {
            name: common[name] if name in common else getattr(record, name) for name in schema.names
        }
        by_slice.setdefault(record.slice if record.slice is not None else slice_, []).append(row)
    with StagedWriter(
        uri,
        schema,
        QUARANTINE_PARTITIONS,
        STATS_COLUMNS,
        folder=folder,
        run_id=common["run_id"],
    ) as writer:
        for value, rows in by_slice.items():
            # An empty slice would be read back as null; null it is.
            writer.write(
                pa.RecordBatch.from_pylist(rows, schema), {SLICE: value or None, **partition}
            )
        return writer.close()


def _ensure(uri: str, files: Sequence[StagedFile]) -> bool:
    """Makes the table if there is something to put into it; False if there is neither."""
    if not files and not exists(uri):
        return False
    ensure_table(
        uri,
        quarantine_schema(),
        QUARANTINE_PARTITIONS,
        "Records that could not be parsed, validated or scored.",
        stats_columns=STATS_COLUMNS,
    )
    return True


def _scored(slice_: str, published: bool) -> dict[str, str | None]:
    return {SLICE: slice_, "stage": SCORE, "published": partition_text(published)}


def _rows_of(names: Sequence[str], slice_: str | None, published: bool) -> dict[str, Any]:
    return {
        SOURCE_FILE: names,
        "stage": EXTRACT,
        "published": partition_text(published),
        SLICE: slice_,
    }
