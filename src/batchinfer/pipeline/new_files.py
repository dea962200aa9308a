"""Files that are new or changed since they were landed, and how executors stage them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from batchinfer.config.sources import Files
from batchinfer.errors import InputError
from batchinfer.pipeline.appended import last_lines
from batchinfer.pipeline.increments import Increment, Landing
from batchinfer.pipeline.landing import LandingPlan, count_lines, land_task
from batchinfer.pipeline.roads import workers
from batchinfer.pipeline.tasks import run_tasks

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from batchinfer.sources.listing import SourceFile

    OpenSession = Callable[[], SparkSession]


class Listed(Protocol):
    """A file as it was listed, wherever it is."""

    @property
    def path(self) -> str: ...

    @property
    def name(self) -> str: ...

    def fingerprint(self) -> int: ...


AnyFile = TypeVar("AnyFile", bound=Listed)


@dataclass(frozen=True)
class Changes(Generic[AnyFile]):
    """Files that are to be read, and what becomes of what was landed of them before; see `Increment`."""

    read: Sequence[AnyFile]
    replaced: Sequence[str] = ()
    landed_until: Mapping[str, int] = field(default_factory=dict)


def find_new_files(landing: Landing) -> Increment | None:
    """The files of a source that were never landed, or that changed since; None: there are none.

    Runs on: driver.

    Raises:
        InputError: files that are missing, or that changed and may not (`on_changed: fail`).
    """
    from batchinfer.sources.listing import list_files
    from batchinfer.sources.readers import read_fields

    source = landing.source
    assert isinstance(source, Files)
    changes = find_changes(landing, list_files(source.path, landing.context.root, source.roots))
    if not changes.read:
        return None
    fields = read_fields(source, changes.read)
    return Increment(
        fields=fields,
        fingerprints={file.name: file.fingerprint() for file in changes.read},
        stage=lambda plan, open_session: stage_files(plan, source, changes.read, fields, optional_column(landing), open_session),
        replaced=changes.replaced,
        landed_until=changes.landed_until,
    )


def find_changes(landing: Landing, files: Sequence[AnyFile]) -> Changes[AnyFile]:
    """Which of the listed files are new or changed, by the ledger of the landed table.

    Runs on: driver.

    Raises:
        InputError: files that changed and may not (`on_changed: fail`).
    """
    from batchinfer.sinks.delta import exists
    from batchinfer.sinks.ledger import landed_files

    on_changed = landing.source.on_changed
    known = landed_files(landing.table, landing.scope, [file.name for file in files]) if exists(landing.table) else {}
    new = [file for file in files if known.get(file.name) is None]
    changed = [file for file in files if known.get(file.name) not in (None, file.fingerprint())]
    if changed and on_changed == "fail":
        raise InputError(
            [
                f"{file.path}: it changed after it was landed; allowed with source.on_changed: replace or append"
                for file in changed
            ],
            hint="set source.on_changed: replace to land its new content in place of the old (--set source.on_changed=replace)",
        )
    names = [file.name for file in changed]
    if names and on_changed == "append":
        until = last_lines(landing.table, landing.context.quarantine, names, landing.ingest_slice)
        return Changes([*new, *changed], landed_until=until)
    return Changes([*new, *changed], replaced=names)


def optional_column(landing: Landing) -> str | None:
    """The target may be absent from what is scored."""
    train = landing.context.pipeline.train
    return train.target.column if train else None


def stage_files(
    plan: LandingPlan,
    source: Files,
    files: Sequence[SourceFile],
    fields: Mapping[str, pa.DataType],
    optional: str | None,
    open_session: OpenSession,
) -> Iterable[dict[str, Any]]:
    """Cuts files into splits, shares these out over tasks, and stages their records; results of `land_task`.

    Runs on: driver; parsing and writing on executors.

    Raises:
        InputError: a file that is damaged, changed while it was read, or breaks the contract of its columns.
    """
    from batchinfer.sources.readers import plan_splits
    from batchinfer.sources.splits import align, group_splits, needs_count

    splits = plan_splits(files, source, fields, optional=optional)
    if not splits:
        return
    spark = open_session()
    to_count = [split for split in splits if needs_count(split)]
    if to_count:
        counted = [result for [result] in run_tasks(spark, count_lines, to_count, "counting lines")]
        splits = align([*(split for split in splits if not needs_count(split)), *counted])
    tasks = [{"plan": asdict(plan), "splits": group} for group in group_splits(splits, workers(spark))]
    for results in run_tasks(spark, land_task, tasks, f"extracting {len(files)} files"):
        yield from results
