"""Names for columns: those of the data where they can be kept, else names made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from batchinfer.contracts import SLICE, SOURCE_FILE, SOURCE_LINE

_STORABLE = re.compile(r"[^\W\d]\w*")
_TAKEN = (SLICE, SOURCE_FILE, SOURCE_LINE)


def storable_names(given: Iterable[str]) -> list[str]:
    """A name for each column that tables can store, that expressions can hold without quotes, and
    that no other has in any case. A name that can be kept is not given to another column.
    """
    columns = list(given)
    names: list[str] = []
    kept: dict[str, int] = {}
    for place, old in enumerate(columns, 1):
        if _STORABLE.fullmatch(old) and old.lower() not in _TAKEN:
            kept.setdefault(old.lower(), place)
    taken = set[str](_TAKEN) | kept.keys()
    for place, old in enumerate(columns, 1):
        if kept.get(old.lower()) == place:
            names.append(old)
            continue
        plain = re.sub(r"\W+", "_", old).strip("_")
        name = plain if plain != "" else f"c{place}"
        name = old if _STORABLE.fullmatch(old) else name
        name = f"c_{name}" if name[0].isdigit() else name
        if name.lower() in _TAKEN:
            name = f"{name}_"
        again, wanted = 2, name
        while name.lower() in taken:
            name, again = f"{wanted}_{again}", again + 1
        taken.add(name.lower())
        names.append(name)
    return names
