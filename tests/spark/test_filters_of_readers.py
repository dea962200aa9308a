"""Rows with NaN, -0.0 and infinities in a table of ours: every reader's filters show the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder
from readers import duckdb_with_delta

from batchinfer.lake.delta import commit, ensure_table
from batchinfer.lake.staging import StagedWriter

NAN = float("nan")
SCHEMA = pa.schema([("id", pa.int64()), ("x", pa.float64()), ("part", pa.string())])
# A file each.
FILES: dict[str, list[float | None]] = {
    "nan": [NAN, NAN],
    "mixed": [NAN, 5.0, 5.0],
    "minus zero": [-0.0, -0.0],
    "both zeros": [-0.0, 0.0, None],
    "zero": [0.0, 0.0],
    "infinite": [math.inf, -math.inf],
    "plain": [5.0, 7.0, -1.0],
    "under a null": [None, 5.0],
}
ROWS = dict(enumerate(value for values in FILES.values() for value in values))


def greatest(value: float) -> float:
    """What all four readers hold NaN for: greater than any number."""
    return math.inf if math.isnan(value) else value


FILTERS: dict[str, Callable[[float], bool]] = {
    "x > 1000": lambda x: greatest(x) > 1000,
    "x = 0": lambda x: x == 0,
    "x >= 0": lambda x: greatest(x) >= 0,
    "x <> 5": lambda x: x != 5,
}


def make_table(place: str, stats_columns: list[str]) -> None:
    ensure_table(place, SCHEMA, ["part"], stats_columns=stats_columns)
    first, staged = 0, []
    for part, values in FILES.items():
        with StagedWriter(place, SCHEMA, ["part"], stats_columns) as writer:
            ids = pa.array(range(first, first + len(values)), pa.int64())
            batch = pa.record_batch([ids, pa.array(values, pa.float64())], names=["id", "x"])
            writer.write(batch, {"part": part})
            staged += writer.close()
        first += len(values)
    commit(place, staged, schema=SCHEMA)


def by_spark(spark: Any, place: str, where: str) -> list[int]:
    return [row["id"] for row in spark.read.format("delta").load(place).where(where).collect()]


def by_duckdb(connection: duckdb.DuckDBPyConnection, place: str, where: str) -> list[int]:
    found = connection.sql(f"select id from delta_scan('{place}') where {where}").fetchall()
    return [row[0] for row in found]


def by_query(place: str, where: str) -> list[int]:
    query = QueryBuilder().register("t", DeltaTable(place))
    return pa.table(query.execute(f"select id from t where {where}").read_all())["id"].to_pylist()


def by_polars(place: str, where: str) -> list[int]:
    return pl.scan_delta(place).filter(pl.sql_expr(where)).collect()["id"].to_list()


@pytest.mark.parametrize("stats_columns", [[], ["x"]], ids=["without statistics", "with them"])
def test_four_readers_show_the_same_rows(
    tmp_path: Path, spark: Any, stats_columns: list[str]
) -> None:
    place = str(tmp_path / "t")
    make_table(place, stats_columns)
    connection = duckdb_with_delta()
    for where, holds in FILTERS.items():
        wanted = [number for number, x in ROWS.items() if x is not None and holds(x)]
        found = {
            "spark": by_spark(spark, place, where),
            "duckdb": by_duckdb(connection, place, where),
            "query": by_query(place, where),
            "polars": by_polars(place, where),
        }
        assert {name: sorted(ids) for name, ids in found.items()} == dict.fromkeys(found, wanted), (
            where
        )
