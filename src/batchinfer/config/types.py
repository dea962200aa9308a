"""Spark SQL's names of column types, and what they are in Arrow.

Owns the grammar of types in `schema:` and in a handler's `output`. Reading a type needs no pyarrow,
so that a pipeline file is checked without it; only `parse_ddl` and `spark_name` import it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from batchinfer.config.suggestions import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

_SIMPLE = {
    "tinyint": "tinyint", "byte": "tinyint",
    "smallint": "smallint", "short": "smallint",
    "int": "int", "integer": "int",
    "bigint": "bigint", "long": "bigint",
    "float": "float", "real": "float",
    "double": "double",
    "string": "string",
    "boolean": "boolean",
    "binary": "binary",
    "date": "date",
    "timestamp": "timestamp", "timestamp_ltz": "timestamp",
    "timestamp_ntz": "timestamp_ntz",
}  # fmt: skip
_DECIMAL = ("decimal", "dec", "numeric")
_SIZED = ("varchar", "char")
_NESTED = ("array", "map", "struct")
_ALLOWED = (
    "tinyint, smallint, int, bigint, float, double, decimal(p,s), string, varchar(n), char(n), "
    "boolean, binary, date, timestamp, timestamp_ntz, array<…>, map<…,…>, struct<name: …, …>"
)
_TOKEN = re.compile(
    r"\s*(?:(?P<word>[A-Za-z_]\w*)|(?P<number>\d+)|`(?P<quoted>(?:[^`]|``)+)`|(?P<sign>[<>(),:]))",
    re.ASCII,
)
_MAX_DEPTH = 32


@dataclass(frozen=True)
class SqlType:
    """A type as it was read.

    Attributes:
        name: the shortest of Spark's names for it; `string` for varchar and char.
        numbers: precision and scale of a decimal.
        parts: (name, type) of what it is made of: `element`; `key` and `value`; the fields of a
            struct.
    """

    name: str
    numbers: tuple[int, ...] = ()
    parts: tuple[tuple[str, SqlType], ...] = ()


def read_type(text: str) -> SqlType:
    """Reads a Spark SQL type such as `decimal(10,2)` or `array<struct<item: string, score:
    double>>`, in any case.

    Raises:
        ValueError: no such type; the message says what was got and what is allowed.
    """
    reader = _Reader(text)
    found = reader.type(0)
    if reader.token is not None:
        raise reader.error(f"got {text!r}, with {reader.token!r} after the type's end")
    return found


class _Reader:
    """Recursive descent over the tokens of a type."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.token: str | None = None
        self.kind: str | None = None
        self.next()

    def error(self, fact: str) -> ValueError:
        return ValueError(f"{fact}; allowed: {_ALLOWED}")

    def next(self) -> str | None:
        """Moves to the next token, and returns the one that was passed."""
        passed = self.token
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            if rest := self.text[self.at :].strip():
                raise self.error(f"got {self.text!r}, in which {rest[:20]!r} cannot be read")
            self.token = self.kind = None
            return passed
        self.at, self.kind = match.end(), match.lastgroup
        token = match[match.lastgroup or 0]
        self.token = token.replace("``", "`") if self.kind == "quoted" else token
        return passed

    def take(self, sign: str) -> None:
        if self.kind != "sign" or self.token != sign:
            raise self.error(
                f"got {self.text!r}, with {self.token or 'its end'!r} where {sign!r} belongs"
            )
        self.next()

    def accept(self, sign: str) -> bool:
        if self.kind == "sign" and self.token == sign:
            self.next()
            return True
        return False

    def type(self, depth: int) -> SqlType:
        if depth > _MAX_DEPTH:
            raise self.error(f"got a type nested more than {_MAX_DEPTH} deep")
        if self.kind != "word" or self.token is None:
            raise self.error(
                f"got {self.text!r}, with {self.token or 'nothing'!r} where a type belongs"
            )
        name = self.token.lower()
        if name not in (*_SIMPLE, *_DECIMAL, *_SIZED, *_NESTED):
            raise self.error(
                f"got {self.token!r}{did_you_mean(name, (*_SIMPLE, *_DECIMAL, *_SIZED, *_NESTED))}"
            )
        self.next()
        if name in _SIMPLE:
            return SqlType(_SIMPLE[name])
        if name in _DECIMAL:
            return self.decimal()
        if name in _SIZED:
            if len(self.numbers(1, 1)) != 1:
                raise self.error(f"got {self.text!r}; {name} needs its length, such as {name}(20)")
            return SqlType("string")
        self.take("<")
        return {"array": self.array, "map": self.map, "struct": self.struct}[name](depth + 1)

    def numbers(self, low: int, most: int) -> tuple[int, ...]:
        """What stands in the parentheses, if there are any: at most `most` numbers from `low`
        up.
        """
        found: list[int] = []
        if not self.accept("("):
            return ()
        while True:
            if (
                self.kind != "number"
                or self.token is None
                or len(self.token) > 9
                or int(self.token) < low
                or len(found) == most
            ):
                raise self.error(
                    f"got {self.text!r}, with {self.token or 'its end'!r} where a number or ')' "
                    "belongs"
                )
            found.append(int(self.token))
            self.next()
            if not self.accept(","):
                break
        self.take(")")
        return tuple(found)

    def decimal(self) -> SqlType:
        given = self.numbers(0, 2)
        precision, scale = (*given, 0)[:2] if given else (10, 0)
        if not (1 <= precision <= 38 and 0 <= scale <= precision):
            raise self.error(
                f"got decimal({precision},{scale}); a decimal has 1 to 38 digits, of which at most "
                "all are decimals"
            )
        return SqlType("decimal", (precision, scale))

    def array(self, depth: int) -> SqlType:
        element = self.type(depth)
        self.take(">")
        return SqlType("array", parts=(("element", element),))

    def map(self, depth: int) -> SqlType:
        key = self.type(depth)
        self.take(",")
        value = self.type(depth)
        self.take(">")
        return SqlType("map", parts=(("key", key), ("value", value)))

    def struct(self, depth: int) -> SqlType:
        parts: list[tuple[str, SqlType]] = []
        while not self.accept(">"):
            if parts:
                self.take(",")
            if self.kind not in ("word", "quoted") or self.token is None:
                raise self.error(
                    f"got {self.text!r}, with {self.token or 'its end'!r} where the name of a "
                    "field belongs"
                )
            name = self.token
            self.next()
            self.accept(":")  # Spark takes `a: int` and `a int`
            parts.append((name, self.type(depth)))
        return SqlType("struct", parts=tuple(parts))


