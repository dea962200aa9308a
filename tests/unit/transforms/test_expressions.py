"""Expressions of `derive`: values, types and errors as Spark 4.1 gave them in ANSI mode."""

from __future__ import annotations

import pickle
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from batchinfer.transforms.expressions import parse_expression

_NAN, _INF = float("nan"), float("inf")
_BATCH = pa.RecordBatch.from_pydict(
    {
        "a": pa.array([1, 0, None, 2**31 - 1, -(2**31)], pa.int32()),
        "b": pa.array([2, 0, 5, None, 1], pa.int32()),
        "x": pa.array([1.5, -0.0, None, _NAN, _INF]),
        "p": pa.array([Decimal(v) if v else None for v in ("1.50", "0.00", None, "-2.25", "9.99")]),
        "s": pa.array(["Abc", "", None, "ß", "a%b"]),
        "flag": pa.array([True, False, None, True, False]),
        "moment": pa.array([0] * 5, pa.timestamp("us")),
        "day": pa.array([0, -1, None, 20_500, -719_162], pa.int32()).view(pa.date32()),
    }
)


def _values(text: str) -> list[Any]:
    found = parse_expression(text).evaluate(_BATCH)
    assert found.errors == {}
    return found.values.to_pylist()


# Each of these stood in Spark: `SELECT …` and the type that it has.
_OF_SPARK: list[tuple[str, str, Any]] = [
    ("1", "int32", 1),
    ("3000000000", "int64", 3_000_000_000),
    ("9223372036854775808", "decimal128(19, 0)", Decimal(9223372036854775808)),
    ("1.5", "decimal128(2, 1)", Decimal("1.5")),
    ("0.05", "decimal128(2, 2)", Decimal("0.05")),
    ("1.", "decimal128(1, 0)", Decimal(1)),
    ("1e3", "double", 1000.0),
    ("1.5F", "float", 1.5),
    ("2Y", "int8", 2),
    ("-2147483648", "int32", -(2**31)),
    ("1 + 1.5", "decimal128(3, 1)", Decimal("2.5")),
    ("-(1) + 1.5", "decimal128(12, 1)", Decimal("0.5")),
    ("1 / 2", "double", 0.5),
    ("1.5 / 2.25", "decimal128(9, 6)", Decimal("0.666667")),
    ("1 + 1F", "double", 2.0),
    ("2Y - 0.001", "decimal128(7, 3)", "1.999"),
    ("2S - 0.001", "decimal128(5, 3)", "1.999"),
    ("+2 - 0.5", "decimal128(12, 1)", "1.5"),
    ("round(10) * 0.5", "decimal128(12, 1)", "5.0"),
    ("cast(2 as int) - 0.5", "decimal128(12, 1)", "1.5"),
    ("cast(null as decimal(5,2)) / null", "decimal128(13, 8)", None),
    ("null / cast(1 as decimal(5,2))", "double", None),
    ("1Y + 1Y", "int8", 2),
    ("-7 % 3", "int32", -1),
    ("5 div 2", "int64", 2),
    ("cast(1 as decimal(38,10)) / cast(3 as decimal(38,10))", "decimal128(38, 6)", "0.333333"),
    ("cast(1 as decimal(38,10)) + cast(1 as decimal(38,20))", "decimal128(38, 9)", "2.000000000"),
    ("cast('NaN' as double) = cast('NaN' as double)", "bool", True),
    ("cast('NaN' as double) > 1e300", "bool", True),
    ("0.0D = -0.0D", "bool", True),
    ("coalesce(1, 1.5)", "decimal128(11, 1)", Decimal("1.0")),
    ("greatest(1, 2.5, null)", "decimal128(11, 1)", Decimal("2.5")),
    ("least(1, cast('NaN' as double))", "double", 1.0),
    ("round(2.5)", "decimal128(2, 0)", Decimal(3)),
    ("round(2.5D)", "double", 3.0),
    ("round(1.005D, 2)", "double", 1.01),
    ("round(cast(-1109.35D as float), 1)", "float", -1109.300048828125),
    ("round(125, -1)", "int32", 130),
    ("round(123456.789, -2)", "decimal128(7, 0)", Decimal(123500)),
    ("floor(-1.5)", "decimal128(2, 0)", Decimal(-2)),
    ("floor(cast('NaN' as double))", "int64", 0),
    ("floor(1e300)", "int64", 2**63 - 1),
    ("log(0)", "double", None),
    ("log(2, 8)", "double", 3.0),
    ("exp(1)", "double", 2.7182818284590455),
    ("substring('hello', -7, 3)", "string", "h"),
    ("substring('hello', 0, 2)", "string", "he"),
    ("upper('ß')", "string", "SS"),
    ("lower('ΑΣ')", "string", "ας"),
    ("trim('\\t a ')", "string", "\t a"),
    ("'a''b' 'c'", "string", "a'bc"),
    (r"'\%\_\n\q\101\u0041\\'", "string", "\\%\\_\nqAA\\"),
    (r"r'\d\n'", "string", r"\d\n"),
    ("2 in (1, null)", "bool", None),
    ("1 in (1, 1/0)", "bool", True),
    ("false and 1/0 = 1", "bool", False),
    ("true or 1/0 = 1", "bool", True),
    ("1 = 1 = true", "bool", True),
    ("not 1 = 1", "bool", False),
    ("1 <=> null", "bool", False),
    ("1 is distinct from null", "bool", True),
    ("'a%' like 'a\\%'", "bool", True),
    ("'a\\nc' like 'a_c'", "bool", True),
    ("regexp_replace('abc', '(b)', '[$1]')", "string", "a[b]c"),
    ("cast(' 5 ' as int)", "int32", 5),
    ("cast('1.5' as decimal(2,0))", "decimal128(2, 0)", Decimal(2)),
    ("cast('0x1p3' as double)", "double", 8.0),
    ("cast(' YES ' as boolean)", "bool", True),
    ("cast(0.0000000001 as string)", "string", "0.0000000001"),
    ("cast(9.223372036854775807e18 as bigint)", "int64", 2**63 - 1),
    ("cast(cast('nan' as double) as decimal(5,0))", "decimal128(5, 0)", None),
    ("cast(timestamp '1969-12-31 23:59:59.5' as bigint)", "int64", -1),
    ("cast(timestamp '0044-03-15 01:02:03.5' as string)", "string", "0044-03-15 01:02:03.5"),
    ("cast(date '+12026-01-01' as string)", "string", "+12026-01-01"),
    ("cast(date '-0044-03-15' as string)", "string", "-0044-03-15"),
    ("try_cast('abc' as int)", "int32", None),
    ("dayofweek(date '2026-01-01')", "int32", 5),
    ("weekday(date '2026-01-01')", "int32", 3),
    ("second(timestamp '2026-01-01 00:00:59.9')", "int32", 59),
    ("datediff(timestamp '2026-01-02 01:00:00', date '2026-01-01')", "int32", 1),
    ("date '2026-01-01' = '2026-01-01'", "bool", True),
    ("date '2026-01-01' < timestamp '2026-01-01 01:00:00'", "bool", True),
]


