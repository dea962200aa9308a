"""Reads YAML text into plain values, remembering where each of them stands.

Owns what counts as YAML here: YAML 1.1 as PyYAML reads it, without tags that make objects, with
duplicate keys as problems, and with `1e-3` as a number (YAML 1.2 has it so; YAML 1.1 makes it text,
which surprises everyone).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from batchinfer.config.places import Path, Places, Spot
from batchinfer.config.suggestions import shown
from batchinfer.contracts import Problem

# Far above any real file; stops aliases of aliases, which can stand for billions of values in a few
# lines.
_MAX_NODES = 100_000
_PREFIX = "tag:yaml.org,2002:"
_SCALARS = {
    _PREFIX + name for name in ("null", "bool", "int", "float", "str", "timestamp", "value")
}
# What PyYAML's own conversions raise on words such as 0x_, !!bool x, !!int "", 2026-13-45.
_NOT_READABLE = (ValueError, OverflowError, LookupError, AttributeError, yaml.YAMLError)


class _Loader(yaml.SafeLoader):
    """SafeLoader with its own table of plain words, so that PyYAML's is not changed for anyone
    else.
    """


_Loader.add_implicit_resolver(
    _PREFIX + "float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class Document:
    """What a YAML text holds.

    Attributes:
        value: plain values; None where nothing could be read.
        places: where its parts stand.
        problems: syntax errors, duplicate keys, words that cannot be read.
        lost: paths whose values could not be read, and are None for that.
        readable: False if the syntax is broken, so that `value` says nothing.
    """

    value: Any
    places: Places
    problems: list[Problem] = field(default_factory=list)
    lost: frozenset[Path] = frozenset()
    readable: bool = True


def read_document(text: str, name: str, order: int = 0, positions: bool = True) -> Document:
    """Reads one YAML document.

    Args:
        text: the YAML.
        name: what places begin with: a file name, or the override that the text is from.
        order: sorts the places of several texts.
        positions: whether places carry line and column.

    Runs on: driver.
    """
    root = Spot(name, (order, 0, 0))
    try:
        # The pure-Python reader: the one in C ends the process on deeply nested text.
        loader = _Loader(text)
        node = loader.get_single_node()
    except RecursionError:
        return Document(
            None,
            Places(root),
            [Problem((), "the YAML is nested too deep to be read")],
            readable=False,
        )
    except yaml.YAMLError as error:
        message, line, column = _syntax(error, text)
        spot = Spot(f"{name}:{line}:{column}" if positions else name, (order, line, column))
        return Document(None, Places(spot), [Problem((), message)], readable=False)
    if node is None:
        return Document(None, Places(root))
    builder = _Builder(loader, name, order, positions)
    try:
        value, spot = builder.build(node, node, ())
    except _TooLarge:
        problem = Problem(
            (),
            f"the YAML's aliases stand for more than {_MAX_NODES} values; allowed: up to that many",
        )
        return Document(None, Places(root), [problem], readable=False)
    return Document(value, Places(spot), builder.problems, frozenset(builder.lost))


def _syntax(error: yaml.YAMLError, text: str) -> tuple[str, int, int]:
    """(sentence, line, column) of a syntax error."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:  # a character that YAML does not allow at all
        at = int(getattr(error, "position", 0))
        character = text[at : at + 1]
        message = (
            f"the YAML cannot be read: got the character {character!r}; allowed: printable "
            "characters"
        )
        return message, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    parts = [
        str(part)
        for part in (getattr(error, "context", None), getattr(error, "problem", None))
        if part
    ]
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    hint = ""
    if "\\t" in parts[-1]:
        hint = "; YAML indents with spaces, never with tabs"
    elif "${" in line:
        hint = '; inside { } or [ ] write "${NAME}" in quotes'
    return f"the YAML cannot be read: {', '.join(parts)}{hint}", mark.line + 1, mark.column + 1


class _TooLarge(Exception):
    pass


