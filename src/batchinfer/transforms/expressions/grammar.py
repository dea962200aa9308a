"""Words of an expression as a tree.

Owns the grammar: which operator binds closer, how `case`, `cast`, `in`, `between` and typed
literals are written. Knows the names of no function and the type of no column.
Source: the grammar of Spark 4.1's SQL (SqlBaseParser.g4).
"""

from __future__ import annotations

import pyarrow as pa

from batchinfer.transforms.expressions import sql_types as sql
from batchinfer.transforms.expressions.expression_tokens import Token, tokens_of
from batchinfer.transforms.expressions.moment_text import day_of, micros_of
from batchinfer.transforms.expressions.number_literals import read_number
from batchinfer.transforms.expressions.syntax import Call, CastTo, Literal, Named, Node, told_at
from batchinfer.transforms.step import nearest_hint

_DEEPEST = 60
"""Levels of brackets; Python's own stack ends at a thousand calls."""

_KEYWORDS = frozenset(
    ("and", "or", "not", "in", "is", "null", "true", "false", "case", "when", "then", "else")
) | frozenset(
    ("end", "between", "like", "rlike", "distinct", "div", "exists", "interval", "select")
)
_COMPARISONS = {"=": "=", "==": "=", "<>": "<>", "!=": "<>"} | {
    sign: sign for sign in ("<", "<=", ">", ">=", "<=>")
}


def parse_tree(text: str) -> Node:
    """The tree of an expression.

    Raises:
        ExpressionError: the first place at which the text is none.
    """
    words = _Words(tokens_of(text))
    if not text.strip():
        raise told_at(0, "got no expression; allowed: such as `price * 1.2`")
    tree = _either(words)
    if words.now.kind != "end":
        raise told_at(
            words.now.at, f"got {words.now.told} after a whole expression; allowed: an operator"
        )
    return tree


