"""What to do next: words, and commands among them that can be pasted whole.

Owns how the two are kept apart. Hints are texts like others for whoever only reads them; a terminal
shows each command on a line of its own, and JSON lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


class CommandLine(str):
    """A command as a shell takes it; it runs as it stands."""

    __slots__ = ()


class Hint(str):
    """A text with its commands told apart.

    Attributes:
        parts: words and commands in their order; together they are the text.
    """

    parts: tuple[str, ...]

    def __new__(cls, *parts: str) -> Hint:
        """Of words and commands: those that are a `CommandLine`, and those of other hints."""
        flat: list[str] = []
        for part in parts:
            flat += part.parts if isinstance(part, Hint) else [part]
        made = super().__new__(cls, "".join(flat))
        made.parts = tuple(part for part in flat if part)
        return made

    @classmethod
    def joined(cls, hints: Iterable[str], between: str) -> Hint:
        """Several hints as one."""
        parts: list[str] = []
        for hint in hints:
            parts += [between, hint] if parts else [hint]
        return cls(*parts)

    def changed(self, change: Callable[[str], str]) -> Hint:
        """The hint with each part as `change` gives it; what is a command stays one."""
        return Hint(
            *(
                CommandLine(change(part)) if isinstance(part, CommandLine) else change(part)
                for part in self.parts
            )
        )


def parts_of(hint: str) -> tuple[str, ...]:
    """Words and commands of a hint, in their order."""
    return hint.parts if isinstance(hint, Hint) else (hint,)


def hint_fields(hint: str | None) -> dict[str, Any]:
    """What JSON says of a hint: its text, and under `next` its commands."""
    if not hint:
        return {}
    commands = commands_of(hint)
    return {"hint": str(hint)} | ({"next": commands} if commands else {})


def commands_of(hint: str | None) -> list[str]:
    """The commands of a hint, each once; none of a text that tells none apart."""
    if hint is None:
        return []
    return list(dict.fromkeys(part for part in parts_of(hint) if isinstance(part, CommandLine)))
