"""Parquet files against the columns of a pipeline: what differs is told for every file, before a
row is read.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from parquet_files import column, files_in, parquet_source, read, write

from batchinfer.errors import InputError
from batchinfer.sources.readers import read_fields

UTC = dt.timezone.utc


def refused(folder: Path, **more: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, **more)
    return "\n".join(caught.value.problems)


def test_every_file_that_differs_is_told_with_column_got_and_allowed(tmp_path: Path) -> None:
    good = {"id": pa.array([1], pa.int32()), "size": [0.5], "name": ["x"]}
    write(tmp_path / "a.parquet", good)
    write(tmp_path / "narrow.parquet", good | {"id": pa.array([1], pa.int16())})
    write(tmp_path / "renamed.parquet", {"id": good["id"], "sise": [0.5], "name": ["x"]})
    write(
        tmp_path / "retyped.parquet",
        good | {"name": [1], "size": pa.array([Decimal("1.50")], pa.decimal128(5, 2))},
    )
    problems = refused(tmp_path, schema={"id": "int", "size": "double", "name": "string"}).split(
        "\n"
    )
    assert [
        problem.split(": its columns do not fit source.schema: ")[1] for problem in problems
    ] == [
        "'id' is smallint; allowed: int",
        "missing: 'size' (double); not expected: 'sise' (double) (did you mean size?)",
        "'size' is decimal(5,2); allowed: double; 'name' is bigint; allowed: string",
    ]
    assert [problem.split(":")[0].rpartition("/")[2] for problem in problems] == [
        "narrow.parquet", "renamed.parquet", "retyped.parquet",
    ]  # fmt: skip


def test_without_a_schema_the_columns_are_those_of_the_first_file_and_later_those_that_landed(
    tmp_path: Path,
) -> None:
    write(tmp_path / "a.parquet", {"id": [1]})
    write(tmp_path / "b.parquet", {"id": [2], "more": [1]})
    assert (
        "b.parquet: its columns do not fit what has landed, or stands in the first file: not "
        "expected: 'more'" in refused(tmp_path)
    )
    landed = {"id": pa.int64(), "more": pa.int64()}
    found = refused(tmp_path, landed=landed, columns={"missing": "fail"})
    assert (
        "a.parquet: " in found and "missing: 'more' (bigint)" in found and "b.parquet" not in found
    )


def test_columns_may_stand_in_any_order_and_are_read_by_name(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"id": [1], "name": ["x"]})
    write(tmp_path / "b.parquet", {"name": ["y"], "id": [2]})
    rows, _ = read(tmp_path)
    assert rows.column_names == ["id", "name", "source_file", "source_line"]
    assert (column(rows, "id"), column(rows, "name")) == ([1, 2], ["x", "y"])


def test_decimals_are_exact(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"v": pa.array([Decimal("1.50")], pa.decimal128(5, 2))})
    assert "'v' is decimal(5,2); allowed: decimal(6,2)" in refused(
        tmp_path, schema={"v": "decimal(6,2)"}
    )
    assert column(read(tmp_path, schema={"v": "decimal(5,2)"})[0], "v") == [Decimal("1.50")]


ENCODED = {
    "large": (pa.array(["x"], pa.large_string()), "string", "x"),
    "view": (pa.array(["x"], pa.string_view()), "string", "x"),
    "category": (pa.array(["x"]).dictionary_encode(), "string", "x"),
    "fixed": (pa.array([b"xy"], pa.binary(2)), "binary", b"xy"),
    "uuid": (pa.array([b"0123456789abcdef"], pa.uuid()), "binary", b"0123456789abcdef"),
    "day": (pa.array([86_400_000], pa.date64()), "date", dt.date(1970, 1, 2)),
    "money": (pa.array([Decimal("1.50")], pa.decimal32(5, 2)), "decimal(5,2)", Decimal("1.50")),
    "paris": (
        pa.array([0], pa.timestamp("ms", "Europe/Paris")),
        "timestamp",
        dt.datetime(1970, 1, 1, tzinfo=UTC),
    ),
    "naive": (
        pa.array([-1], pa.timestamp("ns")),
        "timestamp_ntz",
        dt.datetime(1969, 12, 31, 23, 59, 59, 999_999),
    ),
    "list": (pa.array([["x"]], pa.large_list(pa.large_string())), "array<string>", ["x"]),
    "pair": (pa.array([[1, 2]], pa.list_(pa.int32(), 2)), "array<int>", [1, 2]),
    "map": (
        pa.array([[("a", 1)]], pa.map_(pa.large_string(), pa.int64())),
        "map<string,bigint>",
        [("a", 1)],
    ),
    "struct": (
        pa.array(
            [{"t": -1, "of": ["x"]}],
            pa.struct([("t", pa.timestamp("ns")), ("of", pa.list_(pa.string_view()))]),
        ),
        "struct<t: timestamp_ntz, of: array<string>>",
        {"t": dt.datetime(1969, 12, 31, 23, 59, 59, 999_999), "of": ["x"]},
    ),
}


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("name", ENCODED)
def test_what_is_only_encoding_falls_away(tmp_path: Path, name: str, declared: bool) -> None:
    values, type_, expected = ENCODED[name]
    write(tmp_path / "a.parquet", {name: values})
    rows, bad = read(tmp_path, schema={name: type_} if declared else None)
    assert (column(rows, name), bad) == ([expected], [])


@pytest.mark.parametrize("nested", [False, True])
def test_times_without_a_zone_are_utc_where_the_schema_says_timestamp(
    tmp_path: Path, nested: bool
) -> None:
    values = (
        pa.array([[1], None], pa.list_(pa.timestamp("us")))
        if nested
        else pa.array([1, None], pa.timestamp("us"))
    )
    write(tmp_path / "a.parquet", {"t": values})
    rows, _ = read(tmp_path, schema={"t": "array<timestamp>" if nested else "timestamp"})
    first = dt.datetime(1970, 1, 1, 0, 0, 0, 1, UTC)
    assert column(rows, "t") == ([[first], None] if nested else [first, None])
    write(tmp_path / "a.parquet", {"t": pa.array([1], pa.timestamp("us", "UTC"))})
    assert "'t' is timestamp; allowed: timestamp_ntz" in refused(
        tmp_path, schema={"t": "timestamp_ntz"}
    )


def test_int96_is_utc_unless_the_schema_says_otherwise_and_holds_all_years(tmp_path: Path) -> None:
    times = [dt.datetime(1, 1, 2), dt.datetime(1500, 6, 1, 1, 2, 3, 4), dt.datetime(9999, 12, 30)]
    write(
        tmp_path / "a.parquet",
        {"a.b": pa.array(times, pa.timestamp("us"))},
        use_deprecated_int96_timestamps=True,
    )
    assert column(read(tmp_path)[0], "a.b") == [time.replace(tzinfo=UTC) for time in times]
    assert column(read(tmp_path, schema={"a.b": "timestamp"})[0], "a.b") == [
        time.replace(tzinfo=UTC) for time in times
    ]
    assert column(read(tmp_path, schema={"a.b": "timestamp_ntz"})[0], "a.b") == times


@pytest.mark.parametrize(
    "type_",
    [
        pa.uint64(),
        pa.float16(),
        pa.time64("us"),
        pa.duration("s"),
        pa.list_(pa.uint64()),
        pa.decimal256(50, 2),
    ],
)
def test_types_that_no_table_can_hold_are_told_with_what_is_allowed(
    tmp_path: Path, type_: pa.DataType
) -> None:
    write(tmp_path / "a.parquet", {"id": [1], "v": pa.nulls(1, type_)})
    found = refused(tmp_path)
    assert (
        "a.parquet: column 'v' is " in found
        and "which Delta cannot hold; allowed: tinyint, smallint" in found
    )
    assert "'v' is " in refused(tmp_path, schema={"id": "bigint", "v": "bigint"})


@pytest.mark.parametrize(
    ("type_", "wider", "greatest"),
    [
        (pa.uint8(), "smallint", 255),
        (pa.uint16(), "int", 65_535),
        (pa.uint32(), "bigint", 2**32 - 1),
    ],
)
def test_unsigned_numbers_land_as_the_wider_signed_ones(
    tmp_path: Path, type_: pa.DataType, wider: str, greatest: int
) -> None:
    values = pa.array([greatest, 0, None], type_)
    columns = {
        "v": values,
        "d": values.dictionary_encode(),
        "l": pa.array([[greatest], None, []], pa.list_(type_)),
        "s": pa.array([{"x": greatest}, None, {"x": 0}], pa.struct([("x", type_)])),
    }
    write(tmp_path / "a.parquet", columns)
    declared = {"v": wider, "d": wider, "l": f"array<{wider}>", "s": f"struct<x: {wider}>"}
    for schema in (None, declared):
        rows = read(tmp_path, **({"schema": schema} if schema else {}))[0]
        assert {name: column(rows, name) for name in columns} == {
            name: values.to_pylist() for name, values in columns.items()
        }
    narrow = refused(tmp_path, schema=declared | {"v": "tinyint"})
    assert f"'v' is {wider}; allowed: tinyint" in narrow


def test_a_column_of_nulls_has_the_type_that_it_has_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"id": [1], "v": pa.nulls(1)})
    assert (
        "column 'v' is null, without a value in any file; allowed: its type in source.schema"
        in refused(tmp_path)
    )
    write(tmp_path / "b.parquet", {"id": [2], "v": [0.5]})
    assert column(read(tmp_path)[0], "v") == [None, 0.5]


def test_the_target_may_be_absent_in_some_files_whichever_comes_first(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"id": [1]})
    write(tmp_path / "b.parquet", {"id": [2], "target": ["yes"]})
    assert column(read(tmp_path, optional="target")[0], "target") == [None, "yes"]
    assert column(
        read(tmp_path, schema={"id": "bigint", "target": "string"}, optional="target")[0], "target"
    ) == [None, "yes"]
    strict = {"schema": {"id": "bigint", "target": "string"}, "columns": {"missing": "fail"}}
    assert "missing: 'target'" in refused(tmp_path, **strict)
    assert column(read(tmp_path, **strict, optional="target")[0], "target") == [None, "yes"]


@pytest.mark.parametrize(
    ("names", "fact"),
    [
        (("Size", "size"), "'size', which differs from 'Size' in case only"),
        (("id", "Slice"), "'Slice', a name that every landed table has (its own slice)"),
        (("source_line", "id"), "'source_line', a name"),
    ],
)
def test_names_that_are_taken_or_differ_in_case_only(
    tmp_path: Path, names: tuple[str, str], fact: str
) -> None:
    write(tmp_path / "a.parquet", {name: [1] for name in names})
    assert fact in refused(tmp_path)


def test_names_that_delta_refuses_also_inside_structs(tmp_path: Path) -> None:
    write(
        tmp_path / "a.parquet",
        {"id no": [1], "s": pa.array([[{"a,b": 1, "ok": 2}]]), "m": pa.array([1])},
    )
    problems = refused(tmp_path).split("\n")
    assert [problem.partition("a.parquet: ")[2].partition(";")[0] for problem in problems] == [
        "got the name 'id no'", "got the name 'a,b'",
    ]  # fmt: skip


def test_a_name_that_stands_twice_in_a_file(tmp_path: Path) -> None:
    write(
        tmp_path / "a.parquet",
        pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id"]),
    )
    assert "twice: 'id'" in refused(tmp_path)
    assert "twice: 'id'" in refused(tmp_path, schema={"id": "bigint"})


def test_names_of_folders_are_columns_typed_by_the_schema_or_by_all_values(tmp_path: Path) -> None:
    write(tmp_path / "day=1/code=7/a.parquet", {"id": [1]})
    write(tmp_path / "day=2/code=x/a.parquet", {"id": [2]})
    write(tmp_path / "day=__HIVE_DEFAULT_PARTITION__/code=8/a.parquet", {"id": [3]})
    rows, _ = read(tmp_path)
    by_id = {row["id"]: (row["day"], row["code"]) for row in rows.to_pylist()}
    assert by_id == {1: (1, "7"), 2: (2, "x"), 3: (None, "8")}
    rows, _ = read(tmp_path, schema={"day": "string", "id": "bigint", "code": "string"})
    assert {row["id"]: row["day"] for row in rows.to_pylist()} == {1: "1", 2: "2", 3: None}
    assert "'code': got 'x' in the name of a folder; allowed: int" in refused(
        tmp_path, schema={"day": "int", "id": "bigint", "code": "int"}
    )
    assert "not expected: 'code' (a folder)" in refused(
        tmp_path, schema={"day": "int", "id": "bigint"}
    )


def test_a_folder_whose_text_a_number_would_change_is_text_or_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "zip=02139/a.parquet", {"id": [1]})
    write(tmp_path / "zip=10001/a.parquet", {"id": [2]})
    assert sorted(column(read(tmp_path)[0], "zip")) == ["02139", "10001"]
    # What has landed as a number before stays one: another text is refused, never changed.
    landed = {"id": pa.int64(), "zip": pa.int64()}
    said = refused(tmp_path, landed=landed)
    assert "zip=02139/a.parquet: the folder says zip=02139, and 'zip' has landed as bigint" in said
    assert "10001" not in said
    # Where the file itself holds the column, that is the value; and a declared number is one.
    write(tmp_path / "zip=02139/a.parquet", {"id": [1], "zip": [2139]})
    assert sorted(column(read(tmp_path, landed=landed)[0], "zip")) == [2139, 10001]
    declared = read(tmp_path, schema={"id": "bigint", "zip": "bigint"})[0]
    assert sorted(column(declared, "zip")) == [2139, 10001]


def test_a_column_that_stands_in_the_file_too_must_agree_with_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "year=2026/a.parquet", {"id": [1, 2], "year": [2026, 2026]})
    assert column(read(tmp_path)[0], "year") == [2026, 2026]
    write(tmp_path / "year=2027/a.parquet", {"id": [1, 2, 3], "year": pa.array([2027, None, 2026])})
    found = refused(tmp_path, block_bytes=1)
    assert "year=2027/a.parquet, row 2: column 'year' is None, but the folder says 2027" in found


def test_files_without_bytes_or_rows_stand_among_full_ones(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").touch()
    write(tmp_path / "b.parquet", {"id": pa.array([], pa.int64())})
    write(tmp_path / "c.parquet", {"id": [1]})
    assert column(read(tmp_path)[0], "id") == [1]
    for name in ("b", "c"):
        (tmp_path / f"{name}.parquet").unlink()
    assert "only files of no bytes" in refused(tmp_path)
    assert read(tmp_path, schema={"id": "bigint"})[0].num_rows == 0


def test_every_file_that_is_no_parquet_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"id": [1]})
    whole = write(tmp_path / "b.parquet", {"id": list(range(1000))}).read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:-20])
    (tmp_path / "c.csv").write_text("id\n1\n")
    for schema in ({"id": "bigint"}, None):
        problems = refused(tmp_path, schema=schema).split("\n")
        assert [Path(problem.split(" ")[0]).name for problem in problems] == ["b.parquet", "c.csv"]
        assert all("is no Parquet file, or is cut short" in problem for problem in problems)


def test_hundreds_of_files_that_differ_are_counted_not_listed(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path / f"{number:02}.parquet", {"id": ["x"]})
    problems = refused(tmp_path, schema={"id": "int"}).split("\n")
    assert (len(problems), problems[-1]) == (21, "10 more files do not fit either")


def test_declared_columns_need_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"damaged")
    assert read_fields(parquet_source({"id": "int"}), files_in(tmp_path)) == {"id": pa.int32()}


def test_columns_that_have_another_name_in_the_file(tmp_path: Path) -> None:
    write(tmp_path / "Zip Code=00501/a.parquet", {"Order ID": [1, 2], "a.b": ["x", "y"]})
    schema: Any = {
        "id": {"type": "bigint", "column": "Order ID"},
        "ab": {"type": "string", "column": "a.b"},
        "zip": {"type": "string", "column": "Zip Code"},
    }
    rows, _ = read(tmp_path, schema=schema)
    assert [(row["id"], row["ab"], row["zip"]) for row in rows.to_pylist()] == [
        (1, "x", "00501"),
        (2, "y", "00501"),
    ]
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert "order_id: {type: bigint, column: 'Order ID'}" in str(caught.value.hint)


def test_missing_and_new_columns(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"id": [1], "size": [0.5]})
    write(tmp_path / "b.parquet", {"id": [2], "color": ["red"], "bad": ["x"]})
    assert "not expected: 'color' (string), 'bad' (string)" in refused(tmp_path)
    schema = {"id": "bigint", "size": "double"}
    rows, _ = read(tmp_path, schema=schema, columns={"new": "ignore"})
    assert rows.select(["id", "size"]).to_pylist() == [
        {"id": 1, "size": 0.5},
        {"id": 2, "size": None},
    ]
    said = refused(tmp_path, schema=schema, columns={"new": "ignore", "missing": "fail"})
    assert "b.parquet" in said and "missing: 'size' (double)" in said
    write(tmp_path / "b.parquet", {"id": [2], "Size": [0.5]})
    assert "missing: 'size' (double); not expected: 'Size'" in refused(
        tmp_path, schema=schema, columns={"new": "ignore"}
    )
    rows, _ = read(tmp_path, schema=schema, columns={"new": "ignore", "missing": "warn"})
    assert column(rows, "size") == [0.5, None]
