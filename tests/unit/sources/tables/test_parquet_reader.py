"""Reading Parquet files: however they are cut, every row comes once, with its number."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parquet_files import column, files_in, parquet_source, read, write

from batchinfer.errors import InputError, InputMissing
from batchinfer.json_values import from_json, to_json
from batchinfer.sources.readers import read_splits
from batchinfer.sources.source_splits import ParquetSplit
from batchinfer.sources.tables.parquet_reader import plan_parquet_splits
from batchinfer.sources.tables.parquet_types import conform
from batchinfer.sources.text.byte_ranges import group_splits

NESTED = pa.struct(
    [
        ("t", pa.timestamp("ns", "UTC")),
        ("tags", pa.list_(pa.string())),
        ("of", pa.map_(pa.string(), pa.date32())),
    ]
)
ROW = st.fixed_dictionaries(
    {
        "id": st.none() | st.integers(-(2**63), 2**63 - 1),
        "name": st.none() | st.text(st.characters(codec="utf-8"), max_size=5),
        "kind": st.none() | st.sampled_from(["a", "b"]),
        "nested": st.none()
        | st.fixed_dictionaries(
            {
                "t": st.none() | st.integers(-(10**9), 10**9),
                "tags": st.none()
                | st.lists(
                    st.none() | st.text(st.characters(codec="utf-8"), max_size=3), max_size=3
                ),
                "of": st.none()
                | st.lists(
                    st.tuples(st.text(st.characters(codec="utf-8"), max_size=3), st.dates()),
                    max_size=2,
                ),
            }
        ),
    }
)
TYPES = pa.schema(
    [
        ("id", pa.int64()),
        ("name", pa.string()),
        ("kind", pa.dictionary(pa.int32(), pa.string())),
        ("nested", NESTED),
    ]
)


def as_landed(row: dict[str, Any]) -> dict[str, Any]:
    """The row as plain Python says it should land: nanoseconds floored."""
    nested = row["nested"]
    if nested is None or nested["t"] is None:
        return row
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(
        microseconds=nested["t"] // 1000
    )
    return {**row, "nested": {**nested, "t": moment}}


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(ROW, max_size=20),
    group_rows=st.integers(1, 8),
    target=st.integers(1, 2000),
    block=st.integers(1, 2000),
    page=st.sampled_from([64, 512, 2**20]),
)
def test_any_table_in_any_row_groups_splits_and_blocks_gives_its_rows_and_their_numbers(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    group_rows: int,
    target: int,
    block: int,
    page: int,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    write(
        folder / "a.parquet",
        pa.Table.from_pylist(rows, TYPES),
        row_group_size=group_rows,
        data_page_size=page,
    )
    found, bad = read(folder, target_bytes=target, block_bytes=block)
    found = found.drop_columns(["source_file"])
    expected = [{**as_landed(row), "source_line": number} for number, row in enumerate(rows, 1)]
    assert (found.to_pylist(), bad) == (expected, [])
    found.validate(full=True)


def test_a_large_file_is_cut_at_row_groups_and_small_ones_share_a_task(tmp_path: Path) -> None:
    write(
        tmp_path / "a.parquet",
        {"id": list(range(1000))},
        row_group_size=100,
        use_dictionary=False,
        compression="none",
    )
    source = parquet_source({"id": "bigint"})
    splits = plan_parquet_splits(files_in(tmp_path), source, {"id": pa.int64()}, target_bytes=2000)
    assert [(split.groups, split.line) for split in splits] == [
        ((0, 3), 1), ((3, 5), 301), ((5, 7), 501), ((7, 10), 701),
    ]  # fmt: skip
    assert splits == [from_json(ParquetSplit, to_json(split)) for split in splits]
    data = pq.read_metadata(tmp_path / "a.parquet")
    groups = [data.row_group(number).total_byte_size for number in range(10)]
    assert [split.bytes for split in splits] == [
        sum(groups[slice(*split.groups)]) for split in splits
    ]
    for number in range(500):
        write(tmp_path / f"small-{number}.parquet", {"id": [number]})
    many = plan_parquet_splits(files_in(tmp_path), source, {"id": pa.int64()})
    assert (len(many), len(group_splits(many, 2)) <= 8) == (501, True)


def test_rows_that_no_table_can_hold_are_put_aside_with_what_they_held(tmp_path: Path) -> None:
    text = pa.array([b"ok", b"\xff\xfe", b"fine", b"good"], pa.binary()).view(pa.string())
    times = pa.array([0, 0, 2**62, None], pa.int64()).cast(pa.timestamp("us"))
    days = pa.array([0, 0, 0, 2**30], pa.int32()).cast(pa.date32())
    write(tmp_path / "a.parquet", {"id": [1, 2, 3, 4], "name": text, "t": times, "day": days})
    rows, bad = read(tmp_path)
    assert (column(rows, "id"), column(rows, "source_line")) == ([1], [1])
    assert [(record.source_file, record.source_line, record.reason) for record in bad] == [
        ("a.parquet", 2, "not_utf8"), ("a.parquet", 3, "type"), ("a.parquet", 4, "type"),
    ]  # fmt: skip
    assert json.loads(bad[0].raw)["name"] == "\\xff\\xfe"
    assert str(2**62) in json.loads(bad[1].raw)["t"] and str(2**30) in json.loads(bad[2].raw)["day"]
    assert (
        bad[1].message == "column t: got a time outside the years 1 to 9999; allowed: these years"
    )


def test_bytes_inside_a_list_that_are_no_text_end_the_run_with_the_file_and_the_rows(
    tmp_path: Path,
) -> None:
    text = pa.array([b"ok", b"\xff"], pa.binary()).view(pa.string())
    write(
        tmp_path / "a.parquet",
        {"tags": pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), text)},
    )
    with pytest.raises(InputError, match=r"a\.parquet, rows 1 to 2: .*column 'tags'"):
        read(tmp_path)


@pytest.mark.parametrize("compression", ["zstd", "snappy", "none"])
def test_a_damaged_row_group_is_named(tmp_path: Path, compression: str) -> None:
    path = write(
        tmp_path / "a.parquet",
        {"id": list(range(5000)), "name": [f"name {n * 7919 % 5000}" for n in range(5000)]},
        row_group_size=1000,
        compression=compression,
        write_page_checksum=True,
    )
    place = pq.ParquetFile(path).metadata.row_group(3).column(1).data_page_offset
    data = bytearray(path.read_bytes())
    data[place + 300 : place + 340] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.parquet, row group 3, is damaged"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "error"), [("gone", InputMissing), ("longer", InputError), ("touched", InputError)]
)
def test_a_file_that_is_gone_or_changed_since_it_was_listed(
    tmp_path: Path, change: str, error: type[InputError]
) -> None:
    path = write(tmp_path / "a.parquet", {"id": [1]})
    source, fields = parquet_source({"id": "bigint"}), {"id": pa.int64()}
    [split] = plan_parquet_splits(files_in(tmp_path), source, fields)
    if change == "gone":
        path.unlink()
    elif change == "longer":
        write(path, {"id": list(range(10_000))})
    else:
        os.utime(path, ns=(0, split.file.mtime_ns + 1))
    with pytest.raises(
        error, match=r"a\.parquet (is gone since it was listed|changed while it was being read)"
    ):
        list(read_splits([split], source, fields))


def test_a_file_that_is_written_anew_while_it_is_read_or_just_before(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"id": list(range(1000))}, row_group_size=100)
    source, fields = parquet_source({"id": "bigint"}), {"id": pa.int64()}
    [split] = plan_parquet_splits(files_in(tmp_path), source, fields)
    blocks = read_splits([split], source, fields)
    next(blocks)
    other = write(tmp_path / "other", {"id": [1]})
    other.rename(path)
    for rest in (blocks, read_splits([split], source, fields)):
        with pytest.raises(InputError, match=r"a\.parquet changed while it was being read"):
            list(rest)


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (
            pa.array([[-1], None, [2, 3]], pa.list_(pa.timestamp("ns"))),
            pa.list_(pa.timestamp("us")),
        ),
        (
            pa.array([None, None, [("a", 1)]], pa.map_(pa.large_string(), pa.int64())),
            pa.map_(pa.string(), pa.int64()),
        ),
        (pa.array([{"a": ["x"]}, None, {"a": None}]), pa.struct([("a", pa.list_(pa.binary()))])),
    ],
)
def test_parts_of_nested_columns_keep_their_values(values: pa.Array, type_: pa.DataType) -> None:
    whole = conform(values, type_)
    assert whole.type == type_
    for start in range(3):
        assert conform(values[start:], type_).to_pylist() == whole[start:].to_pylist()


def test_a_file_that_goes_between_listing_and_its_footer(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"id": [1]})
    files = files_in(tmp_path)
    path.unlink()
    with pytest.raises(InputMissing, match=r"a\.parquet is gone since it was listed"):
        plan_parquet_splits(files, parquet_source({"id": "bigint"}), {"id": pa.int64()})


def test_blocks_stay_small_whatever_the_rows_weigh(tmp_path: Path) -> None:
    write(
        tmp_path / "a.parquet",
        {"content": [os.urandom(100_000) for _ in range(50)]},
        row_group_size=50,
    )
    source, fields = parquet_source({"content": "binary"}), {"content": pa.binary()}
    [split] = plan_parquet_splits(files_in(tmp_path), source, fields)
    sizes = [block.rows.nbytes for block in read_splits([split], source, fields, 300_000)]
    assert len(sizes) >= 15 and max(sizes) < 600_000


def test_twenty_thousand_columns(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {f"c{number}": [number] for number in range(20_000)})
    rows, _ = read(tmp_path)
    assert rows.num_columns == 20_002 and rows.column("c19999").to_pylist() == [19_999]
