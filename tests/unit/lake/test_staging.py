"""Staged files: what is written, where, and with which statistics."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchinfer.errors import InputError, StorageError
from batchinfer.lake import staging
from batchinfer.lake.delta_types import delta_schema
from batchinfer.lake.file_statistics import (
    FileStatistics,
    format_timestamp,
    truncate_max,
    truncate_min,
)
from batchinfer.lake.staged_files import remove_staged
from batchinfer.lake.staging import StagedWriter
from batchinfer.lake.table_places import encode_name

SCHEMA = pa.schema(
    [("name", pa.string()), ("line", pa.int64()), ("slice", pa.string()), ("score", pa.float64())]
)


def batch(names: list[str | None], lines: list[int]) -> pa.RecordBatch:
    return pa.record_batch(
        [pa.array(names, pa.string()), pa.array(lines, pa.int64()), pa.array([0.5] * len(lines))],
        names=["name", "line", "score"],
    )


def write(
    table: Path, *batches: pa.RecordBatch, slice_: str | None = "s", **options: Any
) -> list[Any]:
    writer = StagedWriter(str(table), SCHEMA, ["slice"], ["name", "line"], **options)
    for each in batches:
        writer.write(each, {"slice": slice_})
    return writer.close()


def test_file_is_plain_parquet_without_the_partition_column(tmp_path: Path) -> None:
    [staged] = write(tmp_path, batch(["b", "a"], [1, 2]))
    rows = pq.read_table(tmp_path / staged.path, partitioning=None)
    assert rows.to_pydict() == {"name": ["b", "a"], "line": [1, 2], "score": [0.5, 0.5]}
    assert staged.rows == 2 and staged.size == (tmp_path / staged.path).stat().st_size
    assert json.loads(staged.stats) == {
        "numRecords": 2,
        "minValues": {"name": "a", "line": 1},
        "maxValues": {"name": "b", "line": 2},
        "nullCount": {"name": 0, "line": 0},
    }


@pytest.mark.parametrize(
    "slice_",
    ["2015-05-18", "a b", "a/b", "50%", "ü", "..", ".", "x=y", "../../etc", "é" * 40, None],
)
def test_folder_of_any_slice_stays_inside_the_table(tmp_path: Path, slice_: str | None) -> None:
    table = tmp_path / "table"
    [staged] = write(table, batch(["a"], [1]), slice_=slice_)
    parts = staged.path.split("/")
    assert len(parts) == 2 and parts[0].startswith("slice=") and len(parts[0]) < 255
    assert (table / staged.path).resolve().is_relative_to(table.resolve())
    assert staged.partition == {"slice": slice_}


def test_slice_too_long_for_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1506 bytes"):
        write(tmp_path, batch(["a"], [1]), slice_="é" * 250)


@given(st.text(max_size=400), st.text(max_size=400))
@example("..", ".")
@example("é" * 300, "é" * 301)
def test_names_are_safe_and_told_apart(one: str, other: str) -> None:
    try:
        one.encode(), other.encode()
    except UnicodeEncodeError:
        return
    name = encode_name(one)
    assert "/" not in name and name not in (".", "..") and len(name) <= 160
    assert (encode_name(one) == encode_name(other)) == (one == other)


def test_many_small_batches_wait_as_few_pieces(tmp_path: Path) -> None:
    """Thousands of small pieces between the large ones that models allocate break up the heap:
    gigabytes for nothing.
    """
    schema = pa.schema([("x", pa.int64()), ("name", pa.string())])
    writer = StagedWriter(str(tmp_path), schema, (), (), sort_by=["x"])
    for start in range(0, 5000, 5):
        names = pa.array([str(start % 3)] * 5).dictionary_encode()
        writer.write(pa.record_batch({"x": range(start, start + 5), "name": names}), {})
    (held,) = writer._partitions.values()
    assert len(held.waiting) < 1000 / 16 + 16
    assert all(column.num_chunks == 1 for table in held.waiting for column in table.columns)
    (staged,) = writer.close()
    found = pq.read_table(tmp_path / staged.path)
    assert found.column("x").to_pylist() == list(range(5000))
    assert found.column("name").cast(pa.string()).to_pylist() == [
        str(x // 5 * 5 % 3) for x in range(5000)
    ]


def test_constants_cost_nearly_nothing_and_read_back_plain(tmp_path: Path) -> None:
    schema = pa.schema(
        [
            ("line", pa.int64()),
            ("digest", pa.string()),
            ("version", pa.int64()),
            ("at", pa.timestamp("us", tz="UTC")),
        ]
    )
    writer = StagedWriter(str(tmp_path), schema, [], ["line"])
    lines = pa.record_batch([pa.array(range(100_000), pa.int64())], names=["line"])
    writer.write(
        lines,
        {},
        constants={"digest": "d" * 64, "version": pa.scalar(3, pa.int64()), "at": 1_000_001},
    )
    [staged] = writer.close()
    file = pq.ParquetFile(tmp_path / staged.path)
    assert file.schema_arrow.field("digest").type == pa.string()
    sizes = {
        file.metadata.row_group(0).column(i).path_in_schema: file.metadata.row_group(0)
        .column(i)
        .total_compressed_size
        for i in range(4)
    }
    assert max(sizes["digest"], sizes["version"], sizes["at"]) < 3_000 < sizes["line"]
    last = file.read().slice(99_999).to_pylist()[0]
    assert last["digest"] == "d" * 64 and last["version"] == 3
    assert last["at"] == datetime.datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=datetime.timezone.utc)


def test_constants_may_change_from_batch_to_batch(tmp_path: Path) -> None:
    writer = StagedWriter(
        str(tmp_path), pa.schema([("line", pa.int64()), ("name", pa.string())]), [], ["name"]
    )
    told = ["x", "x", "y", None, None, "x"]
    for number, name in enumerate(told, start=1):
        writer.write(
            pa.record_batch([pa.array([number] * number, pa.int64())], names=["line"]),
            {},
            {"name": name},
        )
    [staged] = writer.close()
    rows = pq.read_table(tmp_path / staged.path).to_pylist()
    assert rows == [
        {"line": n, "name": name} for n, name in enumerate(told, start=1) for _ in range(n)
    ]


def test_rows_of_nothing_but_constants_are_counted(tmp_path: Path) -> None:
    writer = StagedWriter(str(tmp_path), pa.schema([("name", pa.string())]), [], ["name"])
    for name in ("x", "y"):
        writer.write(
            pa.RecordBatch.from_struct_array(pa.array([{}] * 3, pa.struct([]))), {}, {"name": name}
        )
    [staged] = writer.close()
    assert pq.read_table(tmp_path / staged.path)["name"].to_pylist() == ["x"] * 3 + ["y"] * 3


def test_columns_without_repeats_have_no_dictionary_and_nested_ones_keep_theirs(
    tmp_path: Path,
) -> None:
    nested = {
        "items": pa.list_(pa.string()),
        "place": pa.struct([("city", pa.string()), ("tags", pa.list_(pa.string()))]),
        "sizes": pa.map_(pa.string(), pa.int64()),
    }
    schema = pa.schema(
        [
            ("key", pa.int64()),
            ("word", pa.string()),
            ("scores", pa.list_(pa.float64())),
            *nested.items(),
        ]
    )
    rows = pa.RecordBatch.from_pylist(
        [
            {"key": n, "word": "w", "scores": [n / 7, n / 11], "items": ["a", "b"],
            "place": {"city": "c", "tags": ["t"]},
             "sizes": [("s", 1)]}
            for n in range(1000)
        ],
        schema,
    )  # fmt: skip
    with StagedWriter(
        str(tmp_path), schema, (), ["key"], ["key"], distinct=["key", "scores"]
    ) as writer:
        writer.write(rows, {})
        [staged] = writer.close()
    file = pq.ParquetFile(tmp_path / staged.path)
    group = file.metadata.row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    plain = {column.path_in_schema for column in columns if not column.has_dictionary_page}
    assert plain == {"key", "scores.list.element"}
    assert file.read().to_pylist() == rows.to_pylist()


def test_constants_and_columns_may_take_turns(tmp_path: Path) -> None:
    writer = StagedWriter(
        str(tmp_path), pa.schema([("line", pa.int64()), ("name", pa.string())]), [], ["name"]
    )
    lines = pa.record_batch([pa.array([1, 2], pa.int64())], names=["line"])
    writer.write(lines, {}, {"name": "x"})
    writer.write(
        pa.record_batch([pa.array([3], pa.int64()), pa.array(["y"])], names=["line", "name"]), {}
    )
    writer.write(lines, {}, {"name": None})
    [staged] = writer.close()
    assert pq.read_table(tmp_path / staged.path)["name"].to_pylist() == ["x", "x", "y", None, None]
    assert json.loads(staged.stats)["nullCount"] == {"name": 2}


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), max_size=60),
    per_file=st.integers(1, 20),
    sort=st.booleans(),
)
def test_every_row_is_written_once_in_files_of_the_size_asked(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]], per_file: int, sort: bool
) -> None:
    table = tmp_path_factory.mktemp("table")
    batches = [
        batch([name for name, _ in rows[at : at + 7]], [line for _, line in rows[at : at + 7]])
        for at in range(0, len(rows), 7)
    ]
    files = write(
        table,
        *batches,
        rows_per_file=per_file,
        row_group_rows=4,
        sort_by=["name", "line"] if sort else [],
    )
    read = [pq.read_table(table / file.path, partitioning=None) for file in files]
    pairs = [
        list(zip(each["name"].to_pylist(), each["line"].to_pylist(), strict=True)) for each in read
    ]
    assert sorted(pair for each in pairs for pair in each) == sorted(rows)
    assert all(len(each) == file.rows <= per_file for each, file in zip(pairs, files, strict=True))
    assert len(files) == -(-len(rows) // per_file)
    if sort:
        assert all(each == sorted(each) for each in pairs)


def test_many_partitions_stay_within_open_files_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MAX_OPEN_FILES", 3)
    monkeypatch.setattr(staging, "MAX_BUFFER_BYTES", 200)
    writer = StagedWriter(str(tmp_path), SCHEMA, ["slice"], ["line"])
    for turn in range(3):
        for slice_ in range(8):
            writer.write(batch(["n"], [turn]), {"slice": str(slice_)})
            assert sum(held.file is not None for held in writer._partitions.values()) <= 3
    files = writer.close()
    assert sum(file.rows for file in files) == 24
    assert {file.partition["slice"] for file in files} == {str(slice_) for slice_ in range(8)}


def test_abort_and_remove_leave_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        StagedWriter(
            str(tmp_path), SCHEMA, ["slice"], [], rows_per_file=1, row_group_rows=1
        ) as writer,
    ):
        writer.write(batch(["a", "b"], [1, 2]), {"slice": "s"})
        raise RuntimeError
    files = write(tmp_path, batch(["a"], [1]))
    assert remove_staged(str(tmp_path), files) == 1
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("rows", "partition", "said"),
    [
        (pa.record_batch([pa.array(["a"])], names=["name"]), {"slice": "s"}, "missing"),
        (batch(["a"], [1]), {"day": "s"}, "partition values"),
        (batch(["a"], [1]), {"slice": ""}, "empty text"),
        (batch(["a"], [1]).set_column(1, "line", pa.array(["x"])), {"slice": "s"}, "column line"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    tmp_path: Path, rows: pa.RecordBatch, partition: dict[str, str], said: str
) -> None:
    writer = StagedWriter(str(tmp_path), SCHEMA, ["slice"], [])
    with pytest.raises(InputError, match=said):
        writer.write(rows, partition)


def test_a_file_where_the_folder_should_be_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("")
    with pytest.raises(StorageError, match="table"):
        write(tmp_path / "table", batch(["a"], [1]))


def test_types_become_those_of_delta() -> None:
    schema = pa.schema(
        [
            pa.field("d", pa.dictionary(pa.int8(), pa.large_string()), metadata={"comment": "c"}),
            ("b", pa.binary(16)),
            ("l", pa.large_list(pa.float16())),
            ("t", pa.timestamp("ns", tz="Europe/Paris")),
            ("u", pa.uint8()),
        ]
    )
    stored = delta_schema(schema)
    assert [str(type_) for type_ in stored.types] == [
        "string",
        "binary",
        "list<element: float>",
        "timestamp[us, tz=UTC]",
        "int16",
    ]
    assert stored.field("d").metadata == {b"comment": b"c"}
    with pytest.raises(InputError) as caught:
        delta_schema(
            pa.schema([("bad name", pa.int64()), ("t", pa.time64("us")), ("u", pa.uint64())])
        )
    assert len(caught.value.problems) == 3


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
    | st.text("a\U0010ffff", min_size=30, max_size=80)
)
def test_truncated_bounds_hold_the_value(value: str) -> None:
    assert truncate_min(value).encode() <= value.encode() <= truncate_max(value).encode()
    assert len(truncate_min(value)) <= 32


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_998_000))
def test_timestamp_bounds_hold_the_value(micros: int) -> None:
    moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(
        microseconds=micros
    )
    low, high = format_timestamp(micros, True, False), format_timestamp(micros, True, True)
    assert low is not None and high is not None and low.endswith("Z")
    low_at, high_at = (
        datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (low, high)
    )
    assert low_at <= moment <= high_at and high_at - low_at <= datetime.timedelta(milliseconds=1)


def stats_of(*values: pa.Array) -> dict[str, Any]:
    schema = pa.schema([("x", values[0].type)])
    statistics = FileStatistics.of(schema, ["x"])
    for each in values:
        statistics.add(pa.table([each], names=["x"]))
    return json.loads(statistics.to_json())


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1.0, float("nan")]),
        pa.array([1.0, float("inf")]),
        pa.array([b"a"]),
        pa.array([True]),
        pa.array([Decimal("1.5")]),
    ],
)
def test_values_without_an_order_have_no_bounds(values: pa.Array) -> None:
    stats = stats_of(values, values[:1])
    assert (
        stats["minValues"] == stats["maxValues"] == {}
        and stats["nullCount"] == {"x": 0}
        and stats["numRecords"] == len(values) + 1
    )


def test_bounds_span_row_groups_and_skip_nulls() -> None:
    stats = stats_of(
        pa.array([None, 5], pa.int64()), pa.array([None, None], pa.int64()), pa.array([-3, 2])
    )
    assert (stats["minValues"], stats["maxValues"], stats["nullCount"]) == (
        {"x": -3},
        {"x": 5},
        {"x": 3},
    )
    day = stats_of(pa.array([datetime.date(2015, 5, 18)]))
    assert day["minValues"] == {"x": "2015-05-18"}
