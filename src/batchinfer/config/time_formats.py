"""How a configuration says that times are written: a format of strptime, or a number since 1970.

Owns which formats are allowed, so that one that could match no time is told before any is read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator

from batchinfer.config.fields import NotAllowed
from batchinfer.config.shapes.described import TEXT, json_schema

EpochFormat = Literal["epoch_s", "epoch_ms", "epoch_us"]
# Digits that a microsecond is behind the unit.
EPOCH_DIGITS: Mapping[str, int] = {"epoch_s": 6, "epoch_ms": 3, "epoch_us": 0}
_EPOCHS = "epoch_s, epoch_ms or epoch_us for numbers since 1970"
# Those of Python's strptime.
_DIRECTIVES = frozenset("aAwdbBmyYHIpMSfzZjUWcxXGuV%")


def check_time_format(value: str) -> str:
    """The format, if times can be written so; `%s` of C and of `date` is `epoch_s`.

    Raises:
        NotAllowed: a format of another language, or with a directive that strptime does not know.
    """
    if value in EPOCH_DIGITS:
        return value
    if value in ("%s", "%s.%f"):
        return "epoch_s"
    directives = re.findall(r"%(.?)", value, re.DOTALL)
    if not directives:
        raise NotAllowed(f"a format of strptime, such as '%Y-%m-%d %H:%M:%S', or {_EPOCHS}")
    unknown = [f"%{letter}" for letter in directives if letter not in _DIRECTIVES or not letter]
    if unknown:
        raise NotAllowed(
            f"the directives of Python's strptime, of which {unknown[0]} is none, or {_EPOCHS}"
        )
    twice = [letter for letter, count in Counter(directives).items() if count > 1]
    if set(twice) - {"%"}:
        raise NotAllowed(f"each directive once: %{next(each for each in twice if each != '%')}")
    return value


TimeFormat = Annotated[
    str,
    AfterValidator(check_time_format),
    json_schema("a format of strptime, or epoch_s, epoch_ms, epoch_us", TEXT),
]
