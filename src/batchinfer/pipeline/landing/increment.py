"""What is extracted and what is new of it: the values that every kind of source gives.

A landing is a source and the table that it goes into. An increment is what of it has not landed
yet, and how executors stage that.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from batchinfer.config.sources import Source
from batchinfer.pipeline.definition.context import Context

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.pipeline.landing.landing_task import LandingPlan, LandingResult
    from batchinfer.spark.session import OpenSession
    from batchinfer.spark.tasks import OpenWorkplace


# The scope of the file ledger where slices come from the data: a file is landed once, whatever
# slices its rows have.
_ALL_SLICES = "*"


@dataclass(frozen=True)
class Landing:
    """What is extracted, and into which table; `train` lands labelled data with a source of its
    own.

    Attributes:
        anew: the slice that is landed in place of what it holds; None: what is new is landed.
    """

    context: Context
    source: Source
    table: str
    ingest_slice: str | None
    anew: str | None = None

    @cached_property
    def known(self) -> Mapping[str, int]:
        """The table's transactions as they are when they are first asked for, which is under the
        lease; none where there is no table.

        Runs on: driver

        Raises:
            StorageError: the table's log cannot be read.
        """
        from batchinfer.lake.delta import exists
        from batchinfer.lake.log import read_transactions

        return read_transactions(self.table) if exists(self.table) else {}

    def workplace_opener(self, files: Iterable[Listed], open_session: OpenSession) -> OpenWorkplace:
        """Says who does tasks that read these files, see `small_runs.workplace_opener`."""
        from batchinfer.pipeline.definition.small_runs import workplace_opener

        size = sum(file.size for file in files)
        return workplace_opener(self.context.environment, open_session, size)

    @property
    def is_part(self) -> bool:
        """True where a slice is landed anew of what stands in other slices too: what the ledger has
        of the source stays.
        """
        return self.anew is not None and self.ingest_slice is None

    @property
    def scope(self) -> str:
        """What the ledger counts by, and what one run at a time works on."""
        return self.scope_slice or _ALL_SLICES

    @property
    def scope_slice(self) -> str | None:
        """The slice in which former rows of the same source file are looked for; None: in all.

        A position in a source counts for all slices: what it stands behind has landed, whichever
        slice it landed in.
        """
        return None if self.source.has_position else self.ingest_slice

    @property
    def optional(self) -> str | None:
        """The target may be absent from what is scored."""
        train = self.context.pipeline.train
        return train.target.column if train else None

    @property
    def quarantine_scope(self) -> str:
        """Scope of the quarantine's own ledger, which several landed tables share."""
        return f"{Path(self.table).name}|{self.scope}"


@dataclass(frozen=True)
class NewRecords:
    """New records of a source, and what they are known by.

    Attributes:
        fields: Arrow types of the source's columns.
        fingerprints: every `source_file` that is read, with the 63 bits that the ledger records for
            it.
        replaced: source files whose former rows go when the new ones come.
        retried: source files whose former quarantined records go, because an attempt that landed
            nothing may have left some.
        landed_until: files that grew, and the line up to which they have been landed.
        sizes: of source files, in bytes; recorded so that a file that grew can be told from one
            that is another.
        marks: positions that are recorded with the rows: name to text.
        replaces_keys: whether rows that landed before with a key of the new ones go when these
            come.
        repeats_hint: what to do where keys of the new ones have landed before; None: what is said
            of any duplicate.
        notes: what the report is to say of how the records came.
    """

    fields: Mapping[str, pa.DataType]
    fingerprints: Mapping[str, int]
    replaced: Sequence[str] = ()
    retried: Sequence[str] = ()
    landed_until: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    replaces_keys: bool = False
    repeats_hint: str | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class StagedRecords:
    """Records that executors have staged.

    Attributes:
        records: what they are known by, now that they have been read.
    """

    records: NewRecords
    results: Sequence[LandingResult]


@dataclass(frozen=True)
class Increment:
    """New records of a source, and how they are staged.

    Attributes:
        records: as far as is known before they are read.
        staging: stages the records on executors, and gives them; None: nothing of them is new, and
            nothing is staged. They are committed inside of its block: what was kept for a next
            attempt goes once the block has ended well, and where it ends with InputError or
            TooManyQuarantined, these records could not be landed as they are.
    """

    records: NewRecords
    staging: Callable[[LandingPlan, OpenSession], AbstractContextManager[StagedRecords | None]]

    @classmethod
    def of(
        cls,
        records: NewRecords,
        stage: Callable[[LandingPlan, OpenSession], Iterable[LandingResult]],
    ) -> Increment:
        """An increment that reading makes no other, of a source that keeps nothing."""

        @contextmanager
        def staging(plan: LandingPlan, open_session: OpenSession) -> Generator[StagedRecords]:
            yield StagedRecords(records, list(stage(plan, open_session)))

        return cls(records, staging)

    @classmethod
    def once_read(
        cls,
        records: NewRecords,
        stage: Callable[[LandingPlan], Sequence[LandingResult]],
        settled: Callable[[Sequence[LandingResult]], NewRecords | None],
    ) -> Increment:
        """An increment of which only its rows tell what of it is new.

        Args:
            settled: what the records are, given the results of the tasks; None: nothing of them is
                new.
        """
        from batchinfer.pipeline.landing.landing_task import remove_results

        @contextmanager
        def staging(plan: LandingPlan, _: OpenSession) -> Generator[StagedRecords | None]:
            results, known = stage(plan), None
            try:
                known = settled(results)
            finally:
                if known is None:
                    remove_results(plan, results)
            yield None if known is None else StagedRecords(known, results)

        return cls(records, staging)


class Listed(Protocol):
    """A file as it was listed, wherever it is."""

    @property
    def path(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    def fingerprint(self) -> int: ...

    def grew_from(self, size: int, fingerprint: int) -> bool: ...


AnyFile = TypeVar("AnyFile", bound=Listed)


@dataclass(frozen=True)
class ChangedFiles(Generic[AnyFile]):
    """Files that are to be read, and what becomes of what was landed of them before; see
    `NewRecords`.

    Attributes:
        grown: files of which only what is behind the last line landed is new.
        fingerprints: of the files to read.
        cut: of files that are read only as far as they had landed, how many bytes that is.
        notes: what the report is to say of them.
    """

    read: Sequence[AnyFile]
    replaced: Sequence[str]
    retried: Sequence[str]
    grown: Sequence[str]
    fingerprints: Mapping[str, int]
    cut: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
