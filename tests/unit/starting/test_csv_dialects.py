"""How CSV is written, told from its first bytes."""

from __future__ import annotations

from typing import Any

import pytest

from batchinfer.errors import InputError
from batchinfer.starting.csv_dialects import read_writing


@pytest.mark.parametrize(
    ("text", "names", "options"),
    [
        ("a,b\n1,2\n", ("a", "b"), {}),
        ("a;b\n1,5;2,5\n", ("a", "b"), {"delimiter": ";"}),
        ("a\tb\nx, y\tz\n", ("a", "b"), {"delimiter": "\t"}),
        ("a|b\n1|2\n\n3|4\n", ("a", "b"), {"delimiter": "|"}),
        ("a\n1\n2\n", ("a",), {}),
        ("1,2\n3,4\n", ("c1", "c2"), {"header": False}),
        ("39,red,no\n40,blue,yes\n", ("c1", "c2", "c3"), {"header": False}),
        ("red,no\nblue,no\n", ("c1", "c2"), {"header": False}),
        ("color,size\nred,big\nblue,small\n", ("color", "size"), {}),
        ("country,2019,n\nPeru,5,1\n", ("country", "2019", "n"), {}),
        (",a\n0,1\n1,2\n", ("", "a"), {}),
        ('a,b\n"x, y",2\n"z",3\n', ("a", "b"), {}),
        ("a,b\n'x, y',2\n'z',3\n", ("a", "b"), {"quote": "'"}),
        ('a,b\n"x ""y""",2\n', ("a", "b"), {}),
        ('a,b\n"x \\"y\\" z",2\n"w",3\n', ("a", "b"), {"escape": "\\"}),
        ('a,b\n"two\nlines",2\n"w",3\n', ("a", "b"), {"multi_line": True}),
        ('a,b\n"never closed,2\nw,3\n', ("a", "b"), {"quote": ""}),
        ('a,b\n1,2\n2,"cut o', ("a", "b"), {}),
        ('a,b\n1,2\n2,"cut off\n', ("a", "b"), {}),
        ('a,b\n1,"2\n2,"never closed', ("a", "b"), {"quote": ""}),
    ],
)
def test_the_writing_of_a_file(text: str, names: tuple[str, ...], options: dict[str, Any]) -> None:
    writing = read_writing(text.encode(), False, "a.csv")
    assert (writing.names, {one.name: one.value for one in writing.options}) == (names, options)
    assert all(one.reason for one in writing.options)


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("name,n\nJosé,1\nAna,2\n".encode("cp1252"), "cp1252"),
        ("name,n\nJosé,1\n".encode("utf-16"), "utf-16"),
        ("name,n\nJosé,1\n".encode(), None),
        ("name,n\nJosé,1\n".encode("utf-8-sig"), None),
        ("name,n\nJosé,1\nJosé,1\n".encode() + b"J\xe9,2\n", None),
    ],
)
def test_encodings(content: bytes, encoding: str | None) -> None:
    writing = read_writing(content, False, "a.csv")
    assert writing.names == ("name", "n")
    assert {one.name: one.value for one in writing.options}.get("encoding") == encoding


def test_a_quote_that_is_open_where_the_head_is_cut_quotes_nothing() -> None:
    (found,) = read_writing(b'a,b\n1,2\n2,"never closed\n3', True, "a.csv").options
    assert (found.name, found.value) == ("quote", "")


def test_a_record_that_is_cut_off_is_not_looked_at() -> None:
    assert read_writing(b"a,b\n1,2\n3", True, "a.csv").options == ()


def test_headers_that_name_a_column_twice_are_refused() -> None:
    with pytest.raises(InputError, match=r'a.csv: the header names "n" twice'):
        read_writing(b"n,m,n\n1,2,3\n", False, "a.csv")


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(InputError, match="no text"):
        read_writing(b"a\0b\n\0\0", False, "a.bin")


@pytest.mark.parametrize("above", ["Sales of May\n\n", "# a\n# b\n"])
def test_what_stands_above_the_header_is_told_with_its_place(above: str) -> None:
    with pytest.raises(InputError, match=r"a\.csv:1: got 1 field, and most") as told:
        read_writing(f"{above}id,n\n1,2\n3,4\n5,6\n7,8\n9,9\n8,8\n4,2\n".encode(), False, "a.csv")
    assert str(told.value.hint).endswith("above line 3, such as by: tail -n +3")