@pytest.mark.parametrize(("text", "type_", "value"), _OF_SPARK)
def test_what_stood_in_spark_stands_here(text: str, type_: str, value: Any) -> None:
    expression = parse_expression(text)
    found = expression.evaluate(_BATCH)
    assert str(found.values.type) == str(expression.type_of({})) == type_
    assert found.errors == {}
    wanted = Decimal(value) if type_.startswith("decimal") and value is not None else value
    assert found.values.to_pylist() == [wanted] * 5


@pytest.mark.parametrize(
    ("text", "wrong", "told"),
    [
        ("a + 1", [3], "character 3: int overflow"),
        ("a - 1", [4], "character 3: int overflow"),
        ("a * a", [3, 4], "character 3: int overflow"),
        ("-a", [4], "character 1: int overflow"),
        ("abs(a)", [4], "character 1: int overflow"),
        ("a / b", [1], "character 3: division by zero"),
        ("x / 0.0D", [0, 1, 3, 4], "character 3: division by zero"),
        ("p % 0", [0, 1, 3, 4], "character 3: remainder by zero"),
        ("round(a, -1)", [3, 4], "character 1: int overflow"),
        ("cast(a as tinyint)", [3, 4], "character 1: cast of 2147483647 to tinyint"),
        ("cast(x as int)", [3, 4], "character 1: cast of nan to int"),
        ("cast(date '+12026-01-01' as timestamp)", [], ""),
        ("hour(to_date(cast(a * 8000000L as timestamp)))", [4], "character 6: a date that is too"),
        ("to_date(cast(a * 8000000L as timestamp)) < moment", [4], "character 1: a date that is"),
        ("cast(to_date(cast(a * 8000000L as timestamp)) as date)", [], ""),
        ("hour(to_date(cast(a * 8000000L as timestamp)))", [4], "character 6: a date that is too"),
        ("to_date(cast(a * 8000000L as timestamp)) < moment", [4], "character 1: a date that is"),
        ("cast(to_date(cast(a * 8000000L as timestamp)) as timestamp)", [4], "character 1: cast"),
        ("cast(s as int)", [0, 1, 3, 4], "character 1: cast of 'Abc' to int"),
        ("cast(p * 100 as decimal(3,1))", [0, 3, 4], "character 1: cast of 150.00 to decimal(3,1)"),
        ("case when b <> 0 then a / b end", [], ""),
        ("a / b > 0 and b <> 0", [1], "character 3: division by zero"),
        ("b <> 0 and a / b > 0", [], ""),
        ("coalesce(b, a / 0)", [3], "character 15: division by zero"),
        ("null + a / 0", [], ""),
        ("a / 0 + null", [0, 1, 3, 4], "character 3: division by zero"),
        ("a / 0 is null", [0, 1, 3, 4], "character 3: division by zero"),
        ("upper('\u1c89' || s)", [0, 1, 3, 4], "character 1: a letter whose upper and lower case "),
    ],
)
def test_a_row_that_is_wrong_is_told_and_null(text: str, wrong: list[int], told: str) -> None:
    found = parse_expression(text).evaluate(_BATCH)
    assert sorted(found.errors) == wrong
    assert all(found.values[row].as_py() is None for row in wrong)
    assert not wrong or found.errors[wrong[0]].startswith(told)


