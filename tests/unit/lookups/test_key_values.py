"""Keys: one grammar, typed values, every problem told."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.errors import ConfigError, InputError
from batchinfer.lookups.key_values import convert_key, format_key, parse_key

KEY = ("source_file", "source_line")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("source_file=a.csv,source_line=17", ("a.csv", "17")),
        (" source_line=17, source_file=a=b.csv", ("a=b.csv", "17")),
        ('source_file="a,b.csv",source_line=17', ("a,b.csv", "17")),
        ('source_file="say ""hi""",source_line=17', ('say "hi"', "17")),
        ("source_file=,source_line=", ("", "")),
        ('source_file=a"b,source_line="17"', ('a"b', "17")),
        ("source_file=' OR 1=1 --,source_line=1", ("' OR 1=1 --", "1")),
    ],
)
def test_text_is_read(text: str, values: tuple[str, str]) -> None:
    assert tuple(parse_key(text, KEY)[name] for name in KEY) == values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("17", "no `=`"),
        ("", "no `=`"),
        ("source_file=a.csv", "source_line is missing"),
        ("source_file=a,source_line=1,x=2", "'x' is not a key column"),
        ("source_file=a,source_line=1,source_line=2", "given twice"),
        ('source_file="a,source_line=1', "not closed"),
        ('source_file="a"b,source_line=1', "after a closing quote"),
        ("source_file=a,source_line=1,", "no `=`"),
    ],
)
def test_text_of_another_form_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse_key(text, KEY)
    assert caught.value.exit_code == 2


@given(st.dictionaries(st.sampled_from(["a", "b_c", "Ü"]), st.text(max_size=20), min_size=1))
def test_any_value_survives_the_text(key: dict[str, str]) -> None:
    assert parse_key(format_key(key), list(key)) == key


UTC = datetime.timezone.utc


@pytest.mark.parametrize(
    ("value", "type_", "typed"),
    [
        ("17", pa.int64(), 17),
        ("-1", pa.int8(), -1),
        (17, pa.int32(), 17),
        (17.0, pa.int64(), 17),
        ("1.5", pa.float64(), 1.5),
        (1, pa.float64(), 1.0),
        ("1.50", pa.decimal128(10, 2), Decimal("1.50")),
        ("TRUE", pa.bool_(), True),
        ("00ff", pa.binary(), b"\x00\xff"),
        ("2026-11-20", pa.date32(), datetime.date(2026, 11, 20)),
        (
            "2026-11-20T13:00:00Z",
            pa.timestamp("us", tz="UTC"),
            datetime.datetime(2026, 11, 20, 13, tzinfo=UTC),
        ),
        (
            "2026-11-20T13:00:00+01:00",
            pa.timestamp("us", tz="UTC"),
            datetime.datetime(2026, 11, 20, 12, tzinfo=UTC),
        ),
        (
            "2026-11-20T13:00:00",
            pa.timestamp("us", tz="UTC"),
            datetime.datetime(2026, 11, 20, 13, tzinfo=UTC),
        ),
        ("x; DROP TABLE y", pa.string(), "x; DROP TABLE y"),
    ],
)
def test_values_take_the_type_of_the_column(value: Any, type_: pa.DataType, typed: Any) -> None:
    assert convert_key({"k": value}, {"k": type_}) == (typed,)


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        ("1_7", pa.int64()),
        ("１７", pa.int64()),
        ("1.5", pa.int64()),
        (1.5, pa.int64()),
        (True, pa.int64()),
        ("300", pa.int8()),
        (str(2**63), pa.int64()),
        ("1 OR 1=1", pa.int64()),
        ("nan", pa.float64()),
        ("1e999", pa.float64()),
        ("1.234", pa.decimal128(10, 2)),
        ("yes", pa.bool_()),
        ("0g", pa.binary()),
        ("2026-13-01", pa.date32()),
        ("yesterday", pa.timestamp("us", tz="UTC")),
        ("2026-11-20T13:00:00Z", pa.timestamp("us")),
        (17, pa.string()),
        ("\ud800", pa.string()),
        (None, pa.string()),
        ([1], pa.int64()),
        ({"a": 1}, pa.float64()),
        ("x", pa.list_(pa.int64())),
    ],
)
def test_values_that_do_not_fit_are_refused(value: Any, type_: pa.DataType) -> None:
    with pytest.raises(InputError, match="key column k: got") as caught:
        convert_key({"k": value}, {"k": type_})
    assert caught.value.exit_code == 3 and "allowed: " in str(caught.value)


def test_every_problem_of_a_key_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        convert_key({"a": "x", "z": 1}, {"a": pa.int64(), "b": pa.string()})
    assert len(caught.value.problems) == 3
