"""Spark SQL's names of types."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.config.types import parse_ddl, spark_name

_ATOMS = [
    "tinyint",
    "smallint",
    "int",
    "bigint",
    "float",
    "double",
    "string",
    "boolean",
    "binary",
    "date",
    "timestamp",
    "timestamp_ntz",
    "decimal(38,9)",
]
_FIELD = st.text(min_size=1, max_size=6)


def _struct(fields: list[tuple[str, str]]) -> str:
    escaped = [(name.replace("`", "``"), type_) for name, type_ in fields]
    return "struct<" + ", ".join(f"`{name}`: {type_}" for name, type_ in escaped) + ">"


def _nested(types: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        types.map(lambda t: f"array<{t}>"),
        st.tuples(types, types).map(lambda pair: f"map<{pair[0]}, {pair[1]}>"),
        st.lists(st.tuples(_FIELD, types), max_size=3).map(_struct),
    )


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("INT", pa.int32()),
        ("Integer", pa.int32()),
        ("byte", pa.int8()),
        ("short", pa.int16()),
        ("long", pa.int64()),
        ("real", pa.float32()),
        ("dec", pa.decimal128(10, 0)),
        ("numeric(5)", pa.decimal128(5, 0)),
        (" decimal ( 10 , 2 ) ", pa.decimal128(10, 2)),
        ("varchar(20)", pa.string()),
        ("char(1)", pa.string()),
        ("boolean", pa.bool_()),
        ("timestamp", pa.timestamp("us", tz="UTC")),
        ("timestamp_ntz", pa.timestamp("us")),
        ("date", pa.date32()),
        ("array<array<double>>", pa.list_(pa.list_(pa.float64()))),
        ("map<string,double>", pa.map_(pa.string(), pa.float64())),
        (
            "STRUCT<a: INT, b STRING, `c d`: double>",
            pa.struct([("a", pa.int32()), ("b", pa.string()), ("c d", pa.float64())]),
        ),
        ("struct<>", pa.struct([])),
    ],
)
def test_types_of_spark(text: str, type_: pa.DataType) -> None:
    assert parse_ddl(text) == type_


@given(st.recursive(st.sampled_from(_ATOMS), _nested, max_leaves=6))
def test_names_and_types_are_inverse(text: str) -> None:
    type_ = parse_ddl(text)
    assert parse_ddl(spark_name(type_)) == type_


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("strng", "got 'strng' (did you mean string?); allowed: tinyint, "),
        ("array<doubel>", "got 'doubel' (did you mean double?)"),
        ("", "got '', with 'nothing' where a type belongs"),
        ("int int", "got 'int int', with 'int' after the type's end"),
        ("varchar", "varchar needs its length"),
        ("decimal(39,2)", "got decimal(39,2); a decimal has 1 to 38 digits"),
        ("decimal(2,3)", "got decimal(2,3)"),
        ("decimal(1,2,3)", "where a number or ')' belongs"),
        ("decimal()", "where a number or ')' belongs"),
        ("map<string>", "with '>' where ',' belongs"),
        ("array<int", "with 'its end' where '>' belongs"),
        ("struct<a: int b: int>", "with 'b' where ',' belongs"),
        ("struct<1: int>", "with '1' where the name of a field belongs"),
        ("int!", "in which '!' cannot be read"),
        ("array<" * 5000, "nested more than 32 deep"),
    ],
)
def test_what_is_no_type(text: str, fact: str) -> None:
    with pytest.raises(ValueError, match="allowed: tinyint") as caught:
        parse_ddl(text)
    assert fact in str(caught.value)


@given(st.text(alphabet="abdeimnrstu<>(),:` 0123456789_", max_size=30))
def test_any_text_is_a_type_or_a_value_error(text: str) -> None:
    try:
        type_ = parse_ddl(text)
    except ValueError:
        return
    assert parse_ddl(spark_name(type_)) == type_


@pytest.mark.parametrize(
    ("type_", "name"),
    [
        (pa.large_string(), "string"),
        (pa.struct([("a_1", pa.int32()), ("b c", pa.date32())]), "struct<a_1: int, `b c`: date>"),
        (pa.binary(16), "binary"),
        (pa.large_list(pa.int8()), "array<tinyint>"),
        (pa.list_(pa.float32(), 3), "array<float>"),
        (pa.timestamp("ns", tz="Europe/Paris"), "timestamp"),
    ],
)
def test_names_of_arrow_types(type_: pa.DataType, name: str) -> None:
    assert spark_name(type_) == name


@pytest.mark.parametrize(
    "type_",
    [pa.uint8(), pa.float16(), pa.null(), pa.time32("s"), pa.dictionary(pa.int8(), pa.string())],
)
def test_types_that_spark_has_not(type_: pa.DataType) -> None:
    with pytest.raises(ValueError, match="no name in Spark SQL"):
        spark_name(type_)


def test_a_pattern_that_only_pythons_engine_reads_has_its_groups() -> None:
    from batchinfer.config.schema import pattern_groups

    assert pattern_groups(r"^(?P<a>\w+)(?=;);(?P<b>x)?") == ("a", "b")
    with pytest.raises(ValueError, match="groups all have names"):
        pattern_groups(r"(?P<a>x)(?=;)(y)")
