"""`load`: the newest served row of each key goes into the online stores of a pipeline.

Order: the layer first, whole and counted; then the pointer, in one step; then what nobody reads any
more is swept. Killed anywhere, readers have the generation that they had, and the next load sweeps
what was left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING

from batchinfer.command_reports import LoadReport, StoreReport
from batchinfer.config.shapes.online_stores import Target
from batchinfer.config.sink_places import FALLBACKS
from batchinfer.errors import ConfigError, DamagedStore, InputMissing
from batchinfer.hints import Hint
from batchinfer.lake.leases import hold
from batchinfer.lookups.confirmed import confirmed_times
from batchinfer.lookups.stores.generation import Generation, Pointer
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import check_slice
from batchinfer.pipeline.fallbacks.settled_fallbacks import settle_fallbacks
from batchinfer.pipeline.loading.load_targets import chosen_targets, store_of
from batchinfer.pipeline.loading.served_rows import ServedTable, open_served
from batchinfer.pipeline.loading.store_loading import StoreLoading, check_layers, sweep
from batchinfer.pipeline.loading.verification import newer_rows, verify_store
from batchinfer.pipeline.run_record import recorded

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Slices at each end of those that are told.
_ENDS = 3
OpenSession = Callable[[], "SparkSession"]


@recorded("load")
def load_stores(
    context: Context,
    open_session: OpenSession,
    slice_: str | None = None,
    to: str | None = None,
    full: bool = False,
    verify: bool = False,
    rollback: bool = False,
) -> LoadReport:
    """Brings the stores of a pipeline to the newest served row of each key.

    Args:
        slice_: the greatest slice that counts; None: all.
        to: the kind of the one store that is loaded; None: all that the pipeline names.
        full: writes all rows, not only those that have changed.
        verify: holds the store against the table afterwards, row by row.
        rollback: sets the pointer back to the generation before, and loads nothing.

    Runs on: driver; rows are encoded and written on executors.

    Raises:
        ConfigError: options that exclude each other, a store that the pipeline does not name, a
            variable that is not set.
        InputMissing: nothing has been published, not up to this slice, or there is no generation to
            go back to.
        SliceHeld: another load of the same store runs.
        DamagedStore: files or rows of the store are missing or damaged, or its pointer is.
        StorageError: the store does not answer, is full, or is not what the table is.
    """
    if rollback and (slice_ is not None or full):
        raise ConfigError("load: got --rollback with --slice or --full; allowed: one of them")
    if slice_ is not None:
        check_slice(context.pipeline.source.slice, slice_)
    started = time.perf_counter()
    report = LoadReport(context.run_id, context.name, "unchanged")
    targets = chosen_targets(context, to)
    if not rollback:
        report.warnings += settle_fallbacks(context, open_session)
    places = [context.predictions, *([context.fallbacks] if context.pipeline.fallback else [])]
    stores = [
        (target, [_Loading(context, target, open_session, verify, place) for place in places])
        for target in targets
    ]
    with ExitStack() as held, _damage_leads_on(context, slice_, to, rollback):
        if rollback:
            # None is set back before all of them can be.
            for kind in dict.fromkeys(target.kind for target in targets):
                held.enter_context(_hold(context, kind))
            for loading in chain.from_iterable(loadings for _, loadings in stores):
                loading.check_way_back()
        for target, loadings in stores:
            with nullcontext() if rollback else _hold(context, target.kind):
                for loading in loadings:
                    loading.check_pointer(full)
                # Fallbacks come first, so that nobody reads new predictions above older ones.
                *fallbacks, told = [
                    loading.roll_back() if rollback else loading.load(slice_, full)
                    for loading in reversed(loadings)
                ]
            told.fallback_rows = fallbacks[0].rows if fallbacks else None
            report.tell(told)
    report.seconds = round(time.perf_counter() - started, 3)
    return report


def _hold(context: Context, kind: str) -> AbstractContextManager[object]:
    """The lease of the stores of a kind: one load at a time."""
    return hold(
        context.environment.lake,
        f"{context.name}.{kind}",
        None,
        context.run_id,
        what=f"store {kind} of pipeline {context.name}",
    )


@contextmanager
def _damage_leads_on(
    context: Context, slice_: str | None, to: str | None, rollback: bool
) -> Generator[None]:
    """Whoever is told of a damaged store is told the command that writes it anew."""
    try:
        yield
    except DamagedStore as error:
        words = [*(["--slice", slice_] if slice_ else []), *(["--to", to] if to else [])]
        command = context.asked.command("load", *words, "--full")
        stays = "; what readers see stays until then" if rollback else ""
        error.hint = Hint(command, f" writes all rows anew{stays}")
        raise


class _Loading:
    """What `load` does with one table in one store: predictions, or fallbacks."""

    def __init__(
        self,
        context: Context,
        target: Target,
        open_session: OpenSession,
        verify: bool,
        place: str,
    ) -> None:
        self._context, self._open_session, self._verify = context, open_session, verify
        self._place = place
        self._part = "" if place == context.predictions else FALLBACKS
        self._store = store_of(context, target, self._part)

    def check_pointer(self, full: bool) -> None:
        """Whether the pointer can be read.

        Args:
            full: a load of all rows, which replaces one that cannot.

        Raises:
            DamagedPointer: it cannot.
        """
        if not full:
            self._store.pointer()

    def check_way_back(self) -> None:
        """Whether there is a generation before the current one, and is whole.

        Raises:
            DamagedStore: it is not; the first file or part that is missing, or is another, is told.
            InputMissing: there is none.
        """
        check_layers(self._store, self._way_back()[1])

    def load(self, as_of: str | None, full: bool) -> StoreReport:
        if self._part:
            as_of = None
        table, started = self._table(as_of), time.perf_counter()
        times = confirmed_times(table.place, table.version)
        work = StoreLoading(
            self._store, table, times, self._context.run_id, full, self._open_session
        )
        done = work.run()
        report = self._report(done.pointer, "unchanged" if done.written is None else "loaded")
        report.rows_written, report.way = done.written or 0, done.way
        report.memory, report.warnings = done.room.memory, [*done.room.warnings]
        return self._verified(report, done.pointer, started)

    def roll_back(self) -> StoreReport:
        started, (before, former) = time.perf_counter(), self._way_back()
        after = Pointer(former, before.current)
        self._store.switch(after, before)
        sweep(self._store, after)
        report = self._report(after, "rolled_back")
        report.way = f"generation {before.current.name} stays, for a way forward"
        return self._verified(report, after, started)

    def _way_back(self) -> tuple[Pointer, Generation]:
        """The pointer, and the generation before the current one."""
        pointer = self._store.pointer()
        if pointer is not None and pointer.former is not None:
            return pointer, pointer.former
        missing = "nothing was loaded yet"
        if pointer is not None:
            missing = "there is no generation before the current one"
        raise InputMissing(
            f"{self._store.place}: {missing}",
            Hint(self._context.asked.command("load"), " loads the table as it is"),
        )

    def _table(self, as_of: str | None) -> ServedTable:
        from batchinfer.lake.snapshots import exists

        if not exists(self._place):
            raise InputMissing(
                f"{self._place}: no predictions of pipeline {self._context.name} have been "
                "published",
                Hint(self._context.asked.command("score"), " publishes the newest slice"),
            )
        table = open_served(self._place, as_of)
        if as_of is not None and not table.files:
            slices = open_served(self._place, None).slices
            raise InputMissing(
                f"{self._place}: no slice up to {as_of} has been published; published: "
                f"{_ends(slices) or 'none'}",
                self._earliest(slices),
            )
        return table

    def _earliest(self, slices: Sequence[str]) -> Hint | None:
        named = next(filter(None, slices), None)
        if named is None:
            return None
        return Hint(
            self._context.asked.command("load", "--slice", named), " loads the first of them"
        )

    def _verified(self, report: StoreReport, pointer: Pointer, started: float) -> StoreReport:
        if self._verify:
            loaded = pointer.current
            table = open_served(loaded.table, loaded.as_of, loaded.version)
            report.rows_verified = verify_store(
                self._store, table, loaded, self._open_session, self._context.sensitive
            )
            report.rows_streamed = newer_rows(self._store, loaded)
        report.seconds = round(time.perf_counter() - started, 3)
        return report

    def _report(self, pointer: Pointer, status: str) -> StoreReport:
        loaded = pointer.current
        return StoreReport(
            store=self._store.kind,
            place=self._store.place,
            status=status,
            generation=loaded.name,
            rows=loaded.rows,
            slice=loaded.slice,
            version=loaded.version,
            layers=len(loaded.layers),
            bytes=sum(layer.size for layer in loaded.layers),
        )


def _ends(slices: Sequence[str]) -> str:
    """Some slices at both ends of all."""
    shown = [slice_ or "(no name)" for slice_ in slices]
    if len(shown) > 2 * _ENDS:
        shown = [*shown[:_ENDS], "…", *shown[-_ENDS:]]
    return ", ".join(shown)