class _Builder:
    """Turns YAML nodes into values and spots, counting them."""

    def __init__(self, loader: _Loader, name: str, order: int, positions: bool) -> None:
        self.loader, self.name, self.order, self.positions = loader, name, order, positions
        self.problems: list[Problem] = []
        self.lost: set[Path] = set()
        self.nodes = 0
        self.open: set[int] = set()

    def build(self, node: yaml.Node, at: yaml.Node, path: Path) -> tuple[Any, Spot]:
        """Value and spot of a node; `at` is the node that the spot shows: its key, or itself."""
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            raise _TooLarge
        spot = self.spot(at)
        if at is not node and isinstance(at, yaml.ScalarNode) and at.style is None:
            spot.key = at.value
        if id(node) in self.open:
            self.lose(
                path,
                "got an alias of a part that this one stands in; allowed: aliases of other parts",
            )
            return None, spot
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == _PREFIX + "map":
                return self.mapping(node, path, spot), spot
            if isinstance(node, yaml.SequenceNode) and node.tag == _PREFIX + "seq":
                return self.sequence(node, path, spot), spot
            return self.scalar(node, path, spot), spot
        finally:
            self.open.discard(id(node))

    def spot(self, node: yaml.Node) -> Spot:
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        where = f"{self.name}:{line}:{column}" if self.positions else self.name
        return Spot(where, (self.order, line, column))

    def problem(self, path: Path, message: str) -> None:
        self.problems.append(Problem(path, message))

    def lose(self, path: Path, message: str) -> None:
        self.problem(path, message)
        self.lost.add(path)

    def scalar(self, node: yaml.Node, path: Path, spot: Spot) -> Any:
        if not isinstance(node, yaml.ScalarNode) or node.tag not in _SCALARS:
            self.lose(
                path,
                f"got the tag {node.tag.replace(_PREFIX, '!!')}; allowed: plain text, numbers, "
                "lists and mappings",
            )
            return None
        if node.style is None:
            spot.written = node.value
        if node.tag == _PREFIX + "value":
            return node.value
        try:
            return self.loader.construct_object(node)
        except _NOT_READABLE:
            kind = node.tag.removeprefix(_PREFIX).replace("timestamp", "date or time")
            self.lose(
                path,
                f"got {node.value!r}, which YAML takes for a {kind} but cannot read; text needs "
                "quotes",
            )
            return None

    def sequence(self, node: yaml.SequenceNode, path: Path, spot: Spot) -> list[Any]:
        values = []
        for place, item in enumerate(node.value):
            value, spot.children[place] = self.build(item, item, (*path, place))
            values.append(value)
        return values

    def mapping(self, node: yaml.MappingNode, path: Path, spot: Spot) -> dict[Any, Any]:
        values: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _PREFIX + "merge":
                continue
            key = self.key(key_node, path)
            if key is None and not isinstance(key_node, yaml.ScalarNode):
                continue
            place = (*path, key)
            if key in values:
                self.problem(
                    place,
                    f"the key {shown(key)} stands here twice, first at {spot.children[key].where}; "
                    "allowed: each key once",
                )
            values[key], spot.children[key] = self.build(value_node, key_node, place)
        for merged in self.merged(node, path):
            for key, (value, child) in merged.items():
                if key not in values:
                    values[key], spot.children[key] = value, child
        return values

    def key(self, node: yaml.Node, path: Path) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, path, self.spot(node))
        self.problem(
            path,
            f"got a key that is a list or a mapping at {self.spot(node).where}; allowed: words and "
            "numbers as keys",
        )
        return None

    def merged(self, node: yaml.MappingNode, path: Path) -> Iterator[dict[Any, tuple[Any, Spot]]]:
        """The mappings that `<<` brings in, the first of them strongest."""
        for key_node, value_node in node.value:
            if key_node.tag != _PREFIX + "merge":
                continue
            for part in (
                value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            ):
                value, spot = self.build(part, part, path)
                if isinstance(value, dict):
                    yield {key: (item, spot.children[key]) for key, item in value.items()}
                else:
                    self.problem(
                        path,
                        f"got {shown(value)} after << at {spot.where}; allowed: an alias of a "
                        "mapping",
                    )