class _Words:
    """The tokens, and how far they have been read."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self.depth = 0

    @property
    def now(self) -> Token:
        return self._tokens[self._place]

    def ahead(self, by: int) -> Token:
        return self._tokens[min(self._place + by, len(self._tokens) - 1)]

    def take(self) -> Token:
        token = self.now
        self._place += token.kind != "end"
        return token

    def took(self, *words: str) -> bool:
        """Whether the next words are these; if so, they have been read."""
        if any(self.ahead(by).lower != word for by, word in enumerate(words)):
            return False
        self._place += len(words)
        return True

    def expect(self, word: str, where: str) -> None:
        if not self.took(word):
            raise told_at(self.now.at, f"got {self.now.told}; allowed: '{word}' {where}")


def _either(words: _Words) -> Node:
    words.depth += 1
    if words.depth > _DEEPEST:
        raise told_at(words.now.at, f"more than {_DEEPEST} levels of brackets; allowed: fewer")
    tree = _both(words)
    while words.now.lower == "or":
        at = words.take().at
        tree = Call(at, "or", (tree, _both(words)))
    words.depth -= 1
    return tree


def _both(words: _Words) -> Node:
    tree = _negated(words)
    while words.now.lower == "and":
        at = words.take().at
        tree = Call(at, "and", (tree, _negated(words)))
    return tree


def _negated(words: _Words) -> Node:
    signs: list[int] = []
    while words.now.lower in ("not", "!"):
        signs.append(words.take().at)
    tree = _predicate(words)
    for at in reversed(signs):
        tree = Call(at, "not", (tree,))
    return tree


def _predicate(words: _Words) -> Node:
    tested = _compared(words)
    at = words.now.at
    if words.took("is"):
        return _is(words, at, tested)
    negated = words.now.lower in ("not", "!") and words.ahead(1).lower in (
        "in",
        "between",
        "like",
        "rlike",
        "regexp",
    )
    if negated:
        words.take()
    kind = words.now.lower
    if kind in ("in", "between", "like", "rlike", "regexp"):
        words.take()
        found = _test(words, at, "rlike" if kind == "regexp" else kind, tested)
        return Call(at, "not", (found,)) if negated else found
    return tested


def _test(words: _Words, at: int, kind: str, tested: Node) -> Node:
    if kind == "in":
        words.expect("(", "after 'in'")
        return Call(at, "in", (tested, *_listed(words)))
    first = _compared(words)
    if kind != "between":
        return Call(at, kind, (tested, first))
    words.expect("and", "between the two ends of 'between'")
    last = _compared(words)
    return Call(at, "and", (Call(at, ">=", (tested, first)), Call(at, "<=", (tested, last))))


def _is(words: _Words, at: int, tested: Node) -> Node:
    negated = words.took("not")
    if words.took("null"):
        found: Node = Call(at, "is null", (tested,))
    elif words.now.lower in ("true", "false"):
        value = words.take().lower == "true"
        found = Call(at, "<=>", (_truth(at, tested), Literal(at, value, sql.BOOLEAN)))
    elif words.took("distinct", "from"):
        found = Call(at, "not", (Call(at, "<=>", (tested, _compared(words))),))
    else:
        allowed = "null, true, false or distinct from, each also with 'not'"
        raise told_at(words.now.at, f"got {words.now.told} after 'is'; allowed: {allowed}")
    return Call(at, "not", (found,)) if negated else found


def _truth(at: int, tested: Node) -> Node:
    """The tested value, which has to be a boolean: `or` with itself is it, and refuses others."""
    return Call(at, "is true", (tested,))


def _compared(words: _Words) -> Node:
    tree = _sum(words)
    while (sign := words.now.lower) in _COMPARISONS:
        at = words.take().at
        tree = Call(at, _COMPARISONS[sign], (tree, _sum(words)))
    return tree


def _sum(words: _Words) -> Node:
    tree = _product(words)
    while (sign := words.now.lower) in ("+", "-", "||"):
        at = words.take().at
        tree = Call(at, "concat" if sign == "||" else sign, (tree, _product(words)))
    return tree


def _product(words: _Words) -> Node:
    tree = _signed(words)
    while (sign := words.now.lower) in ("*", "/", "%", "div"):
        at = words.take().at
        tree = Call(at, sign, (tree, _signed(words)))
    return tree


def _signed(words: _Words) -> Node:
    """A minus before a number belongs to it, so that -2147483648 is an int."""
    signs: list[Token] = []
    while words.now.lower in ("-", "+"):
        if words.now.lower == "-" and words.ahead(1).kind == "number":
            at = words.take().at
            tree: Node = read_number(at, "-" + words.take().text)
            break
        signs.append(words.take())
    else:
        tree = _primary(words)
    for sign in reversed(signs):
        tree = Call(sign.at, f"{sign.text}x", (tree,))
    return tree


def _primary(words: _Words) -> Node:
    token = words.now
    if token.kind == "number":
        tree: Node = read_number(token.at, words.take().text)
    elif token.kind == "string":
        tree = _text(words)
    elif words.took("("):
        tree = _either(words)
        words.expect(")", f"for the bracket at character {token.at + 1}")
    elif token.kind == "name":
        words.take()
        tree = Named(token.at, token.text)
    elif token.kind == "word":
        tree = _worded(words)
    else:
        raise told_at(
            token.at,
            f"got {token.told}; allowed: a column, a number, 'text', a function or a bracket",
        )
    if words.now.lower == ".":
        raise told_at(
            words.now.at,
            "got '.'; allowed: plain columns, no fields of them; a name with a point in it stands "
            "in backticks",
        )
    return tree


def _text(words: _Words) -> Node:
    at, parts = words.now.at, ""
    while words.now.kind == "string":
        parts += words.take().text
    return Literal(at, parts, sql.STRING)


def _worded(words: _Words) -> Node:
    token = words.take()
    word = token.lower
    if word == "null":
        return Literal(token.at, None, sql.NULL)
    if word in ("true", "false"):
        return Literal(token.at, word == "true", sql.BOOLEAN)
    if word == "case":
        return _case(words, token.at)
    if word in ("date", "timestamp", "timestamp_ntz", "timestamp_ltz") and (
        words.now.kind == "string"
    ):
        return _moment(words, token.at, word)
    if words.now.lower == "(" and word not in _KEYWORDS:
        return _call(words, token)
    if word in ("select", "exists"):
        raise told_at(
            token.at,
            f"got '{token.text}'; an expression has the columns of one row, and no subqueries (a "
            "column of that name stands in backticks)",
        )
    if word in _KEYWORDS:
        raise told_at(
            token.at, f"got '{token.text}'; allowed: a value (a column of that name in backticks)"
        )
    return Named(token.at, token.text)


def _call(words: _Words, name: Token) -> Node:
    words.take()
    if name.lower in ("cast", "try_cast"):
        argument = _either(words)
        words.expect("as", f"in '{name.lower}(x as type)'")
        type_ = _type(words)
        words.expect(")", f"at the end of '{name.lower}(x as type)'")
        return CastTo(name.at, argument, type_, name.lower == "try_cast")
    if words.took(")"):
        return Call(name.at, name.lower, ())
    return Call(name.at, name.lower, _listed(words))


def _listed(words: _Words) -> tuple[Node, ...]:
    listed = [_either(words)]
    while words.took(","):
        listed.append(_either(words))
    words.expect(")", "or ',' in a list of values")
    return tuple(listed)


def _case(words: _Words, at: int) -> Node:
    """`case x when y …` asks `x = y`; without `else`, null is the last value."""
    subject = None if words.now.lower == "when" else _either(words)
    branches: list[Node] = []
    while words.now.lower == "when":
        place = words.take().at
        condition = _either(words)
        if subject is not None:
            condition = Call(place, "=", (subject, condition))
        words.expect("then", "after 'when …' in 'case'")
        branches += [condition, _either(words)]
    if not branches:
        raise told_at(words.now.at, f"got {words.now.told}; allowed: 'when' in 'case'")
    last = _either(words) if words.took("else") else Literal(at, None, sql.NULL)
    words.expect("end", "at the end of 'case'")
    return Call(at, "case", (*branches, last))


def _type(words: _Words) -> pa.DataType:
    at, text = words.now.at, words.take().lower
    if words.took("("):
        inside: list[str] = []
        while words.now.kind == "number" or words.now.lower == ",":
            inside.append(words.take().text)
        words.expect(")", "at the end of a type such as decimal(10,2)")
        text += f"({''.join(inside)})"
    found = sql.written_type(text)
    if found is None and sql.names_decimal(text):
        raise told_at(
            at,
            f"got the type '{text}'; allowed: decimal(precision,scale) with a precision from 1 to "
            f"{sql.MOST_DIGITS} and a scale from 0 to the precision",
        )
    if found is None:
        allowed = ", ".join((*sql.TYPE_WORDS, "decimal(precision,scale)"))
        raise told_at(
            at, f"got the type '{text}'{nearest_hint(text, sql.TYPE_WORDS)}; allowed: {allowed}"
        )
    return found


def _moment(words: _Words, at: int, word: str) -> Node:
    text = words.take().text
    type_ = {"date": sql.DATE, "timestamp_ntz": sql.TIMESTAMP_NTZ}.get(word, sql.TIMESTAMP)
    value = day_of(text) if type_ == sql.DATE else micros_of(text, type_ == sql.TIMESTAMP)
    if value is None:
        allowed = "'2026-01-31'" if type_ == sql.DATE else "'2026-01-31 23:59:59'"
        raise told_at(at, f"got {word} '{text}', which is none; allowed: such as {word} {allowed}")
    return Literal(at, value, type_)
