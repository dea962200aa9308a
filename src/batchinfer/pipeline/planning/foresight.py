"""What can be known of runs before they begin: the problems that they would end with, and the facts
that an estimate rests on. Scores nothing, starts no JVM.

Owns the order in which things are looked at: that of `score`, so that the first problem is the one
it would end with.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from batchinfer.errors import BatchInferError, ConfigError, InputMissing
from batchinfer.observability.collectors import find_collectors
from batchinfer.pipeline.definition.column_names import check_source_columns
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.next_steps import next_step
from batchinfer.pipeline.scoring import few_rows
from batchinfer.pipeline.scoring.commits import check_predictions
from batchinfer.pipeline.scoring.devices import choose_device
from batchinfer.pipeline.scoring.earlier_runs import runs_of_bundle
from batchinfer.pipeline.scoring.published import Published, check_owner
from batchinfer.pipeline.scoring.resolved_inputs import (
    ResolvedModel,
    check_suite_columns,
    choose_slice_road,
    load_suites,
    resolve_model,
)
from batchinfer.pipeline.slices.landed import find_slice
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.spark.capacity import is_one_process, master_of, problems_of
from batchinfer.spark.shipping import is_local

if TYPE_CHECKING:
    from batchinfer.checks.suites import Suite
    from batchinfer.inference.road_choice import Road
    from batchinfer.lake.runs import LatestRun

Found = TypeVar("Found")


@dataclass(frozen=True)
class SliceForesight:
    """What a run of one slice would meet.

    Attributes:
        road: None where none can be taken.
        few: its rows are scored beside the driver, where no session runs.
        session: why a run starts a Spark session; empty where it starts none.
        notes: warnings, that keep no run from its work.
    """

    road: Road | None
    few: bool
    session: str
    notes: tuple[str, ...]

    @property
    def opens_session(self) -> bool:
        """Whether a run needs Spark."""
        return not self.few or bool(self.session)


@dataclass
class Foresight:
    """What is known of runs of one pipeline.

    Attributes:
        problems: all that was found, each once: what several checks need is told once.
        hints: what to do about them, in the same order.
        exit_code: that of the first problem; 0: there is none.
    """

    context: Context
    problems: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    exit_code: int = 0

    def __post_init__(self) -> None:
        # As runs do it: before their work.
        environment, name = self.context.environment, self.context.loaded.environment_name
        self.attempt(None, lambda: find_collectors(environment.observability, name, os.environ))

    def attempt(self, slice_: str | None, work: Callable[[], Found]) -> Found | None:
        """What the work gives; None where it ends in a problem, which is kept."""
        try:
            return work()
        except BatchInferError as error:
            self.problems += [each for each in error.problems if each not in self.problems]
            self.exit_code = self.exit_code or error.exit_code
            hint = error.hint or next_step(self.context.asked, "score", slice_, error)
            if hint and hint not in self.hints:
                self.hints.append(hint)
            return None

    @cached_property
    def columns(self) -> TableColumns:
        return TableColumns(self.context)

    @cached_property
    def suites(self) -> dict[str, Suite]:
        found = self.attempt(None, lambda: load_suites(self.context.pipeline, self.context.root))
        return found or {}

    def find_slice(self, slice_: str) -> SliceData | None:
        """The landed slice, after the suites were read."""
        _ = self.suites
        return self.attempt(slice_, lambda: find_slice(self.context, slice_))

    @cached_property
    def model(self) -> ResolvedModel | None:
        """The model, once the pipeline file was held against the columns of the source: where it is
        wrong about them, that the model does not fit follows and is not told.
        """
        columns = self.attempt(None, lambda: _held(self.columns))
        if columns is not None:
            return self.attempt(None, lambda: resolve_model(columns))
        context = self.context
        self.attempt(None, lambda: context.registry.resolve(context.pipeline.model.uri))
        return None

    @cached_property
    def earlier(self) -> list[LatestRun]:
        """Runs with the bundle that would score."""
        model, context = self.model, self.context
        if model is None:
            return []
        digest = model.ref.digest
        return self.attempt(None, lambda: runs_of_bundle(context.runs, context.name, digest)) or []

    def look_at_places(self) -> None:
        """Whether the lake can be written, after the model was found."""
        from batchinfer.lake.storage import check_writable

        _ = self.model
        self.attempt(None, lambda: check_writable(self.context.environment.lake))
        if model := self.model:
            self.attempt(None, lambda: check_suite_columns(self.columns, self.suites, model))

    def look_at_slice(
        self, slice_: str, data: SliceData | None, published: Published | None
    ) -> SliceForesight:
        """What stands against a run of the slice, and how its rows would go."""
        road, few, why, notes, context = None, False, "", list[str](), self.context
        if data is not None and (
            road := self.attempt(slice_, lambda: choose_slice_road(self.columns, data))
        ):
            few = few_rows.are_few(
                context.environment, context.pipeline, data, road, lambda: self.earlier
            )
        if model := self.model:
            self.attempt(slice_, lambda: check_predictions(self.columns, model, slice_))
            if data is not None and road is not None:
                seen = (self.columns, data, road, few, self.suites, model)
                why = self.attempt(slice_, lambda: few_rows.why_session(*seen)) or ""
        if data is not None and (
            note := self.attempt(slice_, lambda: check_owner(context, slice_, published))
        ):
            notes.append(note)
        return SliceForesight(road, few, why, tuple(notes))

    def look_at_machine(self) -> None:
        """Whether there is what the model runs on."""
        if self.model is not None:
            self.attempt(None, lambda: _check_device(self.context))
            self.attempt(None, lambda: _check_model_task(self.context))


def _held(columns: TableColumns) -> TableColumns:
    """The columns, which the pipeline file is right about as far as they are known."""
    # That nothing has landed is a problem of the slice.
    with suppress(InputMissing):
        check_source_columns(columns.context.loaded, columns.source)
    return columns


def _check_device(context: Context) -> None:
    """A GPU that is asked for must be there, where executors run on this machine.

    Imports PyTorch, which takes seconds, only then.
    """
    here = is_local(master_of(context.environment.spark))
    if context.pipeline.model.device == "cuda" and here:
        choose_device("cuda")


def _check_model_task(context: Context) -> None:
    """What a task of the model takes must fit into an executor, as far as the environment's file
    says what that has.
    """
    settings = context.environment.spark
    conf = {name: str(value) for name, value in settings.conf.items()}
    if not is_one_process(master_of(settings)) and (
        problems := problems_of(conf, settings.model_task)
    ):
        raise ConfigError(problems)
