r"""Text of an expression as words, signs, numbers and strings.

Owns the spelling: case of words, quotes, escapes, suffixes of numbers. Knows no grammar.
Source: the lexer of Spark 4.1's SQL (SqlBaseLexer.g4) and its rules for strings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from batchinfer.transforms.expressions.syntax import told_at

TokenKind = Literal["word", "name", "number", "string", "sign", "end"]

_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?(BD|bd|Bd|bD|[LlSsYyDdFf])?(?!\w)")
_SIGN = re.compile(r"<=>|<>|<=|>=|!=|==|\|\||[-+*/%(),=<>!.]")
_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)


@dataclass(frozen=True)
class Token:
    """One word of the text.

    Attributes:
        at: place of its first character, counted from 0.
        kind: `name` is a name in backticks, `word` any other; the text always ends by an `end`.
        text: as it stands there; without quotes and escapes for names and strings.
    """

    at: int
    kind: TokenKind
    text: str

    @property
    def lower(self) -> str:
        """For comparison with keywords; what is quoted is none."""
        return self.text.lower() if self.kind in ("word", "sign") else ""

    @property
    def told(self) -> str:
        return "the end of the text" if self.kind == "end" else f"'{self.text}'"


def tokens_of(text: str) -> list[Token]:
    """All tokens, the last of which is the end.

    Raises:
        ExpressionError: a sign that the language has not, or a quote that does not end.
    """
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        if found := _SPACE.match(text, at):
            at = found.end()
            continue
        if text.startswith(("--", "/*"), at):
            raise told_at(at, "comments have no place in an expression")
        token, at = _token(text, at)
        tokens.append(token)
    return [*tokens, Token(len(text), "end", "")]


def _token(text: str, at: int) -> tuple[Token, int]:
    sign = text[at]
    if sign == "'":
        return _string(text, at, at, raw=False)
    if sign in "rR" and text.startswith("'", at + 1):
        return _string(text, at, at + 1, raw=True)
    if sign == "`":
        return _quoted_name(text, at)
    if sign == '"':
        raise told_at(at, "got a double quote; allowed: 'text' for text, `name` for a column")
    if found := _NUMBER.match(text, at):
        return Token(at, "number", found[0]), found.end()
    if sign.isdigit():
        raise told_at(
            at,
            f"got {text[at : at + 20]!r}, which is no number; a column whose name begins with a "
            "digit stands in backticks",
        )
    if found := _WORD.match(text, at):
        return Token(at, "word", found[0]), found.end()
    if found := _SIGN.match(text, at):
        return Token(at, "sign", found[0]), found.end()
    raise told_at(at, f"got {sign!r}, which means nothing in an expression")


def _string(text: str, at: int, quote: int, raw: bool) -> tuple[Token, int]:
    place = quote + 1
    while place < len(text):
        if text[place] == "'":
            if not raw and text.startswith("'", place + 1):
                place += 2
                continue
            inside = text[quote + 1 : place]
            return Token(at, "string", inside if raw else _unescaped(inside)), place + 1
        place += 2 if text[place] == "\\" and not raw else 1
    raise told_at(at, "got a text whose closing quote (') is missing")


def _unescaped(inside: str) -> str:
    """`''` is a quote; what a backslash stands for; `\\%` and `\\_` keep theirs, for `like`."""

    def meant(found: re.Match[str]) -> str:
        unicode, long, octal, letter = found.groups()
        if unicode or long:
            return chr(int(unicode or long, 16))
        if octal:
            return chr(int(octal, 8))
        return f"\\{letter}" if letter in "%_" else _ESCAPES.get(letter, letter)

    parts = re.split(r"(\\.)", inside, flags=re.DOTALL)
    # Doubled quotes are single ones, unless a backslash stands before the first of them.
    joined = "".join(part if part.startswith("\\") else part.replace("''", "'") for part in parts)
    return _ESCAPED.sub(meant, joined)


def _quoted_name(text: str, at: int) -> tuple[Token, int]:
    found = re.compile(r"`((?:[^`]|``)*)`").match(text, at)
    if found is None:
        raise told_at(at, "got a name whose closing backtick (`) is missing")
    if not found[1]:
        raise told_at(at, "got an empty name")
    return Token(at, "name", found[1].replace("``", "`")), found.end()
