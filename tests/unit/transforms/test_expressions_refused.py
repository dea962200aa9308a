"""Expressions that are refused: at which character, what was got, what is allowed."""

from __future__ import annotations

import pickle

import pyarrow as pa
import pytest

from batchinfer.transforms.expressions import ExpressionError, parse_expression
from batchinfer.transforms.expressions.java_patterns import (
    PatternRefused,
    read_like,
    read_pattern,
    read_replacement,
)
from batchinfer.transforms.expressions.syntax import Literal

_TYPES = {
    "age": pa.int32(),
    "name": pa.string(),
    "ratio": pa.float64(),
    "wide": pa.decimal128(38, 10),
    "tags": pa.list_(pa.string()),
    "seen": pa.timestamp("us"),
    "nanos": pa.timestamp("ns"),
    "flag": pa.bool_(),
    "born": pa.date32(),
}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "character 1: got no expression"),
        ("age +", "character 6: got the end of the text; allowed: a column"),
        ("age 5", "character 5: got '5' after a whole expression"),
        ("(age", "character 5: got the end of the text; allowed: ')' for the bracket at"),
        ("age = 'x", "character 7: got a text whose closing quote"),
        ('age = "x"', "character 7: got a double quote; allowed: 'text' for text, `name`"),
        ("age # 1", "character 5: got '#', which means nothing"),
        ("age -- all", "character 5: comments"),
        ("`age", "character 1: got a name whose closing backtick"),
        ("age.year", "character 4: got '.'; allowed: plain columns"),
        ("5th", "character 1: got '5th', which is no number"),
        ("lenght(name)", "character 1: got the function 'lenght'; did you mean 'length'?"),
        ("if(age > 1, 2)", "character 1: got 2 values for if; allowed: 3"),
        ("substring(name)", "character 1: got 1 values for substring; allowed: 2 to 3"),
        ("cast(age as number)", "character 13: got the type 'number'"),
        (
            "cast(age as decimal(50,2))",
            "character 13: got the type 'decimal(50,2)'; allowed: decimal(precision,scale) with a "
            "precision from 1 to 38 and a scale from 0 to the precision",
        ),
        ("cast(age as numeric(5,9))", "got the type 'numeric(5,9)'; allowed: decimal(precision,"),
        ("cast(age as decimal(0))", "got the type 'decimal(0)'; allowed: decimal(precision,"),
        ("nvl(age, 1)", "got the function 'nvl', write coalesce(a, b); allowed: abs"),
        ("isnull(age)", "got the function 'isnull', write … is null"),
        ("len(name)", "got the function 'len', write length(…)"),
        ("date(name)", "got the function 'date', write cast(… as date)"),
        ("int(name)", "got the function 'int', write cast(… as int)"),
        ("case age end", "character 10: got 'end'; allowed: 'when'"),
        ("date '2026-02-30'", "character 1: got date '2026-02-30', which is none"),
        ("date 'today'", "character 1: got date 'today', which is none"),
        ("128Y", "character 1: got 128Y, which is no tinyint"),
        ("age * 1e400", "character 7: got 1e400, which is no double; allowed: -1.797693134862315"),
        ("age + -1.5e400", "character 7: got -1.5e400, which is no double"),
        ("1e400d", "character 1: got 1e400d, which is no double"),
        (
            "1e39f",
            "character 1: got 1e39f, which is no float; allowed: -3.4028235e38 to 3.4028235e38",
        ),
        ("9" * 39, f"got {'9' * 39}, with more than 38 digits; write {'9' * 39}e0, a double"),
        ("1e39bd", "got 1e39bd, with more than 38 digits; write 1e39, a double"),
        ("1e9999999999999999999bd", "with more than 38 digits; allowed: fewer"),
        ("9" * 5000, "with more than 38 digits; allowed: fewer"),
        ("9" * 5000 + "L", "which is no bigint"),
        ("and", "character 1: got 'and'; allowed: a value"),
        ("age + (select 1)", "character 8: got 'select'; an expression has the columns of one row"),
        (
            "age in (SELECT 1)",
            "character 9: got 'SELECT'; an expression has the columns of one row",
        ),
        ("(select (age))", "character 2: got 'select'; an expression has the columns of one row"),
        ("exists (select 1)", "and no subqueries (a column of that name stands in backticks)"),
        ("age is 5", "character 8: got '5' after 'is'; allowed: null"),
        ("a is null is null", "character 11: got 'is' after a whole expression"),
        ("(" * 70 + "1" + ")" * 70, "more than 60 levels of brackets"),
    ],
)
def test_text_that_is_no_expression(text: str, told: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text)
    assert told in str(caught.value)
    assert caught.value.exit_code == 2
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 + agee", "character 5: got the column 'agee'; did you mean 'age'?; allowed: age, name"),
        ("Age", "character 1: got the column 'Age'; did you mean 'age'?"),
        ("tags", "character 1: got the column 'tags' of type list<item: string>"),
        ("nanos", "character 1: got the column 'nanos' of type timestamp[ns]"),
        ("age + name", "character 7: got a string for '+'; allowed: numbers"),
        ("age + name", "allowed: numbers, such as cast(… as double)"),
        ("born + 1", "got a date for '+'; allowed: numbers, such as datediff(later, earlier)"),
        ("seen - seen", "got a timestamp_ntz for '-'; allowed: numbers, such as datediff("),
        ("age = name", "character 5: got int and string for '='"),
        ("born > 5", "values of one kind, such as year(…) or datediff(later, earlier) beside"),
        ("ratio = name", "values of one kind, such as cast(… as double)"),
        ("name = ratio", "values of one kind, such as cast(… as double)"),
        ("age and flag", "character 1: got a int for 'and'; allowed: a boolean"),
        ("case when age then 1 end", "character 11: got a int for 'when'"),
        ("case when flag then 1 else 'x' end", "character 1: got int and string for the values"),
        ("concat(name, age)", "character 14: got a int for concat; allowed: a string"),
        ("cast(ratio as string)", "whose digits depend on Spark's Java"),
        ("cast(wide as int)", "first a cast to bigint"),
        ("wide % 0.0000000000000000001", "for which Spark's own digits do not do"),
        ("-wide", "character 1: got a decimal(38,10), whose last digits Spark itself loses"),
        ("abs(wide)", "whose last digits Spark itself loses"),
        ("coalesce(wide, cast(1 as decimal(38,0)))", "got decimal(38,10) and decimal(38,0)"),
        ("try_cast(name as timestamp)", "some values that Spark takes are refused here"),
        ("cast(seen as bigint)", "got a timestamp_ntz for a cast to bigint"),
        ("null", "always null; allowed: cast(null as double)"),
        ("round(ratio, age)", "got an expression of type int for the places of round; allowed: a"),
        ("round(ratio, 39)", "got 39 for the places of round; allowed: a number from -38 to 38"),
        ("round(ratio, null)", "got null for the places of round"),
        ("round(ratio, 1.5)", "got 1.5 for the places of round"),
        ("round(ratio, date '2026-01-31')", "got an expression of type date for the places"),
        ("name like name", "got an expression of type string for like; allowed: a pattern that"),
        ("name rlike 5", "got 5 for rlike; allowed: a pattern that stands here as 'text'"),
        ("name like 'a\\\\b'", "the pattern of like with a backslash"),
        ("name rlike 'a$'", "write \\z for the end of the text"),
        ("seen > 'soon'", "character 8: got 'soon', which is no timestamp_ntz"),
        ("year(name)", "got a string for year; allowed: a date or a timestamp"),
    ],
)
def test_expressions_that_do_not_fit_the_columns(text: str, told: str) -> None:
    expression = parse_expression(text)
    with pytest.raises(ExpressionError) as caught:
        expression.type_of(_TYPES)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("3.4028235e38f", 3.4028234663852886e38),
        ("1e-400", 0.0),
        ("0" * 5000 + "7L", 7),
    ],
)
def test_numbers_at_the_end_of_their_range_are_numbers(text: str, value: float) -> None:
    tree = parse_expression(text).tree
    assert isinstance(tree, Literal) and tree.value == value


