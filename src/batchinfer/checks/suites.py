"""Expectation files: a YAML list of Great Expectations' own names and arguments, read and judged as
a whole.

Owns the file's shape and every message about it. Imports neither Great Expectations nor Spark: a
wrong file is told before anything is started (see `known_expectations` for how the
names and arguments are known).
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from batchinfer.checks.argument_rules import (
    MANY_COLUMNS,
    ONE_COLUMN,
    needed_arguments,
    offered_arguments,
    wrong_together,
    wrong_value,
)
from batchinfer.checks.known_expectations import (
    expectation_arguments,
    expectation_names,
    refused_because,
)
from batchinfer.errors import ConfigError

# Here the names of columns are the claim itself, so those are left to the check.
_CLAIMS = ("expect_table_", "expect_column_to_exist")

_BROKEN = object()
"""Stands for a value that could not be read and has been told already."""


@dataclass(frozen=True)
class Expectation:
    """One line of a suite.

    Attributes:
        name: Great Expectations' own, such as `expect_column_values_to_not_be_null`.
        arguments: as in the file.
        place: `file:line:column`, for messages.
    """

    name: str
    arguments: Mapping[str, Any]
    place: str

    def columns(self) -> list[str]:
        """Columns that the expectation reads and that must therefore exist."""
        if self.name.startswith(_CLAIMS):
            return []
        single = [self.arguments[word] for word in ONE_COLUMN if word in self.arguments]
        several = [name for word in MANY_COLUMNS for name in self.arguments.get(word, ())]
        return [*single, *several]


@dataclass(frozen=True)
class Suite:
    """An expectation file, in file order."""

    path: Path
    expectations: tuple[Expectation, ...]


def load_suite(path: Path) -> Suite:
    """The suite that a file holds; its names, argument names and plain values are right.

    Runs on: driver.

    Raises:
        ConfigError: everything that is wrong in the file, each with its place, what was got and
            what is allowed.
    """
    reader = _Reader(path)
    expectations = tuple(
        found for node in reader.items() if (found := reader.expectation(node)) is not None
    )
    if reader.problems:
        raise ConfigError(reader.problems)
    return Suite(path, expectations)


def check_suite(suite: Suite, columns: Collection[str]) -> list[str]:
    """One sentence for each column that the suite names and that is not among `columns`.

    A nested field (`scores.automated`) counts as its top-level column. Runs on: driver.
    """
    return [
        f"{item.place}: {item.name} names column {name!r}, which is not "
        f"there{_did_you_mean(name, columns)}; allowed: {', '.join(columns)}"
        for item in suite.expectations
        for name in item.columns()
        if name not in columns and name.partition(".")[0] not in columns
    ]


def _did_you_mean(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


class _Reader:
    """Reads one file and gathers its problems."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []

    def items(self) -> list[yaml.Node]:
        """The nodes of the list, or none where the file is no list (which is then a problem)."""
        try:
            # Bytes that are no UTF-8 are refused here, with the place; `read_bytes` would leave it
            # to YAML's guess.
            root = yaml.compose(self.path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            self.problems.append(self._unreadable(error))
            return []
        if not isinstance(root, yaml.SequenceNode):
            got = "an empty file" if root is None else _kind(root)
            self._add(
                root,
                f"got {got}; allowed: a list of expectations, such as - "
                f"expect_column_values_to_not_be_null: {{column: score}}",
            )
            return []
        return root.value

    def _unreadable(self, error: OSError | UnicodeDecodeError | yaml.YAMLError) -> str:
        if isinstance(error, UnicodeDecodeError):
            return f"{self.path}: byte {error.start} is not UTF-8; allowed: a YAML file in UTF-8"
        if isinstance(error, OSError):
            return f"{self.path}: the expectation file could not be read: {error.strerror or error}"
        mark = getattr(error, "problem_mark", None)
        place = f"{self.path}:{mark.line + 1}:{mark.column + 1}" if mark else str(self.path)
        return f"{place}: not YAML: {getattr(error, 'problem', None) or error}"

    def _add(self, node: yaml.Node | None, message: str) -> None:
        self.problems.append(f"{self._place(node) if node is not None else self.path}: {message}")

    def _place(self, node: yaml.Node) -> str:
        return f"{self.path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"

    def expectation(self, node: yaml.Node) -> Expectation | None:
        """The expectation that a list item holds; None, and a problem, where it holds none."""
        before = len(self.problems)
        name_node, arguments_node = self._parts(node)
        if name_node is None:
            return None
        name = name_node.value
        known = expectation_names()
        if name not in known:
            close = _did_you_mean(name, known)
            allowed = (
                ""
                if close
                else "; allowed: the expectations of Great Expectations, such as "
                "expect_column_values_to_be_between"
            )
            self._add(name_node, f"unknown expectation {name!r}{close}{allowed}")
            return None
        if (reason := refused_because(name)) is not None:
            self._add(name_node, f"{name} cannot be used: {reason}")
            return None
        arguments = self._arguments(name, name_node, arguments_node)
        return (
            Expectation(name, arguments, self._place(node))
            if len(self.problems) == before
            else None
        )

    def _parts(self, node: yaml.Node) -> tuple[yaml.ScalarNode | None, yaml.Node | None]:
        if isinstance(node, yaml.ScalarNode) and isinstance(self._value(node), str):
            return node, None
        if (
            isinstance(node, yaml.MappingNode)
            and len(node.value) == 1
            and isinstance(node.value[0][0], yaml.ScalarNode)
        ):
            return node.value[0]
        if isinstance(node, yaml.MappingNode) and len(node.value) > 1:
            names = ", ".join(str(key.value) for key, _ in node.value)
            allowed = "one expectation an item, its arguments indented below it or in {}"
            self._add(
                node,
                f"got {len(node.value)} keys in one item ({names}); allowed: {allowed}",
            )
        else:
            self._add(
                node, f"got {_kind(node)}; allowed: the name of an expectation with its arguments"
            )
        return None, None

    def _arguments(self, name: str, name_node: yaml.Node, node: yaml.Node | None) -> dict[str, Any]:
        expected = expectation_arguments(name)
        offered = offered_arguments(name, expected.allowed)
        given: dict[str, Any] = {}
        if isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                self._take(given, name, key_node, value_node, offered)
        elif node is not None and self._value(node) is not None:
            self._add(
                node,
                f"{name}: got {_kind(node)}; allowed: a mapping of arguments, such as {{column: "
                f"score}}",
            )
            return given
        there = {word for word, value in given.items() if value is not None}
        if missing := sorted(needed_arguments(name, expected.required) - there):
            self._add(name_node, f"{name}: {', '.join(missing)} must be given")
        for problem in wrong_together(name, given, offered):
            self._add(name_node, f"{name}: {problem}")
        return given

    def _take(
        self,
        given: dict[str, Any],
        name: str,
        key_node: yaml.Node,
        value_node: yaml.Node,
        allowed: Collection[str],
    ) -> None:
        word, value = self._value(key_node), self._value(value_node)
        if word not in allowed:
            self._add(
                key_node,
                f"{name}: unknown argument {word!r}{_did_you_mean(str(word), allowed)}; allowed: "
                f"{', '.join(sorted(allowed))}",
            )
        elif word in given:
            self._add(key_node, f"{name}: argument {word!r} stands twice; allowed: once")
        elif value is not _BROKEN and (wanted := wrong_value(name, word, value)):
            self._add(value_node, f"{name}: {word}: got {value!r}; allowed: {wanted}")
        given[word] = value

    def _value(self, node: yaml.Node) -> Any:
        try:
            return yaml.SafeLoader("").construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            # A tag that the safe loader refuses, or a date that is none.
            self._add(node, f"not a value: {getattr(error, 'problem', None) or error}")
            return _BROKEN


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return repr(node.value) if node.value else "nothing"
