"""Names that were probably meant to be another one: a column that was renamed by a hand or a tool.

Owns what counts as alike. Must not know where the names come from.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Letters of a name from which on one of them, or two, may differ.
_ONE_MAY_DIFFER, _TWO_MAY_DIFFER = 4, 8
# Longer names are compared without spelling faults.
_LONGEST = 64


def look_alikes(name: str, others: Iterable[str]) -> list[str]:
    """Those of the others that look like the name, sorted.

    Alike are names that differ in case, accents, spaces and signs only (`Amount (EUR)`,
    `amount_eur`), and names of four letters or more with one letter added, left out, changed or
    swapped with its neighbour, from eight letters on with two. Names that differ in a digit are
    others: `price_1` is not `price_2`.
    """
    plain = _plain(name)
    return sorted(other for other in others if other != name and _alike(plain, _plain(other)))


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return re.sub(r"[\W_]+", "", "".join(c for c in decomposed if not unicodedata.combining(c)))


def _alike(one: str, other: str) -> bool:
    if one == other:
        return one != ""
    shorter = min(len(one), len(other))
    allowed = (shorter >= _ONE_MAY_DIFFER) + (shorter >= _TWO_MAY_DIFFER)
    if not allowed or abs(len(one) - len(other)) > allowed or max(len(one), len(other)) > _LONGEST:
        return False
    if re.sub(r"\D+", " ", one).split() != re.sub(r"\D+", " ", other).split():
        return False
    return _distance(one, other) <= allowed


def _distance(one: str, other: str) -> int:
    """How many letters are added, left out, changed or swapped (optimal string alignment)."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, opposite in enumerate(other, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != opposite))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == opposite:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
