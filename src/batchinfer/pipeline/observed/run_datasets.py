"""Which datasets a run reads and writes, as lineage names them. Reads tables only of runs that have
come to a good end: what made a run fail may be the store itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from batchinfer.config.sources import (
    DeltaSource,
    FileSource,
    HttpSource,
    JdbcSource,
    ParquetSource,
)
from batchinfer.config.uris import is_remote, join, local_path
from batchinfer.contracts import SLICE
from batchinfer.observability.dataset_names import (
    DatasetName,
    dataset_at,
    dataset_of_address,
    dataset_of_database,
    dataset_of_model,
)
from batchinfer.observability.lineage_events import CheckedExpectation, LineageDataset
from batchinfer.pipeline.definition.context import Context

_MODEL = re.compile(r"models:/(?P<name>[^/@]+)")


@dataclass(frozen=True)
class RunDatasets:
    """The datasets of a run of one command.

    Attributes:
        facts: fields of its JSON line; empty when it begins.
        is_done: whether it has come to a good end, so that its tables are read.
    """

    context: Context
    command: str
    slice: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)
    is_done: bool = False

    def inputs(self) -> list[LineageDataset]:
        """What the run reads. Of `backfill` and `nightly` nothing: the runs that they begin say
        it.

        Runs on: driver, without Spark.
        """
        return list(_once(self._inputs()))

    def outputs(self) -> list[LineageDataset]:
        """What the run writes.

        Runs on: driver, without Spark.
        """
        return list(_once(self._outputs()))

    def _inputs(self) -> Iterator[LineageDataset]:
        if self.command == "extract":
            yield from self._sources()
        elif self.command == "train":
            yield from self._landed(self._rows("rows_train", "rows_validation"))
        elif self.command == "register":
            yield from self._artifact()
        elif self.command in ("score", "replay"):
            yield from self._landed(self._rows("rows_in"))
            yield from self._model()
            for table in self.facts.get("feature_tables") or ():
                version = table.get("version")
                yield self._table(table["table"], version=version)

    def _outputs(self) -> Iterator[LineageDataset]:
        context = self.context
        writes = self.facts.get("status") not in (None, "unchanged") and self.is_done
        version = self.facts.get("version")
        if self.command == "extract" and not context.pipeline.source.is_in_place:
            rows = self._rows("rows_landed") if writes else None
            yield self._table(context.landed, rows=rows, version=version)
        elif self.command in ("train", "register"):
            yield from self._model()
        elif self.command in ("score", "replay"):
            rows = self._rows("rows_scored", "rows_reused") if writes else None
            of = self.slice if writes else None
            yield self._table(context.predictions, rows=rows, version=version, slice_=of)
        quarantined = self.facts.get("rows_quarantined")
        if self.command in ("extract", "score", "replay") and quarantined and not self._is_same:
            yield self._table(context.quarantine, rows=quarantined)

    @property
    def _is_same(self) -> bool:
        return self.facts.get("status") == "unchanged"

    def _rows(self, *names: str) -> int | None:
        found = [value for name in names if (value := self.facts.get(name)) is not None]
        return sum(found) if found else None

    def _landed(self, rows: int | None) -> Iterator[LineageDataset]:
        context = self.context
        train = context.pipeline.train
        own = self.command == "train" and train is not None and train.source is not None
        place = self.facts.get("source_table")
        if not place and context.pipeline.source.is_in_place and not own:
            place = self._place_of_delta(context.pipeline.source)
        elif not place:
            place = context.landed_for_training if own else context.landed
        if place is not None:
            version = self.facts.get("source_version")
            yield self._table(place, rows=rows, version=version, checks=self._checks())

    def _checks(self) -> tuple[CheckedExpectation, ...]:
        return tuple(
            CheckedExpectation(one["expectation"], one["column"], one["success"], one["message"])
            for one in self.facts.get("checks_failed") or ()
            if one.get("suite") == "input"
        )

    def _model(self) -> Iterator[LineageDataset]:
        written = _MODEL.match(self.context.pipeline.model.uri or "")
        name = self.facts.get("model_name") or (written["name"] if written else self.context.name)
        version = self.facts.get("model_version") or None
        yield LineageDataset(
            dataset_of_model(self.context.environment.registry, name), "MODEL", version=version
        )

    def _artifact(self) -> Iterator[LineageDataset]:
        artifact = self.facts.get("artifact")
        if artifact and os.path.exists(artifact):
            yield LineageDataset(dataset_at(os.path.abspath(artifact)), "FILE")

    def _sources(self) -> Iterator[LineageDataset]:
        source, rows = self.context.pipeline.source, self._rows("rows_in")
        if isinstance(source, DeltaSource):
            if place := self.facts.get("table") or self._place_of_delta(source):
                yield self._table(place, rows=rows)
            return
        places = list(self._places(source))
        files = self.facts.get("files_read") if len(places) == 1 else None
        for place in places:
            kind = "TABLE" if isinstance(source, JdbcSource) else "FILE"
            counted = rows if len(places) == 1 else None
            yield LineageDataset(place, kind, rows=counted, files=files)

    def _places(self, source: Any) -> Iterator[DatasetName]:
        if isinstance(source, JdbcSource):
            from batchinfer.sources.databases.addresses import read_address

            yield dataset_of_database(
                read_address(source.options, os.environ).url, source.options.table
            )
        elif isinstance(source, HttpSource):
            yield dataset_of_address(source.options.url)
        elif isinstance(source, ParquetSource) and source.table is not None:
            yield dataset_at(join(self.context.environment.lake, source.table))
        elif isinstance(source, FileSource):
            yield from (dataset_at(self._folder(path)) for path in source.path)

    def _folder(self, path: str) -> str:
        """The file or folder that a pattern names, up to its first wildcard."""
        from batchinfer.sources.patterns import split_glob

        fixed, _ = split_glob(path)
        if is_remote(fixed):
            return fixed
        local = local_path(fixed) if fixed.startswith("file:") else None
        return os.path.normpath(self.context.root / os.path.expanduser(local or fixed))

    def _place_of_delta(self, source: Any) -> str | None:
        """Where a table is that is read in place; None of a name that only Spark's catalog
        knows.
        """
        if source.path is not None:
            return source.path if "://" in source.path else self._folder(source.path)
        name = source.table or ""
        return (
            None if "." in name and "/" not in name else join(self.context.environment.lake, name)
        )

    def _table(
        self,
        place: str,
        rows: int | None = None,
        version: int | None = None,
        slice_: str | None = None,
        checks: tuple[CheckedExpectation, ...] = (),
    ) -> LineageDataset:
        """A Delta table; of one whose run is done, with its columns, and what a slice of it has."""
        told = None if version is None else str(version)
        at = dataset_at(place)
        if not self.is_done:
            return LineageDataset(
                at, "TABLE", version=told, is_delta=True, rows=rows, checks=checks
            )
        from batchinfer.config.types import spark_name
        from batchinfer.lake.snapshots import arrow_schema, exists, open_table, table_files

        if not exists(place):
            return LineageDataset(at, "TABLE", version=told, rows=rows, checks=checks)
        table = open_table(place)
        fields = tuple((one.name, spark_name(one.type)) for one in arrow_schema(table))
        files = None if slice_ is None else table_files(table, {SLICE: slice_})
        return LineageDataset(
            at,
            "TABLE",
            fields,
            str(table.version()) if told is None else told,
            is_delta=True,
            rows=rows if files is None else _sum(file.rows for file in files),
            size=None if files is None else sum(file.size for file in files),
            files=None if files is None else len(files),
            checks=checks,
        )


def _sum(counts: Iterable[int | None]) -> int | None:
    """None where one of them is not known."""
    found = list(counts)
    known = [count for count in found if count is not None]
    return sum(known) if len(known) == len(found) else None


def _once(found: Iterator[LineageDataset]) -> Iterator[LineageDataset]:
    """Each dataset once, as it came first."""
    seen = set[DatasetName]()
    for one in found:
        if one.at not in seen:
            seen.add(one.at)
            yield one