@cache
def parse_ddl(text: str) -> pa.DataType:
    """Arrow type of a Spark SQL type; `timestamp` is microseconds in UTC, `timestamp_ntz` has no
    zone.

    Raises:
        ValueError: no such type; the message says what was got and what is allowed.
    """
    return to_arrow(read_type(text))


def to_arrow(type_: SqlType) -> pa.DataType:
    """Arrow type of a type that was read."""
    import pyarrow as pa

    parts = [(name, to_arrow(part)) for name, part in type_.parts]
    if type_.name == "array":
        return pa.list_(parts[0][1])
    if type_.name == "map":
        return pa.map_(parts[0][1], parts[1][1])
    if type_.name == "struct":
        return pa.struct([pa.field(name, part) for name, part in parts])
    if type_.name == "decimal":
        return pa.decimal128(*type_.numbers)
    return {
        "tinyint": pa.int8(),
        "smallint": pa.int16(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "string": pa.string(),
        "boolean": pa.bool_(),
        "binary": pa.binary(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "timestamp_ntz": pa.timestamp("us"),
    }[type_.name]


def spark_name(type_: pa.DataType) -> str:
    """Spark SQL's name of an Arrow type: the inverse of `parse_ddl`.

    Large and view variants of text, bytes and lists have the name of the plain one; timestamps of
    any unit that of Spark's.

    Raises:
        ValueError: Spark has no such type (unsigned and 16-bit numbers, times of day, dictionaries
            …).
    """
    import pyarrow.types as is_

    if is_.is_decimal128(type_):
        return f"decimal({type_.precision},{type_.scale})"
    if is_.is_timestamp(type_):
        return "timestamp_ntz" if type_.tz is None else "timestamp"
    if is_.is_map(type_):
        return f"map<{spark_name(type_.key_type)},{spark_name(type_.item_type)}>"
    if (
        is_.is_list(type_)
        or is_.is_large_list(type_)
        or is_.is_fixed_size_list(type_)
        or is_.is_list_view(type_)
    ):
        return f"array<{spark_name(type_.value_type)}>"
    if is_.is_struct(type_):
        fields = [f"{_quoted(field.name)}: {spark_name(field.type)}" for field in type_]
        return f"struct<{', '.join(fields)}>"
    if is_.is_large_string(type_) or is_.is_string_view(type_):
        return "string"
    if is_.is_large_binary(type_) or is_.is_binary_view(type_) or is_.is_fixed_size_binary(type_):
        return "binary"
    names = {
        "int8": "tinyint",
        "int16": "smallint",
        "int32": "int",
        "int64": "bigint",
        "float": "float",
        "double": "double",
        "string": "string",
        "bool": "boolean",
        "binary": "binary",
        "date32[day]": "date",
    }
    if str(type_) not in names:
        raise ValueError(
            f"got the Arrow type {type_}, which has no name in Spark SQL; allowed: {_ALLOWED}"
        )
    return names[str(type_)]


def _quoted(name: str) -> str:
    return (
        name
        if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)
        else "`" + name.replace("`", "``") + "`"
    )
