"""Cells of CSV files: what each type takes, what is null, and what is said of the others."""

from __future__ import annotations

import datetime
import decimal
import math
from pathlib import Path
from typing import Any

import pytest
from csv_files import bad_of, read_text, rows_of


@pytest.mark.parametrize(
    "encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32-be", "gbk", "utf-8-sig"]
)
def test_encodings(tmp_path: Path, encoding: str) -> None:
    word = "é" if encoding != "gbk" else "中文"
    blocks = read_text(tmp_path, f"1,{word},x\n2,y,{word}\n".encode(encoding), encoding=encoding)
    assert rows_of(blocks) == [(1, word, "x", 1), (2, "y", word, 2)]


def test_bytes_of_another_encoding_go_aside_as_they_were(tmp_path: Path) -> None:
    blocks = read_text(tmp_path, b"1,a,b\n2,\x81,\xe9\n3,\xe9,c\n", encoding="cp1252")
    assert rows_of(blocks) == [(1, "a", "b", 1), (3, "é", "c", 3)]
    assert bad_of(blocks) == [(2, b"2,\x81,\xe9", "encoding")]


def test_messages_name_counts_column_value_and_type(tmp_path: Path) -> None:
    blocks = read_text(tmp_path, b"1,x,y,z\nabc,x,y\n3000000000,x,y\n1,x,y\n")
    assert [bad.message for block in blocks for bad in block.bad] == [
        "got 4 fields; the schema has 3",
        "column a: got 'abc'; allowed: int (a whole number from -2147483648 to 2147483647)",
        "column a: got '3000000000'; allowed: int (a whole number from -2147483648 to 2147483647)",
    ]


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        (
            "double",
            {"1.5": 1.5, "-1e3": -1000.0, "+.5": 0.5, "inf": math.inf, " 2 ": 2.0},
            ["1,5", "0x1p3", "1d", "one"],
        ),
        (
            "bigint",
            {"9223372036854775807": 2**63 - 1, "007": 7},
            ["9223372036854775808", "1.0", "1e3", "٣"],
        ),
        ("boolean", {"true": True, "FALSE": False, "1": True}, ["yes", "2"]),
        (
            "decimal(10,2)",
            {"1.5": decimal.Decimal("1.50"), "-99999999.99": decimal.Decimal("-99999999.99")},
            ["1.239", "123456789"],
        ),
        (
            "date",
            {"2020-02-29": datetime.date(2020, 2, 29)},
            ["2021-02-29", "2020-2-3", "0000-01-01", "29/02/2020"],
        ),
        (
            "timestamp",
            {
                "2020-02-03": datetime.datetime(2020, 2, 3, tzinfo=datetime.timezone.utc),
                "2020-02-03 04:05": datetime.datetime(
                    2020, 2, 3, 4, 5, tzinfo=datetime.timezone.utc
                ),
                "2020-02-03T04:05:06.123456789Z": datetime.datetime(
                    2020, 2, 3, 4, 5, 6, 123456, tzinfo=datetime.timezone.utc
                ),
                "2020-02-03T04:05:06+02:00": datetime.datetime(
                    2020, 2, 3, 2, 5, 6, tzinfo=datetime.timezone.utc
                ),
            },
            [
                "2020-02-30 00:00:00",
                "yesterday",
                "2020-02-03 25:00",
                "9999-12-31 23:59:59-02:00",
                "10000-01-01 00:00:00",
                "294277-01-01 00:00:00",
                "0000-12-31 00:00:00",
                "1e300",
            ],
        ),
    ],
)
def test_types(tmp_path: Path, type_: str, good: dict[str, Any], bad: list[str]) -> None:
    lines = [f"{value}|x" for value in [*good, *bad]]
    blocks = read_text(
        tmp_path, "\n".join(lines).encode(), {"v": type_, "w": "string"}, delimiter="|"
    )
    assert rows_of(blocks, "v") == [(value,) for value in good.values()]
    assert [(raw.decode(), reason) for _, raw, reason in bad_of(blocks)] == [
        (f"{value}|x", "type") for value in bad
    ]


def test_not_a_number_is_a_double(tmp_path: Path) -> None:
    assert math.isnan(
        rows_of(read_text(tmp_path, b"NaN|x", {"v": "double", "w": "string"}, delimiter="|"), "v")[
            0
        ][0]
    )


def test_decimal_comma(tmp_path: Path) -> None:
    blocks = read_text(
        tmp_path,
        b"1,5;x\n1.5;x\n1.000,5;x\n2;x\n",
        {"v": "double", "w": "string"},
        delimiter=";",
        decimal=",",
    )
    assert rows_of(blocks, "v", "source_line") == [(1.5, 1), (2.0, 4)]
    assert [line for line, _, reason in bad_of(blocks) if reason == "type"] == [2, 3]


def test_timestamp_format_holds_for_dates_and_timestamps(tmp_path: Path) -> None:
    text = (
        b"17/05/2015 10:05,18/05/2015 00:00\n31/02/2015 10:05,18/05/2015 "
        b"00:00\n2015-05-17,18/05/2015 00:00\n"
    )
    blocks = read_text(
        tmp_path, text, {"t": "timestamp", "d": "date"}, timestamp_format="%d/%m/%Y %H:%M"
    )
    when = datetime.datetime(2015, 5, 17, 10, 5, tzinfo=datetime.timezone.utc)
    assert rows_of(blocks) == [(when, datetime.date(2015, 5, 18), 1)]
    assert [(line, reason) for line, _, reason in bad_of(blocks)] == [(2, "type"), (3, "type")]


def test_numbers_since_1970_are_dates_and_timestamps(tmp_path: Path) -> None:
    text = b"1795934425.0363867,-0.5\n1e99,0\n 1795934425 ,\nx,0\n"
    blocks = read_text(tmp_path, text, {"t": "timestamp", "d": "date"}, timestamp_format="epoch_s")
    when = datetime.datetime(2026, 11, 29, 6, 40, 25, tzinfo=datetime.timezone.utc)
    assert rows_of(blocks) == [
        (when.replace(microsecond=36386), datetime.date(1969, 12, 31), 1),
        (when, None, 3),
    ]
    assert [(line, reason) for line, _, reason in bad_of(blocks)] == [(2, "type"), (4, "type")]


def test_quoted_markers_and_spaces_are_values(tmp_path: Path) -> None:
    text = b'?,?, x \n"?",y,z\n1,"?"," x "\n"","",\n'
    blocks = read_text(tmp_path, text, null_values=["", "?"])
    assert rows_of(blocks) == [(None, None, "x", 1), (1, "?", " x ", 3), (None, "", None, 4)]
    assert bad_of(blocks) == [(2, b'"?",y,z', "type")]
