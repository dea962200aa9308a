"""A flipped bit of a table's file is told, or does no harm; files without checksums read as
before.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import LocalFileSystem

from batchinfer.checked_parquet import CheckedParquetFile, check_footers, damage, look_at
from batchinfer.contracts import KEY_PROPERTY
from batchinfer.errors import DamagedFile, StorageError
from batchinfer.inference.split_reading import read_split, whole_file
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.delta import commit
from batchinfer.lake.snapshots import open_table
from batchinfer.lake.staging import StagedWriter
from batchinfer.lake.table_places import reading_faults
from batchinfer.lake.table_rows import read_table_rows
from batchinfer.lookups import keyed_snapshots
from batchinfer.lookups.tables import lookup_rows

SCHEMA = pa.schema(
    [
        ("order", pa.int64()),
        ("weight", pa.float64()),
        ("colour", pa.string()),
        ("is_new", pa.bool_()),
        ("stars", pa.int32()),
        ("words", pa.list_(pa.string())),
        ("slice", pa.string()),
    ]
)
ROWS = 3_000
FILES = LocalFileSystem()


def rows() -> pa.RecordBatch:
    numbers = random.Random(7)
    columns: list[Any] = [
        list(range(ROWS)),
        [numbers.gauss(0, 1) for _ in range(ROWS)],
        [f"colour {number % 50}" for number in range(ROWS)],
        [numbers.random() < 0.5 for _ in range(ROWS)],
        [None if number % 7 == 0 else number % 5 for number in range(ROWS)],
        [["a"] * (number % 4) for number in range(ROWS)],
    ]
    fields = [field for field in SCHEMA if field.name != "slice"]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, fields, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=[field.name for field in fields])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of a table of one slice, with row groups of 1,024 rows."""
    uri = str(tmp_path / "table")
    ensure_table(uri, SCHEMA, ["slice"], configuration={KEY_PROPERTY: "order"})
    writer = StagedWriter(
        uri, SCHEMA, ["slice"], ["order"], distinct=["weight"], row_group_rows=1_024
    )
    writer.write(rows(), {"slice": "2026-11-01"})
    commit(uri, writer.close())
    [path] = Path(uri).glob("slice=*/*.parquet")
    return path


def on_the_direct_road(path: Path) -> Any:
    split = whole_file(str(path))
    names = [name for name in SCHEMA.names if name != "slice"]
    return pa.Table.from_batches(read_split(split, names))


def through_the_table(path: Path) -> Any:
    return read_table_rows(open_table(str(path.parents[1]))).sort_by("order")


def one_by_one(path: Path) -> Any:
    with reading_faults(str(path)), CheckedParquetFile(FILES, str(path)) as parquet:
        return parquet.read()


def by_key(path: Path) -> Any:
    keys = [{"order": number} for number in range(0, ROWS, 100)]
    return lookup_rows(str(path.parents[1]), keys)


ROADS = [on_the_direct_road, through_the_table, one_by_one, by_key]


@pytest.mark.parametrize("read", ROADS)
def test_every_flipped_bit_is_told_or_does_no_harm(file: Path, read: Callable[[Path], Any]) -> None:
    whole, written = read(file), file.read_bytes()
    numbers = random.Random(22)
    found: Counter[str] = Counter()
    # As many in the file as in its last two kilobytes, where the footer is.
    places = [numbers.randrange(len(written)) for _ in range(250)]
    places += [len(written) - 1 - numbers.randrange(2_000) for _ in range(250)]
    for place in places:
        flipped = bytearray(written)
        flipped[place] ^= 1 << numbers.randrange(8)
        file.write_bytes(flipped)
        keyed_snapshots._cache.clear()
        try:
            got = read(file)
        except DamagedFile as error:
            assert file.name in str(error)
            found["told"] += 1
        else:
            assert got == whole, f"byte {place}"
            found["no harm"] += 1
    # A lookup of some keys reads some pages.
    assert found["told"] >= (250 if read is by_key else 450), found


def test_flipped_footer_is_told_to_readers_that_cannot_tell(file: Path) -> None:
    written = bytearray(file.read_bytes())
    check_footers(FILES, [str(file), str(file.with_name("gone.parquet"))])
    written[-100] ^= 1
    file.write_bytes(written)
    with pytest.raises(DamagedFile, match=f"{file.name} is damaged: the checksum of its footer"):
        check_footers(FILES, [str(file)])


def test_whole_file_is_looked_at(file: Path) -> None:
    looked = look_at(FILES, str(file))
    assert (looked.rows, looked.is_sealed, looked.damage) == (ROWS, True, None)
    written = bytearray(file.read_bytes())
    written[len(written) // 2] ^= 1
    file.write_bytes(written)
    assert look_at(FILES, str(file)).damage == "the checksum of a page does not match its bytes"


@pytest.mark.parametrize("checksums", [False, True])
def test_files_of_other_writers_read_as_before(tmp_path: Path, checksums: bool) -> None:
    path = tmp_path / "other.parquet"
    table = pa.table([rows().column(0)], names=["order"])
    pq.write_table(table, path, write_page_checksum=checksums)
    assert one_by_one(path) == table and on_the_direct(path) == table
    check_footers(FILES, [str(path)])
    looked = look_at(FILES, str(path))
    assert (looked.rows, looked.is_sealed, looked.damage) == (ROWS, False, None)


def on_the_direct(path: Path) -> pa.Table:
    split = whole_file(str(path))
    return pa.Table.from_batches(read_split(split, ["order"]))


def test_sealed_file_is_plain_parquet(file: Path) -> None:
    assert pq.read_table(file, partitioning=None) == pa.Table.from_batches([rows()])
    metadata = pq.read_metadata(file)
    assert (metadata.num_rows, metadata.num_row_groups) == (ROWS, 3)


def test_fault_of_storage_is_none_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError), reading_faults("x"):
        CheckedParquetFile(FILES, str(tmp_path / "gone.parquet"))
    assert damage("x", OSError(5, "Input/output error")) is None
    assert damage("x", ValueError("no reading")) is None


def test_short_file_is_damaged_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "short.parquet"
    for content in (b"", b"PAR1", b"PAR1PAR1", b"\xff\xff\xff\x7fPAR1"):
        path.write_bytes(content)
        with pytest.raises(DamagedFile, match=r"short\.parquet is damaged"):
            one_by_one(path)


@pytest.mark.parametrize("read", [on_the_direct_road, through_the_table, one_by_one])
def test_every_flipped_bit_of_a_list_s_page_headers_is_told_or_does_no_harm(
    file: Path, read: Callable[[Path], Any]
) -> None:
    whole, written = read(file), file.read_bytes()
    metadata = pq.read_metadata(file)
    column = metadata.row_group(2).column(metadata.num_columns - 1)
    assert column.path_in_schema == "words.list.element"
    # The headers of its dictionary and of its one page of values.
    starts = (column.dictionary_page_offset, column.data_page_offset)
    for place in sorted({start + byte for start in starts for byte in range(34)}):
        for bit in range(8):
            flipped = bytearray(written)
            flipped[place] ^= 1 << bit
            file.write_bytes(flipped)
            try:
                got = read(file)
            except DamagedFile:
                continue
            assert got == whole, f"byte {place}, bit {bit}"
