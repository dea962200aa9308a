"""What an expression consists of before its types are known: a tree, and the error that names a
place.

Owns the nodes of the tree and `ExpressionError`. Knows no column's type and evaluates nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from batchinfer.errors import ConfigError


class ExpressionError(ConfigError):
    """An expression that cannot be read, or that does not fit the columns it is given; the message
    names the character.
    """


@dataclass(frozen=True)
class Literal:
    """A value that stands in the text.

    Attributes:
        at: place of its first character, counted from 0; of every node.
        value: as Python's own; a Decimal for decimals, days for a date, microseconds for a
            timestamp; None for null.
        type: as Spark types it.
    """

    at: int
    value: Any
    type: pa.DataType


@dataclass(frozen=True)
class Named:
    """A column."""

    at: int
    name: str


@dataclass(frozen=True)
class Call:
    """A function or an operator; operators are named by their sign or word."""

    at: int
    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class CastTo:
    """`cast(x as type)`, or `try_cast`, where a value that does not fit is null."""

    at: int
    argument: Node
    type: pa.DataType
    lenient: bool


Node = Literal | Named | Call | CastTo


def columns_read(node: Node) -> Iterator[Named]:
    """The columns in order of mention, each as often as it stands there."""
    if isinstance(node, Named):
        yield node
    elif isinstance(node, Call):
        for argument in node.arguments:
            yield from columns_read(argument)
    elif isinstance(node, CastTo):
        yield from columns_read(node.argument)


def told_at(at: int, told: str) -> ExpressionError:
    """The error with its place, counted from 1 as people do."""
    return ExpressionError(f"character {at + 1}: {told}")
