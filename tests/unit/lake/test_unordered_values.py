"""Columns with NaN and -0.0: found cheaply, and written without what readers take differently."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.lake.file_statistics import FileStatistics
from batchinfer.lake.staging import StagedWriter
from batchinfer.lake.unordered_values import has_unordered, unordered_columns

NAN = float("nan")


def is_unordered(value: float | None) -> bool:
    return value is not None and (
        math.isnan(value) or (value == 0 and math.copysign(1, value) == -1)
    )


@given(
    st.lists(st.none() | st.floats(width=32) | st.sampled_from([0.0, -0.0, NAN])),
    st.sampled_from([pa.float32(), pa.float64()]),
    st.integers(0, 3),
)
def test_a_value_without_a_place_is_found_wherever_it_stands(
    values: list[float | None], type_: pa.DataType, start: int
) -> None:
    found = has_unordered(pa.array(values, type_).slice(start))
    assert found == any(map(is_unordered, values[start:]))


def test_what_lies_below_a_null_is_no_value() -> None:
    bits = pa.py_buffer(bytes([0b10]))
    numbers = pa.array([NAN, 1.0])
    values = pa.Array.from_buffers(pa.float64(), 2, [bits, numbers.buffers()[1]])
    assert values.to_pylist() == [None, 1.0]
    assert not has_unordered(values)


def test_columns_inside_of_structs_are_found_by_their_paths() -> None:
    rows = pa.table(
        {
            "a": [1.0, 2.0],
            "b": [NAN, 1.0],
            "s": pa.array([{"x": -0.0, "y": {"z": 1.0}}, {"x": 1.0, "y": {"z": NAN}}]),
            "list": [[NAN], [1.0]],
            "text": ["a", "b"],
        }
    )
    assert unordered_columns(rows) == {"b", "s.x", "s.y.z"}
    assert unordered_columns(rows, {"b", "s.x"}) == {"s.y.z"}


SCHEMA = pa.schema([("x", pa.float64()), ("y", pa.float64())])


def test_files_have_no_dictionary_and_no_bounds_of_such_columns(tmp_path: Path) -> None:
    with StagedWriter(str(tmp_path), SCHEMA, [], ["x", "y"], row_group_rows=2) as writer:
        for x in ([1.0, 1.0], [1.0, NAN], [1.0, 1.0]):
            writer.write(pa.record_batch([x, [1.0, 1.0]], schema=SCHEMA), {})
        staged = writer.close()
    assert [file.rows for file in staged] == [2, 4]
    told = {}
    for number, file in enumerate(staged):
        with pq.ParquetFile(tmp_path / file.path) as parquet:
            assert parquet.read().num_rows == file.rows
            for group in range(parquet.metadata.num_row_groups):
                chunks = [parquet.metadata.row_group(group).column(place) for place in (0, 1)]
                told[number, group] = [
                    (chunk.has_dictionary_page, chunk.is_stats_set) for chunk in chunks
                ]
    plain, bare = (True, True), (False, False)
    assert told == {
        (0, 0): [plain, plain],
        (1, 0): [bare, plain],
        (1, 1): [bare, plain],
    }


@pytest.mark.parametrize("values", [[-0.0, -0.0], [0.0, 0.0], [0.0, -0.0]])
def test_bounds_of_zero_hold_both_zeros(values: list[float]) -> None:
    statistics = FileStatistics.of(SCHEMA, ["x"])
    statistics.add(pa.table({"x": values}))
    assert '"minValues": {"x": -0.0}, "maxValues": {"x": 0.0}' in statistics.to_json()
