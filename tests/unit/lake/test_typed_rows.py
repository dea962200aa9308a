"""Rows of files that were written at different times, as columns of one set of types."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from batchinfer.contracts import DataFile
from batchinfer.lake.staged_files import read_typed

from .delta_tables import make_table, stage


def test_columns_that_a_file_lacks_are_null_and_types_are_those_asked_for(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    parquet.write_table(
        pa.table({"name": ["old"], "k": pa.array([1], pa.int32())}), f"{uri}/before.parquet"
    )
    before = DataFile("before.parquet", 1, 1)
    staged = stage(uri, [2, 3], "s", ["a", "b"])
    types = {"k": pa.int64(), "at": pa.timestamp("us", tz="UTC"), "name": pa.string()}
    found = read_typed(uri, [before, *staged], types)
    assert found.schema == pa.schema(list(types.items()))
    assert found["k"].to_pylist() == [1, 2, 3]
    assert found["name"].to_pylist() == ["old", "a", "b"]
    assert [value.as_py() is None for value in found["at"]] == [True, False, False]
    nothing = read_typed(uri, [before], {"at": pa.int8()})
    assert nothing.to_pydict() == {"at": [None]}
    assert read_typed(uri, [before, *staged], {}).num_rows == 3
    with pytest.raises(pa.ArrowInvalid):
        read_typed(uri, staged, {"name": pa.int64()})