@pytest.mark.parametrize(
    ("java", "re2"),
    [
        ("ab+", "ab+"),
        (".", r"[^\n\r\x{85}\x{2028}\x{2029}]"),
        (r"\s", r"[ \t\n\x0B\f\r]"),
        (r"[^\s-]", r"[^ \t\n\x0B\f\r\x{2d}]"),
        (r"\D", "[^0-9]"),
        (r"^a\z", r"\Aa\z"),
        (r"(?:a|b){2,3}?\.", r"(?:a|b){2,3}?\x{2e}"),
        (r"[a-z_é]", r"[a-z\x{5f}\x{e9}]"),
        (r"A", "A"),
    ],
)
def test_patterns_that_java_and_re2_read_alike(java: str, re2: str) -> None:
    assert read_pattern(java).re2 == re2


@pytest.mark.parametrize(
    "java",
    [
        *(r"(a)\1", "(?=a)", "(?!a)", "(?<=a)b", "(?i)a", "a++", "a*+", "a$", r"\bx", r"\p{L}"),
        *(r"\Z", "[a&&b]", "[a[b]]", "(a*)*", "(a|)+", "a{2000}", "(", ")", "[a", "*a", "a**"),
        *("a{1}{2}", r"\h", r"\Qa\E", "(?<n>a)", "^*", "[z-a]", r"[\S]", "a{", "\\"),
    ],
)
def test_patterns_that_differ_are_refused(java: str) -> None:
    with pytest.raises(PatternRefused):
        read_pattern(java)


def test_replacements() -> None:
    assert read_replacement(r"[$1]\$$0\\", 1) == r"[\1]$\0\\"
    for java in ("$2", "$", "a\\", "${name}"):
        with pytest.raises(PatternRefused):
            read_replacement(java, 1)
    assert read_like(r"a\%_%") == r"(?s)\Aa\x{25}..*\z"
