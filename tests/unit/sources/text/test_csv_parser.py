"""CSV: every record becomes the row that a plain-Python reader makes of it, or a bad record with
its reason, or a blank line.
"""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path
from typing import Any

import csv_reference
import pyarrow as pa
import pytest
from csv_files import bad_of, blank_of, csv_source, read_file, read_text, rows_of, zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.errors import InputError
from batchinfer.sources.listing import list_files
from batchinfer.sources.readers import read_splits
from batchinfer.sources.text.byte_ranges import plan_text_splits

SHARED = Path(__file__).parents[5] / "shared" / "data"


# fmt: off
ODD_LINES = [
    b"1,x,y", b" 2 , x ,\ty", b'3,"q,r","s""t"', b'4, "a b" ,?', b'5,"?",""', b'"6","",',
    b'7,6" pipe,z', b'8,"open,y',
    b'9,"a"b,c', b"+1,,", b"0x1F,a,b", b"2147483648,a,b", b"", b"  \t", b"1,2", b"1,2,3,4",
    b"\xff,a,b", b"1,a\rb,c",
    b"10,\x00,b", b'"', b'","', b'"",a,b', '11,é,"ü, ß"'.encode(), b'12,"\\"",b', b'13,"a\\\\",b',
    b'14,"x" "y",z',
    b'15,""",""",x', b"\xef\xbb\xbf",
]


# fmt: on
PIECES = [b"1", b"a", b",", b'"', b" ", b"\\", b"?", b"\r", b"\xc3\xa9", b"\xfe", b""]
LINES = st.one_of(
    st.sampled_from(ODD_LINES), st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csv")


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(LINES, max_size=12),
    line_end=st.sampled_from([b"\n", b"\r\n"]),
    final=st.booleans(),
    trim=st.booleans(),
    escape=st.sampled_from([None, "\\"]),
    quote=st.sampled_from(['"', ""]),
    sizes=st.sampled_from([(2**21, 2**24), (1, 7), (5, 2**24), (2**21, 11), (16, 16)]),
)
def test_lines_in_are_rows_bad_and_blank(
    folder: Path,
    lines: list[bytes],
    line_end: bytes,
    final: bool,
    trim: bool,
    escape: str | None,
    quote: str,
    sizes: tuple[int, int],
) -> None:
    data = line_end.join(lines) + (line_end if final else b"")
    if data.startswith(b"\xef\xbb\xbf"):
        data = b"1,x,y\n" + data
    path = folder / "lines.csv"
    path.write_bytes(data)
    source = csv_source(path, trim=trim, escape=escape, quote=quote, null_values=["", "?"])
    expected = csv_reference.read_csv(data, source.options, ["int", "string", "string"])
    blocks = read_file(path, source, block_bytes=sizes[0], target_bytes=sizes[1])
    assert rows_of(blocks) == expected.rows
    assert bad_of(blocks) == expected.bad
    assert blank_of(blocks) == expected.blank
    physical = data.count(b"\n") + (1 if data and not data.endswith(b"\n") else 0)
    assert sum(block.records_in for block in blocks) + blank_of(blocks) == physical


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(
        st.one_of(LINES, st.sampled_from([b'20,"two', b'lines",z', b'21,"a\r', b'","b', b'"x",y'])),
        max_size=12,
    ),
    line_end=st.sampled_from([b"\n", b"\r\n"]),
    final=st.booleans(),
    escape=st.sampled_from([None, "\\"]),
    block_bytes=st.sampled_from([2**21, 1, 9, 40]),
)
def test_multi_line_records_equal_the_reference(
    folder: Path,
    lines: list[bytes],
    line_end: bytes,
    final: bool,
    escape: str | None,
    block_bytes: int,
) -> None:
    data = b"1,x,y\n" + line_end.join(lines) + (line_end if final else b"")
    path = folder / "multi.csv"
    path.write_bytes(data)
    source = csv_source(path, multi_line=True, escape=escape, null_values=["", "?"])
    expected = csv_reference.read_csv(data, source.options, ["int", "string", "string"])
    blocks = read_file(path, source, block_bytes=block_bytes)
    assert rows_of(blocks) == expected.rows
    assert bad_of(blocks) == expected.bad
    assert blank_of(blocks) == expected.blank


def test_every_way_to_write_a_file_gives_the_same_rows(tmp_path: Path) -> None:
    plain = b"".join(b"%d,name %d,t%d\n" % (i, i % 7, i % 3) for i in range(2000))
    quoted = b"".join(b'"%d","name %d","t%d"\n' % (i, i % 7, i % 3) for i in range(2000))
    written = {
        "lf.csv": plain,
        "crlf.csv": plain.replace(b"\n", b"\r\n"),
        "open_end.csv": plain[:-1],
        "bom.csv": b"\xef\xbb\xbf" + plain,
        "quoted.csv": quoted,
        "a.csv.gz": gzip.compress(plain),
        "members.csv.gz": gzip.compress(plain[:5000]) + gzip.compress(plain[5000:]),
        "a.csv.bz2": bz2.compress(plain[:5000]) + bz2.compress(plain[5000:]),
        "a.csv.zst": pa.compress(plain, "zstd", asbytes=True),
    }
    want = [(i, f"name {i % 7}", f"t{i % 3}", i + 1) for i in range(2000)]
    for name, data in written.items():
        (tmp_path / name).write_bytes(data)
        source = csv_source(tmp_path / name)
        for sizes in [(2**21, 2**24), (777, 1000)]:
            blocks = read_file(tmp_path / name, source, block_bytes=sizes[0], target_bytes=sizes[1])
            assert rows_of(blocks) == want, name
            assert {row[0] for row in rows_of(blocks, "source_file")} == {name}
    multi = csv_source(tmp_path / "quoted.csv", multi_line=True)
    assert rows_of(read_file(tmp_path / "quoted.csv", multi, block_bytes=333)) == want


