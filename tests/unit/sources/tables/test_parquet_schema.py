"""Types that a Parquet file has and that nothing here can read: told by their columns."""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl
import pytest

from batchinfer.errors import InputError
from batchinfer.sources.listing import SourceFile
from batchinfer.sources.tables.parquet_footers import open_parquet, read_footers
from batchinfer.sources.tables.parquet_schema import wide_integers


def test_whole_numbers_of_128_bits_are_told_by_their_columns(tmp_path: Path) -> None:
    path = str(tmp_path / "wide.parquet")
    wide = pl.Series([2**100], dtype=pl.Int128)
    table = pl.DataFrame({"id": [1], "big": wide, "ok": ["x"]})
    table = table.with_columns(pl.struct(inner="big", other="id").alias("struct"))
    table.write_parquet(path)
    assert wide_integers(path) == ["big", "struct.inner"]
    with pytest.raises(InputError, match=r"128 bits \('big', 'struct.inner'\)") as caught:
        open_parquet(path)
    assert "decimal(38,0)" in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1\x00\x00\x00\x00PAR1", b"x" * 40])
def test_what_is_no_footer_names_no_column(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    assert wide_integers(str(path)) == []


def test_a_footer_that_is_cut_names_no_column(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"big": pl.Series([1], dtype=pl.Int128)}).write_parquet(path)
    whole = path.read_bytes()
    length = int.from_bytes(whole[-8:-4], "little")
    for kept in range(length):
        cut = whole[:-8][: len(whole) - 8 - length + kept]
        path.write_bytes(cut + kept.to_bytes(4, "little") + b"PAR1")
        assert wide_integers(str(path)) in ([], ["big"])


def test_columns_of_any_type_are_told(tmp_path: Path) -> None:
    path = str(tmp_path / "v.parquet")
    columns = "1 as id, 7::variant as v, {'a': 1} as plain, 8::variant as \"in (x) {\""
    duckdb.sql(f"select {columns}").write_parquet(path)
    file = SourceFile(path, "v.parquet", Path(path).stat().st_size, 0)
    with pytest.raises(InputError, match=r"columns of type variant \('v', 'in \(x\) {'\)"):
        read_footers([file])
