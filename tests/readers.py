"""Reads a Delta table with the readers that analysts use, none of which needs a JVM."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from deltalake import DeltaTable


def read_four_ways(table: str, key: Sequence[str], column: str) -> dict[str, list[Any]]:
    """Values of a column in the order of the key, by the name of the reader."""
    rows = DeltaTable(table)
    return {
        "deltalake": rows.to_pyarrow_table()
        .sort_by([(name, "ascending") for name in key])
        .column(column)
        .to_pylist(),
        "pandas": rows.to_pandas().sort_values(list(key))[column].to_list(),
        "polars": pl.read_delta(table).sort(*key)[column].to_list(),
        "duckdb": [
            row[0]
            for row in duckdb_with_delta()
            .sql(f"select {column} from delta_scan('{table}') order by {', '.join(key)}")
            .fetchall()
        ],
    }


def duckdb_with_delta() -> duckdb.DuckDBPyConnection:
    """A connection with the Delta extension of the package beside it; `INSTALL delta` would need
    the internet.
    """
    spec = importlib.util.find_spec("duckdb_extension_delta")
    assert spec is not None and spec.origin is not None
    [extension] = Path(spec.origin).parent.rglob("delta.duckdb_extension")
    connection = duckdb.connect()
    connection.execute(f"load '{extension}'")
    return connection
