"""Spark SQL type names and the Arrow types that stand for them.

Owns the names that a signature and a handler's `output` are written in. Knows no data.
"""

from __future__ import annotations

import re

import pyarrow as pa

from batchinfer.errors import ConfigError

_SIMPLE: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "timestamp_ntz": pa.timestamp("us"),
}
_SYNONYMS = {"bool": "boolean", "byte": "tinyint", "short": "smallint", "integer": "int", "long": "bigint", "real": "float"}
# Arrow has several layouts of the same Spark type.
_LAYOUTS: dict[pa.DataType, str] = {type_: name for name, type_ in _SIMPLE.items()} | {
    pa.large_string(): "string",
    pa.string_view(): "string",
    pa.large_binary(): "binary",
    pa.binary_view(): "binary",
}
_DECIMAL = re.compile(r"decimal\((\d+),(-?\d+)\)")


def arrow_type(name: str) -> pa.DataType:
    """Arrow type of a Spark SQL type such as `double`, `array<double>` or `map<string,double>`.

    Runs on: driver and executor.

    Raises:
        ConfigError: no such type.
    """
    text = re.sub(r"\s+", "", name)
    word = text.lower()
    word = _SYNONYMS.get(word, word)
    if word in _SIMPLE:
        return _SIMPLE[word]
    if decimal := _DECIMAL.fullmatch(word):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    head, _, inner = text.partition("<")
    if inner.endswith(">"):
        parts = _split(inner[:-1])
        if head.lower() == "array" and len(parts) == 1:
            return pa.list_(arrow_type(parts[0]))
        if head.lower() == "map" and len(parts) == 2:
            return pa.map_(arrow_type(parts[0]), arrow_type(parts[1]))
        if head.lower() == "struct" and all(":" in part for part in parts):
            return pa.struct([(part.partition(":")[0], arrow_type(part.partition(":")[2])) for part in parts])
    allowed = ", ".join([*_SIMPLE, "decimal(p,s)", "array<…>", "map<…,…>", "struct<name:…>"])
    raise ConfigError(f"unknown type {name!r}. Allowed: {allowed}")


def _split(text: str) -> list[str]:
    """The parts between the outermost commas."""
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character in "<(") - (character in ">)")
        if character == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def sql_type(type_: pa.DataType) -> str:
    """Spark SQL type of an Arrow column, in one spelling: what a signature compares.

    Runs on: driver and executor.
    """
    if type_ in _LAYOUTS:
        return _LAYOUTS[type_]
    if isinstance(type_, pa.DictionaryType):
        return sql_type(type_.value_type)
    if isinstance(type_, pa.TimestampType):
        return "timestamp_ntz" if type_.tz is None else "timestamp"
    if isinstance(type_, pa.Decimal128Type):
        return f"decimal({type_.precision},{type_.scale})"
    if isinstance(type_, pa.MapType):
        return f"map<{sql_type(type_.key_type)},{sql_type(type_.item_type)}>"
    if isinstance(type_, pa.StructType):
        return f"struct<{','.join(f'{field.name}:{sql_type(field.type)}' for field in type_.fields)}>"
    if isinstance(type_, pa.ListType | pa.LargeListType | pa.FixedSizeListType):
        return f"array<{sql_type(type_.value_type)}>"
    return str(type_)