def test_rows_keep_their_own_values() -> None:
    assert _values("case a when 1 then 'one' when 0 then s else 'more' end") == [
        "one",
        "",
        "more",
        "more",
        "more",
    ]
    assert _values("if(flag, a, b)") == [1, 0, 5, 2**31 - 1, 1]
    assert _values("coalesce(a, b, 7)") == [1, 0, 5, 2**31 - 1, -(2**31)]
    assert _values("nullif(b, 0)") == [2, None, 5, None, 1]
    assert _values("a is null or flag") == [True, False, True, True, False]
    assert _values("s like 'a!%b' or s rlike '^A'") == [True, False, None, False, False]
    assert _values("length(s) * 2") == [6, 0, None, 2, 6]
    assert _values("year(day)") == [1970, 1969, None, 2026, 1]
    assert _values("cast(day as string)")[4] == "0001-01-01"
    assert _values("p * 2")[4] == Decimal("19.98")
    assert _values("day between date '1969-12-31' and '1970-01-01'")[:2] == [True, True]


def test_old_and_far_dates_have_their_parts() -> None:
    days = pa.array([-719_162, 2**31 - 1, -(2**31), -141_427], pa.int32()).view(pa.date32())
    found = [
        parse_expression(f"{part}(d)").evaluate({"d": days}).values.to_pylist()
        for part in ("year", "month", "day", "dayofyear")
    ]
    years, months, month_days, year_days = found
    assert years == [1, 5881580, -5877641, 1582]
    assert months == [1, 7, 6, 10]
    assert month_days == [1, 11, 23, 15]
    assert year_days == [1, 193, 174, 288]


def test_an_expression_travels_and_says_what_it_reads() -> None:
    expression = parse_expression("b + `a b` * b - length(s)")
    assert pickle.loads(pickle.dumps(expression)) == expression
    assert expression.columns == ("b", "a b", "s")
    assert expression.text == "b + `a b` * b - length(s)"


def test_batches_of_any_size_and_kind_give_the_same() -> None:
    expression = parse_expression("if(a > 0, x, p * 1.5D) + length(s)")
    whole = str(expression.evaluate(_BATCH).values)
    parts = [expression.evaluate(_BATCH.slice(row, 1)).values for row in range(5)]
    assert str(pa.concat_arrays(parts)) == whole
    assert len(expression.evaluate(_BATCH.slice(0, 0)).values) == 0
    columns = {name: _BATCH[name] for name in ("a", "x", "p")}
    columns["s"] = _BATCH["s"].cast(pa.large_string())
    assert str(expression.evaluate(columns).values) == whole


def test_a_sliced_batch_is_read_from_its_first_row() -> None:
    found = parse_expression("p * 1.000000000000000000000001 / 3").evaluate(_BATCH.slice(3, 2))
    assert [round(value, 2) for value in found.values.to_pylist()] == [
        Decimal("-0.75"),
        Decimal("3.33"),
    ]
    day = parse_expression("day").evaluate(_BATCH.slice(3, 1)).values.to_pylist()
    assert day == [date(2026, 2, 16)]
