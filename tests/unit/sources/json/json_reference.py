"""What JSON lines mean, in plain Python and one value at a time: the reference that the readers are
held against.
"""

from __future__ import annotations

import datetime
import decimal
import json
import re
from collections.abc import Callable
from typing import Any

# Columns of the tests: name -> (what a pipeline file says, path in plain steps, rule of the value).
SCHEMA: dict[str, Any] = {
    "id": "bigint",
    "ratio": "double",
    "ok": "boolean",
    "price": "decimal(6,2)",
    "at": "timestamp",
    "name": {"type": "string", "path": "user.name"},
    "tag": {"type": "string", "path": "tags[0].text"},
    "tags": "array<struct<text: string, n: int>>",
}


class Bad(Exception):
    """The line is no row; says why."""


def _refuse(name: str) -> Any:
    raise ValueError(name)


def load(line: bytes) -> dict[str, Any]:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise Bad("not_utf8") from error
    try:
        value = json.loads(
            text, parse_float=lambda digits: decimal.Decimal(digits), parse_constant=_refuse
        )
    except ValueError as error:
        raise Bad("json") from error
    if not isinstance(value, dict):
        raise Bad("not_object")
    return value


def need(condition: bool) -> None:
    if not condition:
        raise Bad("type")


def whole(bits: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        need(type(value) is int and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1))
        return value

    return check


def number(value: Any) -> float:
    need(type(value) in (int, decimal.Decimal))
    need(abs(decimal.Decimal(value)) < decimal.Decimal("1.7976931348623158e308"))
    return float(value)


def price(value: Any) -> decimal.Decimal:
    need(type(value) in (int, decimal.Decimal, str))
    if isinstance(value, str):
        need(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value, re.ASCII) is not None)
    exact = decimal.Decimal(value)
    need(abs(exact) < 10**4)
    rounded = exact.quantize(decimal.Decimal("0.01"))
    need(rounded == exact)
    return rounded


def boolean(value: Any) -> bool:
    need(isinstance(value, bool))
    return value


def moment(value: Any) -> datetime.datetime:
    """Spaces around it are no part of it, as in text."""
    need(isinstance(value, str))
    bare = value.strip(" \t")
    need(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", bare, re.ASCII) is not None)
    try:
        return datetime.datetime.fromisoformat(bare).replace(tzinfo=datetime.timezone.utc)
    except ValueError as error:
        raise Bad("type") from error


def plain(value: Any) -> str:
    """Compact JSON; a fraction as it stands in the line (the tests write none that Decimal would
    write otherwise).
    """
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(plain, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{plain(key)}:{plain(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def text(value: Any) -> str:
    found = value if isinstance(value, str) else plain(value)
    need(not re.search("[\ud800-\udfff]", found))
    return found


def maybe(rule: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else rule(value)


def part(value: Any, step: Any) -> Any:
    if value is None:
        return None
    if isinstance(step, int):
        need(isinstance(value, list))
        return value[step] if step < len(value) else None
    need(isinstance(value, dict))
    return value.get(step)


def tag(value: Any) -> dict[str, Any]:
    return {"text": maybe(text, part(value, "text")), "n": maybe(whole(32), part(value, "n"))}


def tags(value: Any) -> list[Any]:
    need(isinstance(value, list))
    return [maybe(tag, item) for item in value]


def row(line: bytes) -> dict[str, Any]:
    """The row of a line.

    Raises:
        Bad: it is none.
    """
    record = load(line)
    return {
        "id": maybe(whole(64), record.get("id")),
        "ratio": maybe(number, record.get("ratio")),
        "ok": maybe(boolean, record.get("ok")),
        "price": maybe(price, record.get("price")),
        "at": maybe(moment, record.get("at")),
        "name": maybe(text, part(record.get("user"), "name")),
        "tag": maybe(text, part(part(record.get("tags"), 0), "text")),
        "tags": maybe(tags, record.get("tags")),
    }
