"""Whether an object store refuses to overwrite where a commit asks it to: without that, two commits
at once lose one.

Owns the trial. Stores that speak S3 are of many makes, and one that does not know `If-None-Match:
*` answers as if all were well; so it is tried on the store itself, by making one Delta table twice
at the same moment.
"""

from __future__ import annotations

import threading
import uuid

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from batchinfer.errors import StorageError
from batchinfer.lake.table_places import open_filesystem, storage_faults, table_options, table_uri

# Both find no table before either has made it, nearly always the first time.
_ROUNDS = 10
_SCHEMA = pa.schema([pa.field("slice", pa.string())])


def check_conditional_writes(lake: str) -> None:
    """Holds a store to refusing the second of two first commits of one table; what was written for
    it is deleted.

    Runs on: driver

    Raises:
        StorageError: the store overwrote the first one, or cannot be written.
    """
    folder = f"{lake.rstrip('/')}/_leases/.probe-{uuid.uuid4().hex}"
    with storage_faults(lake, "try whether the store refuses to overwrite"):
        try:
            refused = any(_is_refused(f"{folder}/{number}") for number in range(_ROUNDS))
        finally:
            filesystem, root = open_filesystem(folder)
            filesystem.delete_dir(root)
    if not refused:
        raise StorageError(
            f"{lake}: whether the store refuses to overwrite could not be found out in {_ROUNDS} "
            "trials",
            hint="Run the command again.",
        )


def _is_refused(table: str) -> bool:
    """True if the store refused the second commit; False if that came too late to try."""
    together = threading.Barrier(2)
    results: list[BaseException | None] = []

    def create() -> None:
        together.wait()
        try:
            DeltaTable.create(
                table_uri(table),
                _SCHEMA,
                storage_options=table_options(table),
                commit_properties=CommitProperties(max_commit_retries=0),
            )
            results.append(None)
        except (DeltaError, OSError) as error:
            results.append(error)

    threads = [
        threading.Thread(target=create, name="trial of conditional writes", daemon=True)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if results == [None, None]:
        raise StorageError(
            f"{table}: the store overwrote an object that a conditional write (If-None-Match: *) "
            "must leave as it is, so that two commits at once would lose one; allowed: a store "
            "with conditional writes"
        )
    for error in results:
        if isinstance(error, OSError):
            raise error
    return any(isinstance(error, CommitFailedError) for error in results)
