"""The columns after `prepare`, and the feature tables that its joins read, each at one version for
the whole run. No JVM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchinfer.config.environment import Environment
from batchinfer.config.loader import Loaded
from batchinfer.config.pipeline import Pipeline
from batchinfer.config.uris import join
from batchinfer.contracts import Problem
from batchinfer.errors import ConfigError, InputError, InputMissing
from batchinfer.lake.table_places import plain_place
from batchinfer.pipeline.definition.table_steps import dumped, table_steps

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.prepare.join import Join
    from batchinfer.prepare.table_step import Fields, TableStep


@dataclass(frozen=True)
class FeatureTable:
    """A feature table as the run reads it.

    Attributes:
        place: path or URI of its folder.
        version: Delta version that was the latest when the run looked.
    """

    place: str
    version: int

    def to_json(self) -> dict[str, Any]:
        return {"table": self.place, "version": self.version}


@dataclass(frozen=True)
class Preparation:
    """The table transforms of one run.

    Attributes:
        steps: in their order; joins know the columns of their tables.
        tables: feature table of each join, by the join's place.
    """

    steps: tuple[TableStep, ...] = ()
    tables: Mapping[int, FeatureTable] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(step.step for step in self.steps)

    def reasons(self) -> dict[str, str]:
        """Reasons that rows are removed for, and what each says."""
        return {
            reason: message for step in self.steps for reason, message in step.reasons().items()
        }

    def facts(self) -> dict[str, Any]:
        """What a bundle remembers of the steps that made its columns; nothing without steps."""
        return (
            {"prepare": dumped(self.steps), "feature_tables": self.used_tables()}
            if self.steps
            else {}
        )

    def used_tables(self) -> list[dict[str, Any]]:
        """The feature tables with their versions, as reports show them."""
        return [
            table.to_json()
            for table in sorted(set(self.tables.values()), key=lambda table: table.place)
        ]


def open_preparation(
    environment: Environment, pipeline: Pipeline, landed: Mapping[str, pa.DataType]
) -> Preparation:
    """The pipeline's table transforms, with the feature tables at their latest versions.

    Args:
        landed: columns before the first step, and their types.

    Runs on: driver.

    Raises:
        InputMissing: a feature table that is not there.
        InputError: one that lacks a column, or has another type of key.
    """
    from batchinfer.lake.snapshots import open_table
    from batchinfer.prepare.join import Join

    steps = table_steps(pipeline)
    tables: dict[int, FeatureTable] = {}
    versions: dict[str, int] = {}
    problems: list[str] = []
    for step in steps:
        if not isinstance(step, Join):
            continue
        place = _find(environment, step)
        # Two joins with one table read one version of it.
        table = open_table(place, versions.get(place))
        tables[step.position] = FeatureTable(place, versions.setdefault(place, table.version()))
        step.know(_columns(place, table))
        problems += _faults(landed, steps, step, place)
    if problems:
        raise InputError(problems)
    return Preparation(tuple(steps), tables)


def _find(environment: Environment, step: Join) -> str:
    from batchinfer.lake.snapshots import exists

    place = plain_place(join(environment.lake, step.table))
    if not exists(place):
        raise InputMissing(
            f"{_where(step)}.table: no Delta table at {place}; allowed: a path below the lake, or "
            "a path or URI of a Delta table"
        )
    return place


def _where(step: Join) -> str:
    return f"prepare[{step.position}].join"


def _columns(place: str, table: Any) -> dict[str, pa.DataType]:
    """Types by way of Spark's names, as for landed tables."""
    from batchinfer.config.types import parse_ddl, spark_name
    from batchinfer.lake.snapshots import arrow_schema

    try:
        return {column.name: parse_ddl(spark_name(column.type)) for column in arrow_schema(table)}
    except ValueError as error:
        raise InputError(f"{place}: {error}") from error


def _faults(
    landed: Mapping[str, pa.DataType], steps: list[TableStep], step: Join, place: str
) -> list[str]:
    from batchinfer.prepare.table_step import TableStepProblem

    fields: Fields = dict(landed)
    for earlier in steps[: steps.index(step)]:
        try:
            fields = earlier.output_fields(fields)
        except TableStepProblem:
            # Told with its place by whoever walks through all the steps.
            break
    return [f"{_where(step)}: {place}: {fault}" for fault in step.table_faults(fields)]


def prepared_fields(
    loaded: Loaded, preparation: Preparation, fields: Mapping[str, pa.DataType]
) -> Fields:
    """Types of the columns after the steps.

    Raises:
        ConfigError: steps that do not fit the columns, with their place in the file.
    """
    if not preparation.steps:
        return dict(fields)
    from batchinfer.prepare.table_step import TableStepProblem

    now: Fields = dict(fields)
    problems: list[Problem] = []
    for step in preparation.steps:
        try:
            now = step.output_fields(now)
        except TableStepProblem as found:
            path = ("prepare", step.position, step.step)
            problems += [Problem((*path, *at), message) for at, message in found.problems]
    if problems:
        raise ConfigError(loaded.places.sentences(problems))
    return now
