"""The road: direct wherever it is possible, and never silently another one than was asked for."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from batchinfer.errors import ConfigError
from batchinfer.inference.road_choice import TableFacts, road_for

OBSTACLES: list[tuple[dict[str, Any], str]] = [
    ({"format": "jdbc"}, "the source is jdbc"),
    ({"reachable": False}, "cannot open the table's files"),
    ({"deletion_vectors": True}, "deletion vectors"),
    ({"column_mapping": True}, "maps column names"),
    ({"table_transforms": ("lag", "join")}, "table transforms run in Spark first: lag, join"),
]


@pytest.mark.parametrize("format_", ["delta", "parquet"])
def test_direct_where_nothing_is_in_the_way(format_: str) -> None:
    assert road_for("auto", TableFacts(format_)).name == "direct"
    assert road_for("direct", TableFacts(format_)).name == "direct"


@pytest.mark.parametrize(("facts", "reason"), OBSTACLES)
def test_each_obstacle_alone_rules_direct_out(facts: dict[str, Any], reason: str) -> None:
    table = dataclasses.replace(TableFacts("delta"), **facts)
    road = road_for("auto", table)
    assert road.name == "arrow"
    assert reason in road.reason
    with pytest.raises(ConfigError, match=reason):
        road_for("direct", table)


@pytest.mark.parametrize("forced", ["arrow", "pandas"])
def test_the_roads_through_spark_are_always_open(forced: str) -> None:
    everything = TableFacts(
        "jdbc",
        reachable=False,
        deletion_vectors=True,
        column_mapping=True,
        table_transforms=("lag",),
    )
    assert road_for(forced, everything).name == forced
    assert road_for(forced, TableFacts("delta")).name == forced


def test_no_such_road() -> None:
    with pytest.raises(ConfigError, match="got 'fast'; allowed: auto, direct, arrow, pandas"):
        road_for("fast", TableFacts("delta"))
