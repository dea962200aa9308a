"""What a pickle would import, read from its opcodes; nothing is ever unpickled here.

Owns the scan and the words for what it finds. Knows no format.
"""

from __future__ import annotations

import pickletools
from typing import Any

_SCANNED_BYTES = 64 * 2**20
_STRINGS = {
    "SHORT_BINUNICODE",
    "BINUNICODE",
    "BINUNICODE8",
    "UNICODE",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
}
_PUTS, _GETS = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
UNKNOWN = "something that its opcodes hide"


def is_pickle(data: bytes) -> bool:
    """True if the bytes start as a pickle does: the opcode of a protocol from 2 on, or a whole
    pickle of an older one.
    """
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return True
    if data[:1] not in (b"(", b"c", b"]", b"}", b"i") or not data.rstrip().endswith(b"."):
        return False
    try:
        return any(
            opcode.name == "STOP" for opcode, _, _ in pickletools.genops(data[:_SCANNED_BYTES])
        )
    except Exception:  # whatever the scanner makes of text that is no pickle
        return False


def imported(data: bytes) -> set[str]:
    """`module.name` of everything that unpickling would import; what cannot be told is `UNKNOWN`.

    Runs on: driver and executor.
    """
    found: set[str] = set()
    strings: list[str | None] = []
    memo: dict[int, str | None] = {}
    last: str | None = None
    try:
        for opcode, argument, _ in pickletools.genops(data):
            name = opcode.name
            if name in ("GLOBAL", "INST"):
                found.add(str(argument).replace(" ", "."))
            elif name == "STACK_GLOBAL":
                pair = strings[-2:]
                found.add(
                    ".".join(str(part) for part in pair)
                    if len(pair) == 2 and None not in pair
                    else UNKNOWN
                )
            elif name.startswith("EXT"):
                found.add(UNKNOWN)
            last = _note(name, argument, strings, memo, last)
    # cut off or no pickle at all: what was found up to there counts, and that the rest is hidden
    except Exception:
        found.add(UNKNOWN)
    return found


def _note(
    name: str,
    argument: Any,
    strings: list[str | None],
    memo: dict[int, str | None],
    last: str | None,
) -> str | None:
    """Follows the strings on the stack, as far as a module and a name are concerned."""
    if name in _STRINGS:
        strings.append(str(argument))
        return str(argument)
    if name == "MEMOIZE":
        memo[len(memo)] = last
        return last
    if name in _PUTS:
        memo[int(argument)] = last
        return last
    if name in _GETS:
        strings.append(memo.get(int(argument)))
        return strings[-1]
    return None


def described(data: bytes) -> str:
    """What a pickle would import, in words."""
    names = sorted(imported(data))
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"loading it would import {shown}" if names else "loading it would run a pickle"
