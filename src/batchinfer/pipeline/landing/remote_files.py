"""Files on object stores and HDFS: found by the rules of local ones, copied by Hadoop's own file
systems, read as local ones.

Parsers read byte ranges, count lines and look at a file's end: all that stays theirs, for every
kind of file.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from batchinfer.config.sources import Files
from batchinfer.config.uris import Uri
from batchinfer.pipeline.landing.increment import Increment, Landing, StagedRecords
from batchinfer.pipeline.landing.new_files import find_changes
from batchinfer.pipeline.landing.remote_listing import check_roots, list_remote
from batchinfer.pipeline.landing.spool import FileSpool
from batchinfer.spark.hadoop import Store
from batchinfer.spark.jvm import needing_session

if TYPE_CHECKING:
    from batchinfer.pipeline.landing.landing_task import LandingPlan
    from batchinfer.spark.session import OpenSession


def find_remote_files(landing: Landing, open_session: OpenSession) -> Increment | None:
    """The files of a source on a store that were never landed, or that changed since, copied; None:
    there are none.

    Runs on: driver.

    Raises:
        ConfigError: a URI outside `source.roots`, a scheme whose package is missing, no folder for
            the copies.
        InputError: files that are missing, that changed and may not (`on_changed: fail`), or that
            changed while copied.
        StorageError: a store that does not answer or refuses access, a disk without room.
    """
    source = landing.source
    assert isinstance(source, Files)
    check_roots(source.path, source.roots)
    stores: dict[str, Store] = {}

    def store_of(uri: Uri) -> Store:
        if uri.store not in stores:
            with needing_session("a store is read by Hadoop's file systems"):
                stores[uri.store] = Store(open_session(), uri)
        return stores[uri.store]

    changes = find_changes(landing, list_remote(source.path, store_of))
    if not changes.read:
        return None
    from batchinfer.pipeline.landing.file_increment import file_increment

    spool = FileSpool.open(landing.context)
    try:
        copies = spool.fetch(changes.read, store_of)
        with spool.told_by_uri():
            increment = file_increment(landing, source, changes, copies, open_session)
    except BaseException:
        spool.remove()
        raise

    @contextmanager
    def staging(plan: LandingPlan, open_session: OpenSession) -> Generator[StagedRecords | None]:
        try:
            with spool.told_by_uri(), increment.staging(plan, open_session) as staged:
                pass
        finally:
            spool.remove()
        yield staged

    return replace(increment, staging=staging)
