"""Sizes as people write them."""

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
