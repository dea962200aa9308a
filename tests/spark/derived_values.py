"""Rows of nasty values, and random expressions of them: what `derive` is held against Spark with.

The expressions are well typed for the most part; those that the language refuses are left out and
counted.
"""

from __future__ import annotations

import random
from decimal import Decimal

import pyarrow as pa

TYPES: dict[str, pa.DataType] = {
    "flag": pa.bool_(),
    "tiny": pa.int8(),
    "small": pa.int16(),
    "whole": pa.int32(),
    "big": pa.int64(),
    "single": pa.float32(),
    "real": pa.float64(),
    "other": pa.float64(),
    "price": pa.decimal128(10, 2),
    "rate": pa.decimal128(5, 5),
    "wide": pa.decimal128(38, 10),
    "text": pa.string(),
    "word": pa.string(),
    "day": pa.date32(),
    "moment": pa.timestamp("us", tz="UTC"),
    "local": pa.timestamp("us"),
    "blob": pa.binary(),
}

_NAN, _INF = float("nan"), float("inf")
_REALS = [0.0, -0.0, _NAN, _INF, -_INF, 1.0, -1.0, 0.5, 2.5, -2.5, 1.005, 1e-300, 1e300, 5e-324]
_REALS += [123.456, 1e15, 0.1, 2147483648.0, 9.223372036854775807e18, -128.9, 12345678.9, 3.0]
_NUMBER_TEXTS = ["5", " -7 ", "1.5", "1e3", "NaN", "99999999999", "-infinity", "0x1p3", "+5", "1d"]
_OTHER_TEXTS = ["abc", "true", "", "no", "1_0", "2026-02-28", "2026-2-3 ", "2026-02-30"]
_OTHER_TEXTS += ["2026-01-01 10:20:30.5"]
_MICROS = [0, -1, -62_135_596_800_000_000, 253_402_300_799_999_999, 951_782_399_000_000]
_VALUES: dict[str, list[object]] = {
    "flag": [True, False],
    "tiny": [0, 1, -1, 127, -128, 5],
    "small": [0, 1, -1, 32767, -32768, 12],
    "whole": [0, 1, -1, 2**31 - 1, -(2**31), 7, 100, -3],
    "big": [0, 1, -1, 2**63 - 1, -(2**63), 3_000_000_000, 10, -(2**53) - 1],
    "single": [0.0, -0.0, _NAN, _INF, -_INF, 1.5, -2.5, 0.1, 3e38, 16777217.0, 1e-45],
    "real": _REALS,
    "other": _REALS,
    "price": [Decimal(v) for v in ("0.00", "1.50", "-2.25", "99999999.99", "-0.01", "10.00")],
    "rate": [Decimal(v) for v in ("0.00000", "0.99999", "-0.50000", "0.12345", "0.00001")],
    "wide": [
        Decimal(v)
        for v in (
            "0.0000000000",
            "9999999999999999999999999999.9999999999",
            "-12345678901234.5678901234",
            "1.0000000000",
            "0.0000000001",
        )
    ],
    "text": ["", " ", "a", "Abc", "ß", "ÀéÎ", "日本語", "😀x", "a%b", "x_y", " pad ", "line\nend"],
    "word": [*_NUMBER_TEXTS, *_OTHER_TEXTS],
    "day": [0, -1, 20_500, -719_162, 2_932_896, -141_427, 19_782, -719_528, 4_000_000],
    "moment": [*_MICROS, 1_767_308_400_123_456, -2_208_988_800_000_001],
    "local": [*_MICROS, 1_767_308_400_000_000],
    "blob": [b"", b"a", b"\xff\x00", "é".encode()],
}


def nasty_rows(seed: int, count: int) -> pa.Table:
    """So many rows, each value drawn from those of its column; about one in eight is null."""
    chance = random.Random(seed)
    columns: dict[str, pa.Array] = {}
    for name, type_ in TYPES.items():
        values = [None if chance.random() < 0.12 else chance.choice(_VALUES[name])]
        values += [
            None if chance.random() < 0.12 else chance.choice(_VALUES[name])
            for _ in range(count - 1)
        ]
        if pa.types.is_temporal(type_):
            width = pa.int32() if pa.types.is_date32(type_) else pa.int64()
            columns[name] = pa.array(values, width).view(type_)
        else:
            columns[name] = pa.array(values, type_)
    return pa.table(columns)


