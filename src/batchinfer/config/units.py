"""Sizes and times as people write them."""

from __future__ import annotations

import re
from typing import Any

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_SIZE = re.compile(r"^\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]*)\s*$", re.ASCII)


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,6})([smhd])", re.ASCII)


def parse_bytes(value: Any) -> Any:
    """Bytes of a size such as `64MiB`; what is not text passes as it is.

    Raises:
        ValueError: for text that is no size.
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.match(value)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(
            f"got {value!r}; allowed: a number of bytes, or a size such as 512KiB, 64MiB, 1GiB"
        )
    return int(float(match[1]) * _UNITS[match[2].lower()])


def parse_duration(text: object) -> int:
    """Seconds of a time such as `26h`.

    Raises:
        ValueError: for what is no such time, or no time at all.
    """
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if seconds < 1:
        raise ValueError(f"got {text!r}; allowed: a time such as 90s, 30m, 26h or 7d")
    return seconds
