"""How far a window reaches: a number of rows, or a span of time such as `24h`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import PlainValidator

from batchinfer.config.fields import NotAllowed, unquoted
from batchinfer.config.shapes.described import json_schema

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"([1-9]\d{0,5})(s|min|h|d|w)", re.ASCII)
_SPANS = "a span of time such as 30s, 15min, 24h, 7d, 4w"


def span_us(text: str) -> int:
    """Microseconds of a span that was checked."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"got {text!r}; allowed: {_SPANS}")
    return int(match[1]) * _SECONDS[match[2]] * 1_000_000


def _span(value: Any) -> str:
    if not isinstance(value, str) or _SPAN.fullmatch(value) is None:
        raise NotAllowed(_SPANS)
    return str(value)


def _window(value: Any) -> int | str:
    rows = unquoted(value)
    if isinstance(rows, int) and not isinstance(rows, bool) and 1 <= rows <= 1_000_000:
        return rows
    if isinstance(value, str) and _SPAN.fullmatch(value):
        return str(value)
    raise NotAllowed(f"a number of rows from 1 up, or {_SPANS}")


_TEXT: dict[str, Any] = {"type": "string", "pattern": f"^{_SPAN.pattern}$"}
Span = Annotated[str, PlainValidator(_span), json_schema(_SPANS, _TEXT)]
Window = Annotated[
    int | str,
    PlainValidator(_window),
    json_schema(
        f"a number of rows, or {_SPANS}",
        {"type": "integer", "minimum": 1, "maximum": 1_000_000},
        _TEXT,
    ),
]