def test_a_large_cell_is_fine(tmp_path: Path) -> None:
    cell = b"x" * 3_000_000
    blocks = read_text(tmp_path, b"1,a,b\n2," + cell + b',"' + cell + b'"\n3,c,d\n')
    assert [(row[0], len(row[1]), row[3]) for row in rows_of(blocks)] == [
        (1, 1, 1),
        (2, 3_000_000, 2),
        (3, 1, 3),
    ]


def test_an_unclosed_quote_costs_one_line(tmp_path: Path) -> None:
    text = b'1,"open,b\n2,x,y\n3,"p\nq",r\n4,"never,x\n5,x,y\n'
    lines = read_text(tmp_path, text)
    assert [row[0] for row in rows_of(lines)] == [2, 5]
    assert [line for line, _, _ in bad_of(lines)] == [1, 3, 4, 5]
    multi = read_text(tmp_path, text, multi_line=True)
    assert rows_of(multi)[-1] == (5, "x", "y", 6)
    assert (5, b'4,"never,x', "quote") in bad_of(multi)


def test_a_record_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchinfer.sources.text.csv_parser.MAX_RECORD_BYTES", 1000)
    path = tmp_path / "x.csv"
    path.write_bytes(b'1,"open,b\n' + b"2,x,y\n" * 1000)
    blocks = read_file(path, csv_source(path, multi_line=True), block_bytes=100)
    assert bad_of(blocks) == [(1, b'1,"open,b', "quote")]
    assert len(rows_of(blocks)) == 1000


def test_one_column(tmp_path: Path) -> None:
    blocks = read_text(tmp_path, b'a\n\n""\n"b,c"\nd,e\n', {"a": "string"})
    assert rows_of(blocks) == [("a", 1), ("", 3), ("b,c", 4)]
    assert (bad_of(blocks), blank_of(blocks)) == ([(5, b"d,e", "field_count")], 1)


def test_tabs_delimit_and_do_not_make_blank_lines(tmp_path: Path) -> None:
    blocks = read_text(tmp_path, b"1\tx \ty\n\t\t\n  \n", delimiter="\t")
    assert rows_of(blocks) == [(1, "x", "y", 1), (None, None, None, 2)]
    assert blank_of(blocks) == 1


@pytest.mark.parametrize(
    ("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("zst", zstd)]
)
def test_damaged_compression_is_never_fewer_rows(
    tmp_path: Path, suffix: str, compress: Any
) -> None:
    data = compress(b"".join(b"%d,x,y\n" % i for i in range(5000)))
    two = data + compress(b"1,x,y\n")
    damaged = [data[: len(data) // 2], data[:-1], two[:-3], two[: len(data)] + b"junk", b""]
    if (
        suffix != "zst"
    ):  # pyarrow writes zstd without checksums: of such data, a changed byte may be another value
        damaged.append(data[:40] + b"\0" * 20 + data[60:])
    for each in damaged:
        with pytest.raises(InputError, match=f"x.csv.{suffix}"):
            read_text(tmp_path, each, name=f"x.csv.{suffix}")


def test_a_file_that_changes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"1,x,y\n")
    source = csv_source(path)
    splits = plan_text_splits(list_files([str(path)], tmp_path), source)
    path.write_bytes(b"1,x,y\n2,x,y\n")
    with pytest.raises(InputError, match="changed while"):
        list(read_splits(splits[:1], source, {"a": pa.int32(), "b": pa.string(), "c": pa.string()}))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data are not here")
def test_real_files() -> None:
    adult = {f"c{i}": "int" if i in (0, 2, 4, 10, 11, 12) else "string" for i in range(15)}
    path = SHARED / "adult_train.csv"
    for sizes in [(2**21, 2**24), (2**16, 2**19)]:
        source = csv_source(path, adult, null_values=["?"])
        blocks = read_file(path, source, block_bytes=sizes[0], target_bytes=sizes[1])
        expected = csv_reference.read_csv(path.read_bytes(), source.options, list(adult.values()))
        assert rows_of(blocks) == expected.rows
        assert (bad_of(blocks), blank_of(blocks)) == (expected.bad, expected.blank)
    path = SHARED / "vendor_reviews.csv.bz2"
    vendors = {"reviewerId": "int", "vendorId": "int", "rating": "int", "date": "timestamp"}
    blocks = read_file(path, csv_source(path, vendors, header=True))
    assert sum(block.rows.num_rows for block in blocks) == 578_805
    path = SHARED / "beijing_pollution_hourly.csv"
    names = path.read_text().split("\n")[0].split(",")
    hours = {name: "string" if name == "cbwd" else "double" for name in names}
    blocks = read_file(path, csv_source(path, hours, header=True, null_values=["NA"]))
    assert sum(block.rows.num_rows for block in blocks) == 43_824
    assert sum(block.rows.column("pm2.5").null_count for block in blocks) == path.read_text().count(
        ",NA,"
    )


@pytest.mark.parametrize(
    ("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("zst", zstd)]
)
def test_data_that_compress_well_come_out_whole(tmp_path: Path, suffix: str, compress: Any) -> None:
    # Three times what the decompressor hands out at once, of a few kilobytes of input.
    blocks = read_text(tmp_path, compress(b"1,x,y\n" * 600_000), name=f"x.csv.{suffix}")
    assert sum(block.rows.num_rows for block in blocks) == 600_000
    assert len(blocks) > 1
