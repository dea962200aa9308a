"""A tree with the types of its columns becomes something that computes.

Owns the table of operators and functions: how many values each takes, and which file makes it.
Source of the names: Spark SQL's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from batchinfer.transforms.expressions import sql_types as sql
from batchinfer.transforms.expressions.arithmetic import bind_arithmetic, bind_sign
from batchinfer.transforms.expressions.bound import Bound, Computed, constant
from batchinfer.transforms.expressions.casting import bind_cast
from batchinfer.transforms.expressions.comparing import bind_comparison, bind_in
from batchinfer.transforms.expressions.logic import (
    bind_case,
    bind_coalesce,
    bind_connected,
    bind_extreme,
    bind_if,
    bind_is_null,
    bind_not,
    bind_nullif,
    bind_truth,
)
from batchinfer.transforms.expressions.moments import (
    MOMENT_PARTS,
    bind_datediff,
    bind_moment_part,
)
from batchinfer.transforms.expressions.quantities import (
    OF_ONE,
    bind_abs,
    bind_log,
    bind_of_one,
    bind_pow,
    bind_round,
    bind_whole,
)
from batchinfer.transforms.expressions.string_functions import (
    bind_concat,
    bind_length,
    bind_letters,
    bind_like,
    bind_regexp_replace,
    bind_rlike,
    bind_substring,
    bind_trim,
)
from batchinfer.transforms.expressions.syntax import (
    Call,
    CastTo,
    Literal,
    Named,
    Node,
    told_at,
)
from batchinfer.transforms.step import nearest_hint

Parts = Sequence[Bound]


@dataclass(frozen=True)
class Callee:
    """An operator or a function.

    Attributes:
        bind: makes it of its place and its parts.
        least: how many values it takes at least.
        most: and at most; None: any number.
    """

    bind: Callable[[int, Parts], Bound]
    least: int
    most: int | None


def _arithmetic(sign: str) -> Callee:
    return Callee(lambda at, parts: bind_arithmetic(sign, at, parts[0], parts[1]), 2, 2)


def _comparison(sign: str) -> Callee:
    return Callee(lambda at, parts: bind_comparison(sign, at, parts[0], parts[1]), 2, 2)


def _connected(word: str) -> Callee:
    return Callee(lambda at, parts: bind_connected(word, at, parts[0], parts[1]), 2, 2)


OPERATORS: Mapping[str, Callee] = {
    **{sign: _arithmetic(sign) for sign in ("+", "-", "*", "/", "%", "div")},
    **{sign: _comparison(sign) for sign in ("=", "<>", "<", "<=", ">", ">=", "<=>")},
    "-x": Callee(lambda at, parts: bind_sign("-", at, parts[0]), 1, 1),
    "+x": Callee(lambda at, parts: bind_sign("+", at, parts[0]), 1, 1),
    **{word: _connected(word) for word in ("and", "or")},
    "not": Callee(lambda at, parts: bind_not(at, parts[0]), 1, 1),
    "is null": Callee(lambda at, parts: bind_is_null(at, parts[0]), 1, 1),
    "is true": Callee(lambda at, parts: bind_truth(at, parts[0]), 1, 1),
    "in": Callee(bind_in, 2, None),
    "like": Callee(bind_like, 2, 2),
    "rlike": Callee(bind_rlike, 2, 2),
    "case": Callee(bind_case, 3, None),
}

FUNCTIONS: Mapping[str, Callee] = {
    "if": Callee(bind_if, 3, 3),
    "coalesce": Callee(bind_coalesce, 1, None),
    "nullif": Callee(bind_nullif, 2, 2),
    "greatest": Callee(lambda at, parts: bind_extreme(">", "greatest", at, parts), 2, None),
    "least": Callee(lambda at, parts: bind_extreme("<", "least", at, parts), 2, None),
    "abs": Callee(bind_abs, 1, 1),
    "round": Callee(bind_round, 1, 2),
    **{name: Callee(partial(bind_whole, True), 1, 1) for name in ("ceil", "ceiling")},
    "floor": Callee(partial(bind_whole, False), 1, 1),
    "log": Callee(bind_log, 1, 2),
    **{name: Callee(partial(bind_of_one, name), 1, 1) for name in OF_ONE},
    **{name: Callee(bind_pow, 2, 2) for name in ("pow", "power")},
    **{name: Callee(partial(bind_moment_part, name), 1, 1) for name in MOMENT_PARTS},
    "datediff": Callee(bind_datediff, 2, 2),
    "to_date": Callee(lambda at, parts: bind_cast(at, parts[0], sql.DATE, False), 1, 1),
    "concat": Callee(bind_concat, 1, None),
    "length": Callee(bind_length, 1, 1),
    **{name: Callee(bind_substring, 2, 3) for name in ("substring", "substr")},
    "lower": Callee(partial(bind_letters, False), 1, 1),
    "upper": Callee(partial(bind_letters, True), 1, 1),
    **{name: Callee(partial(bind_trim, name), 1, 1) for name in ("trim", "ltrim", "rtrim")},
    "regexp_like": Callee(bind_rlike, 2, 2),
    "regexp_replace": Callee(bind_regexp_replace, 3, 3),
}
"""By their names in lower case."""

_WRITTEN_HERE: Mapping[str, str] = {
    **dict.fromkeys(("nvl", "ifnull"), "coalesce(a, b)"),
    "isnull": "… is null",
    "isnotnull": "… is not null",
    **dict.fromkeys(("len", "char_length", "character_length"), "length(…)"),
    "iif": "if(condition, a, b)",
}
"""What stands here for functions that other SQL has."""


def check_functions(node: Node) -> None:
    """Whether there are all the functions that a tree names, each with as many values as it takes.

    Raises:
        ExpressionError: the first that is not.
    """
    if isinstance(node, CastTo):
        check_functions(node.argument)
    if isinstance(node, Call):
        _callee(node)
        for argument in node.arguments:
            check_functions(argument)


def _callee(call: Call) -> Callee:
    if found := OPERATORS.get(call.function):
        return found
    found = FUNCTIONS.get(call.function)
    if found is None:
        raise told_at(
            call.at,
            f"got the function '{call.function}'{_meant(call.function)}; "
            f"allowed: {', '.join(sorted([*FUNCTIONS, 'cast', 'try_cast']))}",
        )
    got = len(call.arguments)
    if got < found.least or (found.most is not None and got > found.most):
        raise told_at(call.at, f"got {got} values for {call.function}; allowed: {_number(found)}")
    return found


def _meant(name: str) -> str:
    """What is written here for a function that other SQL has, or one that is spelt alike."""
    if sql.written_type(name) is not None:
        return f", write cast(… as {name})"
    if name in _WRITTEN_HERE:
        return f", write {_WRITTEN_HERE[name]}"
    return nearest_hint(name, FUNCTIONS)


def _number(callee: Callee) -> str:
    if callee.most is None:
        return f"{callee.least} or more"
    if callee.least == callee.most:
        return f"{callee.least}"
    return f"{callee.least} to {callee.most}"


def bind_tree(node: Node, columns: Mapping[str, pa.DataType]) -> Bound:
    """The tree, each part with its type.

    Raises:
        ExpressionError: an unknown column, or values of a type that an operator does not take.
    """
    if isinstance(node, Literal):
        return constant(node.at, node.value, node.type)
    if isinstance(node, Named):
        return _column(node, columns)
    if isinstance(node, CastTo):
        return bind_cast(node.at, bind_tree(node.argument, columns), node.type, node.lenient)
    parts = tuple(bind_tree(argument, columns) for argument in node.arguments)
    return _callee(node).bind(node.at, parts)


def _column(node: Named, columns: Mapping[str, pa.DataType]) -> Bound:
    name = node.name
    if name not in columns:
        raise told_at(
            node.at,
            f"got the column '{name}'{nearest_hint(name, columns)}; allowed: {', '.join(columns)}",
        )
    type_ = sql.column_type(columns[name])
    if type_ is None:
        raise told_at(
            node.at,
            f"got the column '{name}' of type {columns[name]}; allowed: booleans, numbers, "
            "strings, dates, timestamps in microseconds, binaries",
        )
    return Bound(node.at, type_, lambda rows: Computed(rows.columns[name]))
