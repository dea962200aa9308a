"""What a pickle would import, read from its opcodes; nothing is ever unpickled here.

Owns the scan and the words for what it finds. Knows no format.
"""

from __future__ import annotations

import pickletools

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
_MARK = pickletools.markobject
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
    stack = _Stack()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in ("GLOBAL", "INST"):
                found.add(str(argument).replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL":
                module, name = stack.values[-2:]
                both = isinstance(module, str) and isinstance(name, str)
                found.add(f"{module}.{name}" if both else UNKNOWN)
            elif opcode.name.startswith("EXT"):
                found.add(UNKNOWN)
            stack.follow(opcode, argument)
    # cut off or no pickle at all: what was found up to there counts, and that the rest is hidden
    except Exception:
        found.add(UNKNOWN)
    return found


class _Stack:
    """The stack of the machine that a pickle is a program of, as far as strings are concerned.

    Each opcode says what it takes and what it leaves. Source: `pickletools.opcodes`.

    Attributes:
        values: strings, marks, and None for all else.
    """

    def __init__(self) -> None:
        self.values: list[object] = []
        self._memo: dict[int, object] = {}

    def follow(self, opcode: pickletools.OpcodeInfo, argument: object) -> None:
        """What an opcode makes of the stack.

        Raises:
            LookupError: it takes more than there is.
        """
        name, values = opcode.name, self.values
        if name in _PUTS or name == "MEMOIZE":
            place = int(str(argument)) if name in _PUTS else len(self._memo)
            self._memo[place] = values[-1]
        elif name in _STRINGS:
            values.append(str(argument))
        elif name in _GETS:
            values.append(self._memo[int(str(argument))])
        elif name == "DUP":
            values.append(values[-1])
        else:
            self._pop(opcode)
            values += [_MARK if left is _MARK else None for left in opcode.stack_after]

    def _pop(self, opcode: pickletools.OpcodeInfo) -> None:
        taken = opcode.stack_before
        if _MARK in taken:
            while self.values.pop() is not _MARK:
                pass
            taken = taken[: taken.index(_MARK)]
        for _ in taken:
            self.values.pop()


def described(data: bytes) -> str:
    """What a pickle would import, in words."""
    names = sorted(imported(data))
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"loading it would import {shown}" if names else "loading it would run a pickle"