_PATTERNS = [r"é|ß", r"a+", r"[A-Z]\\w?", r"^\\s*\\d+", r"(b|c)x?", r".\\z", r"[^a-c ]{1,2}"]
_PATTERNS += [r"\\."]
_LIKES = ["%", "a%", "_", "%\\%%", "_\\__", "%é%", "Abc", "%\\n%", ""]


class Expressions:
    """Random expressions over the columns of `TYPES`."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def one(self) -> str:
        if self._chance.random() < 0.15:
            return self._without_brackets()
        kind = self._chance.choice(["number"] * 4 + ["truth"] * 3 + ["string"] * 2 + ["time"])
        return self._of(kind, self._chance.randint(1, 3))

    def _without_brackets(self) -> str:
        """Operators of all levels in a row: which binds closer shows in the values."""
        parts = [self._test() for _ in range(self._chance.randint(1, 3))]
        made = parts[0]
        for part in parts[1:]:
            made += f" {self._pick('and', 'or')} {part}"
        return made

    def _test(self) -> str:
        return self._pick("", "", "not ") + self._pick(
            f"{self._sum()} {self._pick('=', '<', '>=', '<>', '<=>')} {self._sum()}",
            f"{self._sum()} < {self._sum()} = flag",
            f"{self._sum()} is {self._pick('', 'not ')}null",
            f"{self._sum()} > {self._sum()} is not true",
            f"{self._sum()} between {self._sum()} and {self._sum()}",
            f"{self._sum()} not in ({self._sum()}, {self._sum()})",
            "text || 'b' || word like '%a%'",
            "'1' || text = '1' || word",
        )

    def _sum(self) -> str:
        made = self._term()
        for _ in range(self._chance.randint(0, 2)):
            made += f" {self._pick('+', '-', '*', '/', '%', '*')} {self._term()}"
        return made

    def _term(self) -> str:
        return self._pick("", "", "", "- ", "+", "- +") + self._pick(
            "tiny", "real", "price", "2", "-3", "1.5", "small", "0.5e0"
        )

    def _pick(self, *choices: str) -> str:
        return self._chance.choice(choices)

    def _of(self, kind: str, depth: int) -> str:
        if depth <= 0 or self._chance.random() < 0.08:
            return self._leaf(kind)
        if self._chance.random() < 0.2:
            return self._any_kind(kind, depth - 1)
        return getattr(self, f"_{kind}")(depth - 1)

    def _leaf(self, kind: str) -> str:
        if self._chance.random() < 0.04:
            return "null"
        return {
            "number": lambda: self._pick(*_NUMBER_COLUMNS, *_NUMBER_COLUMNS, *_NUMBERS),
            "whole": lambda: self._pick("tiny", "small", "whole", "big", "2", "-1", "0", "100L"),
            "truth": lambda: self._pick("flag", "true", "false", "whole > 0", "text is null"),
            "string": lambda: self._pick("text", "word", "'a'", "'É\\n'", "''", "'5'"),
            "time": lambda: self._pick(
                "day", "moment", "local", "date '2024-02-29'", "timestamp '1999-12-31 23:59:59.9'"
            ),
        }[kind]()

    def _any_kind(self, kind: str, depth: int) -> str:
        a, b, c = (self._of(kind, depth) for _ in range(3))
        truth, other = self._of("truth", depth), self._of("truth", depth)
        return self._pick(
            f"case when {truth} then {a} when {other} then {b} else {c} end",
            f"case when {truth} then {a} end",
            f"case {a} when {b} then {c} else {a} end" if kind != "truth" else f"({a})",
            f"if({truth}, {a}, {b})",
            f"coalesce({a}, {b}, {c})",
            f"nullif({a}, {b})",
            f"greatest({a}, {b})",
            f"least({a}, {b}, {c})",
        )

    def _number(self, depth: int) -> str:
        a, b = self._of("number", depth), self._of("number", depth)
        whole = self._of("whole", depth)
        text, time = self._of("string", depth), self._of("time", depth)
        places = self._pick("0", "1", "2", "-1", "-2", "5", "10")
        return self._pick(
            *(f"({a} {sign} {b})" for sign in "+-*/%+-*/"),
            f"({whole} {self._pick('+', '-', '*', '%', 'div', '/')} {self._of('whole', depth)})",
            f"-{a}" if not a.startswith("-") else f"-({a})",
            f"abs({a})",
            f"round({a}, {places})",
            f"round({a})",
            f"{self._pick('floor', 'ceil')}({a})",
            f"{self._pick('log', 'ln', 'log10', 'log2', 'log1p', 'exp', 'sqrt', 'sign')}({a})",
            f"log({a}, {b})",
            f"pow({a}, {b})",
            f"length({self._pick(text, 'blob')})",
            f"{self._pick('year', 'month', 'day', 'hour', 'minute', 'second')}({time})",
            f"{self._pick('quarter', 'dayofweek', 'weekday', 'dayofyear')}({time})",
            f"datediff({time}, {self._of('time', depth)})",
            f"cast({a} as {self._pick(*_NUMBER_TYPES)})",
            f"{self._pick('cast', 'try_cast')}({text} as {self._pick(*_NUMBER_TYPES)})",
            f"cast({self._pick('moment', 'flag')} as {self._pick('bigint', 'double', 'int')})",
        )

    def _whole(self, depth: int) -> str:
        one, other = self._of("whole", depth), self._leaf("whole")
        return f"({one} {self._pick('+', '-', '*', '%')} {other})"

    def _truth(self, depth: int) -> str:
        kind = self._pick("number", "number", "string", "time")
        a, b, c = (self._of(kind, depth) for _ in range(3))
        truth, other = self._of("truth", depth), self._of("truth", depth)
        text = self._of("string", depth)
        return self._pick(
            *(f"({a} {sign} {b})" for sign in ("=", "<>", "<", "<=", ">", ">=", "<=>", "!=")),
            f"({truth} and {other})",
            f"({truth} or {other})",
            f"(not {truth})",
            f"({self._any_of(depth)} is {self._pick('', 'not ')}null)",
            f"({truth} is {self._pick('', 'not ')}{self._pick('true', 'false')})",
            f"({a} {self._pick('', 'not ')}in ({b}, {c}))",
            f"({a} {self._pick('', 'not ')}between {b} and {c})",
            f"({text} {self._pick('', 'not ')}like '{self._pick(*_LIKES)}')",
            f"({text} rlike '{self._pick(*_PATTERNS)}')",
            f"cast({self._pick(self._of('number', depth), text)} as boolean)",
            f"({a} is distinct from {b})",
            "(blob = blob)",
        )

    def _any_of(self, depth: int) -> str:
        return self._of(self._pick("number", "string", "truth", "time"), depth)

    def _string(self, depth: int) -> str:
        a, b = self._of("string", depth), self._of("string", depth)
        position = self._pick("0", "1", "2", "-1", "-3", "-10", "small", "2147483647")
        length = self._pick("0", "1", "2", "-1", "2147483647", "tiny")
        return self._pick(
            f"concat({a}, {b})",
            f"({a} || {b})",
            f"substring({a}, {position}, {length})",
            f"substr({a}, {position})",
            f"{self._pick('lower', 'upper')}({a})",
            f"{self._pick('trim', 'ltrim', 'rtrim')}({a})",
            f"regexp_replace({a}, '{self._pick(*_PATTERNS[1:])}', '{self._pick('', '-', '<$0>')}')",
            f"cast({self._pick(*_NAMES_OF_WRITTEN)} as string)",
            f"cast({self._of('time', depth)} as string)",
        )

    def _time(self, depth: int) -> str:
        a = self._of("time", depth)
        return self._pick(
            f"cast({a} as {self._pick('date', 'timestamp', 'timestamp_ntz')})",
            f"to_date({self._pick('word', a)})",
            f"cast({self._pick('whole', 'big', 'small')} as timestamp)",
            "cast(word as timestamp)",
            "cast(word as timestamp_ntz)",
            "try_cast(word as date)",
        )


_NUMBER_COLUMNS = ["tiny", "small", "whole", "big", "single", "real", "other", "price", "rate"]
_NUMBER_COLUMNS += ["wide"]
_NUMBERS = ["0", "1", "-1", "2", "10", "1.5", "-0.25", "100", "3000000000", "1e3", "0.001", "2.5D"]
_NUMBERS += ["1.5F", "7L", "3S", "2Y", "-2147483648"]
_NUMBER_TYPES = ["tinyint", "smallint", "int", "bigint", "float", "double", "decimal(5,2)"]
_NUMBER_TYPES += ["decimal(38,10)", "decimal(10,0)"]
_NAMES_OF_WRITTEN = ["tiny", "small", "whole", "big", "flag", "price", "rate", "wide"]
