"""A flipped bit of rows that Spark reads is told as a damaged file, whatever the rows would look
like with it.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from spark.projects import DAY, SmallProject, csv_of, rows_of

from batchinfer.errors import DamagedFile, InputError
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.delta import commit
from batchinfer.lake.snapshots import snapshot_files
from batchinfer.lake.staging import StagedWriter

JOIN = "prepare:\n  - join: {table: features/sizes, on: id, columns: [wide], prefix: its_}\n"
SIZES = pa.schema([("id", pa.int32()), ("wide", pa.float64())])


def only_file(table: str) -> Path:
    [file] = snapshot_files(table)
    return Path(table) / file.path


def repeat_a_key(path: Path) -> None:
    """Flips a bit of the file so that whoever looks at no checksum reads one key twice."""
    written = path.read_bytes()
    column = pq.read_metadata(path).row_group(0).column(0)
    assert column.path_in_schema == "id"
    start = column.dictionary_page_offset or column.data_page_offset
    for place in range(start, start + column.total_compressed_size):
        for bit in range(8):
            flipped = bytearray(written)
            flipped[place] ^= 1 << bit
            try:
                keys = pq.read_table(pa.py_buffer(flipped), columns=["id"])["id"].to_pylist()
            except (pa.ArrowException, OSError):
                continue
            if len(keys) > len(set(keys)):
                path.write_bytes(flipped)
                return
    raise AssertionError("no flip makes a key repeat")


@pytest.fixture
def landed(small: SmallProject) -> SmallProject:
    small.extract()
    small.train()
    return small


@pytest.mark.parametrize("road", ["direct", "arrow", "pandas"])
def test_a_flipped_key_is_a_damaged_file_and_no_duplicate(landed: SmallProject, road: str) -> None:
    path = only_file(landed.context().landed)
    repeat_a_key(path)
    with pytest.raises(DamagedFile, match=f"{path.name}.* is damaged: the checksum of a page"):
        landed.score(DAY, f"model.road={road}")
    assert landed.states() == {DAY: "failed"}


def test_a_flipped_key_that_landed_before_is_no_duplicate_of_what_lands(
    landed: SmallProject,
) -> None:
    path = only_file(landed.context().landed)
    repeat_a_key(path)
    landed.write("in/b.csv", "id,color,size,big\n" + rows_of(range(40, 50)))
    with pytest.raises(DamagedFile, match=f"{path.name} is damaged: the checksum of a page"):
        landed.extract()
    assert only_file(landed.context().landed) == path, "nothing has landed"


def test_a_slice_of_a_damaged_file_is_landed_anew(landed: SmallProject) -> None:
    before = landed.table("landed").sort_by("id").to_pylist()
    path = only_file(landed.context().landed)
    path.write_bytes(b"PAR1 is all that is left PAR1")
    assert landed.extract(force=True).rows_landed == 40
    assert landed.table("landed").sort_by("id").to_pylist() == before
    landed.write("in/a.csv", csv_of(range(40)) + rows_of(range(5)))
    with pytest.raises(InputError, match=r'keys \(id\) that repeat .* \{"id": 0\} 2 times'):
        landed.extract(DAY, "source.on_changed=replace", force=True)
    assert landed.table("landed").sort_by("id").to_pylist() == before


def test_a_damaged_file_of_a_table_that_is_joined_is_named(small: SmallProject) -> None:
    table = str(small.root / "var/lake/features/sizes")
    ensure_table(table, SIZES, [])
    with StagedWriter(table, SIZES, [], []) as writer:
        sizes = [pa.array(range(40), pa.int32()), pa.array([n / 7 for n in range(40)])]
        writer.write(pa.RecordBatch.from_arrays(sizes, schema=SIZES), {})
        commit(table, writer.close())
    small.edit("features:\n", f"{JOIN}features:\n  - standardize: {{columns: its_wide}}\n")
    small.extract()
    small.train()
    assert small.score().rows_scored == 40
    path = only_file(table)
    content = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(1)
    start = column.dictionary_page_offset or column.data_page_offset
    content[start + column.total_compressed_size - 1] ^= 4
    path.write_bytes(content)
    told = f"{path.name} is damaged: the checksum of a page"
    with pytest.raises(DamagedFile, match=told) as caught:
        small.score(force=True)
    assert f"whoever writes the table {path.parent}" in str(caught.value.hint)
