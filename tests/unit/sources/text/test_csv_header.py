"""Headers of CSV files: columns in any order, what breaks the contract, files without records."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from csv_files import blank_of, csv_source, read_file, read_text, rows_of

from batchinfer.config.shapes.source_columns import ColumnRules
from batchinfer.config.sources import CsvSource
from batchinfer.errors import InputError


def test_only_the_optional_last_column_may_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"\n1,x\n2,y\n3,z,extra\n")
    assert rows_of(read_file(path, csv_source(path), optional="c")) == [
        (1, "x", None, 2),
        (2, "y", None, 3),
    ]
    assert [
        bad.message
        for block in read_file(path, csv_source(path), optional="c")
        for bad in block.bad
    ] == ["got 3 fields; the file's first record has 2"]
    assert rows_of(read_file(path, csv_source(path), optional="b")) == [(3, "z", "extra", 4)]
    assert rows_of(read_file(path, csv_source(path))) == [(3, "z", "extra", 4)]


def test_headers_in_any_order_and_physical_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'\xef\xbb\xbf\n"c", a,b\nz,1,x\n\nw,2,y\n')
    for target in (2**20, 5):
        blocks = read_file(path, csv_source(path, header=True), target_bytes=target)
        assert rows_of(blocks) == [(1, "x", "z", 3), (2, "y", "w", 5)]
        assert blank_of(blocks) == 2
    path.write_bytes(b"b,a\nx,1\n")
    assert rows_of(read_file(path, csv_source(path, header=True), optional="c")) == [
        (1, "x", None, 2)
    ]


def test_header_over_two_lines_in_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    schema = {"a": "int", "b\nb": "string"}
    path.write_bytes(gzip.compress(b'a,"b\nb"\n1,"x\ny"\n2,z\n'))
    blocks = read_file(path, csv_source(path, schema, header=True, multi_line=True))
    assert rows_of(blocks) == [(1, "x\ny", 3), (2, "z", 5)]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("a,b,C", r"missing: 'c'; not in the schema: 'C'.*Perhaps 'C' stands for 'c'"),
        ("a,b,d", "missing: 'c'; not in the schema: 'd'"),
        ("a,b,c,d", "not in the schema: 'd'"),
        ("a,b,b,c", "twice: 'b'"),
        ("1,x,y", "missing: 'a', 'b', 'c'"),
    ],
)
def test_headers_that_break_the_contract(tmp_path: Path, header: str, words: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"{header}\n1,x,y\n")
    with pytest.raises(InputError, match=words) as caught:
        read_file(path, csv_source(path, header=True))
    assert caught.value.exit_code == 3
    assert "a,b,c" in str(caught.value)


def test_a_column_that_nothing_looks_like_is_null(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("b,a\nx,1\n")
    source = csv_source(path, header=True)
    assert rows_of(read_file(path, source)) == [(1, "x", None, 2)]
    strict = source.model_copy(update={"columns": ColumnRules(missing="fail")})
    with pytest.raises(InputError, match="missing: 'c'"):
        read_file(path, strict)
    # No row could land without its key; and a file with none of the columns is another file.
    with pytest.raises(InputError, match="missing: 'c'"):
        read_file(path, source.model_copy(update={"key": ("c",)}))
    path.write_text("\n")
    path.write_text("x,y\n1,2\n")
    other = source.model_copy(update={"columns": ColumnRules(missing="null", new="ignore")})
    with pytest.raises(InputError, match="missing: 'a', 'b', 'c'"):
        read_file(path, other)


def test_columns_of_the_file_that_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('c,n,a,,b,\nz,9,1,,"x, y",\nc,n,a,,b,\n')
    source = csv_source(path, header=True)
    source = source.model_copy(update={"columns": ColumnRules(new="ignore")})
    blocks = read_file(path, source)
    assert rows_of(blocks) == [(1, "x, y", "z", 2)]
    assert [bad.reason for block in blocks for bad in block.bad] == ["header"]
    path.write_text("a,b,a,c\n1,x,2,z\n")
    with pytest.raises(InputError, match="twice: 'a'"):
        read_file(path, source)


def test_columns_that_have_another_name_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        'Date,"Amount (EUR)",order.id\n2024-01-02,"2.5",7\nx,1,8\nDate,Amount (EUR),order.id\n'
    )
    schema = {
        "id": {"type": "int", "column": "order.id"},
        "amount": {"type": "double", "column": "Amount (EUR)"},
        "Date": "date",
    }
    source = CsvSource.model_validate({"kind": "csv", "path": str(path), "schema": schema})
    blocks = read_file(path, source)
    [row] = [row for block in blocks for row in block.rows.to_pylist()]
    assert (row["id"], row["amount"], str(row["Date"])) == (7, 2.5, "2024-01-02")
    assert [bad.reason for block in blocks for bad in block.bad] == ["type", "header"]
    path.write_text("Date,Amount(EUR),order.id\n")
    with pytest.raises(InputError) as caught:
        read_file(path, source)
    assert "Perhaps 'Amount(EUR)' stands for 'Amount (EUR)'" in str(caught.value)
    assert "amount: {type: double, column: 'Amount(EUR)'}" in str(caught.value.hint)


def test_files_without_records(tmp_path: Path) -> None:
    for header in (True, False):
        assert rows_of(read_text(tmp_path, b"", header=header)) == []
        blocks = read_text(tmp_path, b"\n \n", header=header)
        assert (rows_of(blocks), blank_of(blocks)) == ([], 2)
    blocks = read_text(tmp_path, b"\na,b,c\n", header=True)
    assert (rows_of(blocks), blank_of(blocks)) == ([], 1)
