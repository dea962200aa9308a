"""What is new in a source since it was landed last: a file for each family of sources says how that is found and staged.

`new_files` for everything that is files, `remote_files` for those on a store, `new_pages` for HTTP APIs, `new_rows` for
databases. A Delta table is never landed: see `in_place`. A stream would be one more of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchinfer.config.sources import FileSource, Source
from batchinfer.config.uris import are_remote
from batchinfer.pipeline.context import Context

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from batchinfer.pipeline.landing import LandingPlan

    OpenSession = Callable[[], SparkSession]

# The scope of the file ledger where slices come from the data: a file is landed once, whatever slices its rows have.
_ALL_SLICES = "*"


@dataclass(frozen=True)
class Landing:
    """What is extracted, and into which table; `train` lands labelled data with a source of its own."""

    context: Context
    source: Source
    table: str
    ingest_slice: str | None

    @property
    def scope(self) -> str:
        return self.ingest_slice or _ALL_SLICES


def _nothing_to_tidy() -> None:
    """Most sources leave nothing behind."""


@dataclass(frozen=True)
class Increment:
    """New records of a source: what they are known by, and how they are staged.

    Attributes:
        fields: Arrow types of the source's columns.
        fingerprints: every `source_file` that is read, with the 63 bits that the ledger records for it.
        stage: stages the records on executors, and gives the results of `landing.land_task`.
        replaced: source files whose former rows go when the new ones come.
        retried: source files whose former quarantined records go, because an attempt that landed nothing may have left some.
        landed_until: files that grew, and the line up to which they have been landed.
        marks: positions that are recorded with the rows: name to text.
        tidy: removes what was kept for a next attempt, once the commit stands.
    """

    fields: Mapping[str, pa.DataType]
    fingerprints: Mapping[str, int]
    stage: Callable[[LandingPlan, OpenSession], Iterable[dict[str, Any]]]
    replaced: Sequence[str] = ()
    retried: Sequence[str] = ()
    landed_until: Mapping[str, int] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    tidy: Callable[[], None] = _nothing_to_tidy


def find_increment(landing: Landing, open_session: OpenSession) -> Increment | None:
    """What is new in a source; None: nothing.

    Runs on: driver.

    Raises:
        InputError: a source that is missing, changed after it was landed, or breaks the contract of its columns.
        StorageError: a database or a server that does not answer.
    """
    from batchinfer.pipeline.new_files import find_new_files
    from batchinfer.pipeline.remote_files import find_remote_files

    if isinstance(landing.source, FileSource) and are_remote(landing.source.path):
        return find_remote_files(landing, open_session)
    return find_new_files(landing)
