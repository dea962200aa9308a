"""By which road rows reach the model.

Owns the choice between the roads and its reasons. Knows tables only by the facts it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from batchinfer.errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Self

RoadName = Literal["direct", "arrow", "pandas"]
ROADS: tuple[RoadName, ...] = ("direct", "arrow", "pandas")


@dataclass(frozen=True)
class TableFacts:
    """What the choice of a road depends on.

    Attributes:
        format: delta, parquet, or another that only Spark reads.
        reachable: workers can open the table's files by the same path as Spark does.
        deletion_vectors: some rows in the files are deleted; only Delta readers know which.
        column_mapping: the files' column names are not the table's.
        char_inside: structs, arrays or maps hold CHAR(n), which Spark pads on reading.
        table_transforms: names of steps that need other rows (`prepare:`), and therefore Spark.
    """

    format: str
    reachable: bool = True
    deletion_vectors: bool = False
    column_mapping: bool = False
    char_inside: bool = False
    table_transforms: tuple[str, ...] = ()

    @classmethod
    def of_delta(cls, facts: Mapping[str, bool], table_transforms: tuple[str, ...] = ()) -> Self:
        """The facts of a Delta table as `lake.snapshots.reading_facts` tells them."""
        return cls(
            "delta",
            facts["reachable"],
            facts["deletion_vectors"],
            facts["column_mapping"],
            facts["char_inside"],
            table_transforms,
        )


@dataclass(frozen=True)
class Road:
    """The road that was chosen, and why."""

    name: RoadName
    reason: str


_OBSTACLES: tuple[tuple[Callable[[TableFacts], bool], str], ...] = (
    (
        lambda facts: facts.format not in ("delta", "parquet"),
        "the source is {facts.format}, which Arrow cannot read in place",
    ),
    (lambda facts: not facts.reachable, "the workers cannot open the table's files themselves"),
    (lambda facts: facts.deletion_vectors, "the table has deletion vectors"),
    (lambda facts: facts.column_mapping, "the table maps column names"),
    (lambda facts: facts.char_inside, "the table has CHAR columns inside of others"),
    (lambda facts: bool(facts.table_transforms), "table transforms run in Spark first: {steps}"),
)


def obstacles(facts: TableFacts) -> list[str]:
    """Why workers cannot read a table's files themselves; empty if they can."""
    steps = ", ".join(facts.table_transforms)
    return [text.format(facts=facts, steps=steps) for stands, text in _OBSTACLES if stands(facts)]


def road_for(forced: str, facts: TableFacts) -> Road:
    """The road by which rows reach the model.

    `direct`: workers read the table's files with Arrow, and no row passes the JVM; the fastest.
    `arrow`: Spark reads, and hands Arrow batches over. `pandas`: as `arrow`, through pandas.

    Args:
        forced: `model.road` of the pipeline: auto, direct, arrow, pandas.
        facts: of the table.

    Runs on: driver.

    Raises:
        ConfigError: `direct` is asked for and impossible, or there is no such road.
    """
    against = obstacles(facts)
    if forced == "auto":
        return (
            Road("arrow", "; ".join(against))
            if against
            else Road("direct", f"workers read the {facts.format} files with Arrow")
        )
    if forced not in ROADS:
        raise ConfigError(f"model.road: got {forced!r}; allowed: auto, {', '.join(ROADS)}")
    if forced == "direct" and against:
        raise ConfigError(
            f"model.road: got 'direct', but {'; '.join(against)}; allowed here: auto, arrow, pandas"
        )
    return Road(next(road for road in ROADS if road == forced), "the pipeline file asks for it")
