"""Patterns of Java's regular expressions, as RE2 (Arrow's library) reads them.

Owns which patterns both read alike. What they read differently is refused with what to write
instead, never passed on. The patterns of `like` stand here, too.
Source: java.util.regex.Pattern (Java 17); RE2's syntax.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BREAKS = r"\n\r\x{85}\x{2028}\x{2029}"
"""Where Java's `.` stops; RE2's stops at \\n alone."""
_SPACES = r" \t\n\x0B\f\r"
_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": _SPACES}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}
_REPEAT = re.compile(r"\{(\d+)(,(\d*))?\}", re.ASCII)
_CODE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|x\{([0-9a-fA-F]{1,6})\})")
_MOST_REPEATS = 1000
_ANCHORS = {"^": r"\A", r"\A": r"\A", r"\z": r"\z"}
_INSTEAD = {
    "$": r"write \z for the end of the text",
    r"\Z": r"write \z for the end of the text",
    r"\b": r"write the characters around the word, such as (^|[^\w])",
    r"\p": "write the characters, such as [A-Za-z]",
    "(?": "write groups as (…) or (?:…); for any case of letters, lower(x) as the text",
    "&&": "write one class of the characters that are meant",
    "possessive": "leave out the second +",
}


class PatternRefused(ValueError):
    """A pattern that is none, or that RE2 reads in another way."""


@dataclass(frozen=True)
class Pattern:
    """A pattern that both read alike.

    Attributes:
        re2: as RE2 writes it.
        groups: how many it captures.
        may_be_empty: whether it matches the empty text.
    """

    re2: str
    groups: int
    may_be_empty: bool


def read_pattern(java: str) -> Pattern:
    """A pattern of Java as one of RE2.

    Raises:
        PatternRefused: Java refuses it, or the two differ in what it matches.
    """
    reader = _Reader(java)
    re2, empty = reader.alternatives()
    if reader.place < len(java):
        raise PatternRefused("a ) without its (")
    return Pattern(re2, reader.groups, empty)


def read_replacement(java: str, groups: int) -> str:
    r"""`$1` becomes `\1`, what stands behind a backslash is itself.

    Raises:
        PatternRefused: a group that the pattern has not, or a $ or a backslash at the end.
    """
    made, place = "", 0
    while place < len(java):
        sign, following = java[place], java[place + 1 : place + 2]
        if sign == "\\" and following:
            made += _plain(following)
            place += 2
        elif sign == "$" and following.isascii() and following.isdigit():
            if int(following) > groups:
                raise PatternRefused(f"${following} in the replacement, and {groups} groups")
            if java[place + 2 : place + 3].isdigit() and groups > 9:
                raise PatternRefused("a group above 9 in the replacement")
            made += f"\\{following}"
            place += 2
        elif sign in "\\$":
            raise PatternRefused(f"{sign} in the replacement; write \\{sign} for the sign itself")
        else:
            made += sign
            place += 1
    return made


def read_like(pattern: str) -> str:
    r"""The pattern of `like` as RE2: % any text, _ one character, \ before a sign the sign itself.

    Raises:
        PatternRefused: a backslash before another sign, or at the end; Spark refuses it, too.
    """
    made, place = "", 0
    while place < len(pattern):
        sign, following = pattern[place], pattern[place + 1 : place + 2]
        if sign == "\\":
            if not following or following not in "%_\\":
                raise PatternRefused(r"a backslash that stands before none of % _ \ ")
            made += _quoted(following)
            place += 1
        else:
            made += {"%": ".*", "_": "."}.get(sign) or _quoted(sign)
        place += 1
    return rf"(?s)\A{made}\z"


def _plain(sign: str) -> str:
    return "\\\\" if sign == "\\" else sign


def _quoted(sign: str) -> str:
    return sign if sign.isalnum() and sign.isascii() else f"\\x{{{ord(sign):x}}}"


class _Reader:
    def __init__(self, java: str) -> None:
        self._java = java
        self.place = 0
        self.groups = 0

    def _next(self, length: int = 1) -> str:
        return self._java[self.place : self.place + length]

    def alternatives(self) -> tuple[str, bool]:
        made, empty = self._sequence()
        while self._next() == "|":
            self.place += 1
            other, other_empty = self._sequence()
            made, empty = f"{made}|{other}", empty or other_empty
        return made, empty

    def _sequence(self) -> tuple[str, bool]:
        made, empty = "", True
        while self._next() and self._next() not in "|)":
            part, part_empty = self._repeated()
            made, empty = made + part, empty and part_empty
        return made, empty

    def _repeated(self) -> tuple[str, bool]:
        if anchor := self._anchor():
            if self._next() and self._next() in "*+?{":
                raise PatternRefused("an anchor that is repeated")
            return anchor, True
        made, empty = self._one()
        sign = self._next()
        found = _REPEAT.match(self._java, self.place)
        if not ((sign and sign in "*+?") or found):
            return made, empty
        if empty:
            raise PatternRefused("a group that is repeated and may be empty")
        if found:
            most = int(found[3] or found[1])
            if max(most, int(found[1])) > _MOST_REPEATS or most < int(found[1]):
                raise PatternRefused(f"{found[0]}; up to {_MOST_REPEATS} repeats")
            sign = found[0]
        self.place += len(sign)
        if self._next() == "?":
            self.place += 1
            sign += "?"
        if (self._next() and self._next() in "*+?") or _REPEAT.match(self._java, self.place):
            raise PatternRefused(f"{sign}{self._next()}; {_INSTEAD['possessive']}")
        return made + sign, sign[0] in "*?" or (found is not None and int(found[1]) == 0)

    def _anchor(self) -> str:
        for java, re2 in _ANCHORS.items():
            if self._next(len(java)) == java:
                self.place += len(java)
                return re2
        return ""

    def _one(self) -> tuple[str, bool]:
        sign = self._next()
        if sign == "(":
            return self._group()
        if sign == "[":
            return self._class(), False
        if sign == "\\":
            found = self._escape()
            return (f"[{found}]" if found.startswith("^") else found), False
        if sign in "$*+?{":
            raise PatternRefused(f"'{sign}'; {_INSTEAD.get(sign, 'write it with a backslash')}")
        self.place += 1
        return (f"[^{_BREAKS}]" if sign == "." else _quoted(sign)), False

    def _group(self) -> tuple[str, bool]:
        opened = "("
        if self._next(3) == "(?:":
            opened = "(?:"
        elif self._next(2) == "(?":
            raise PatternRefused(f"'{self._next(3)}'; {_INSTEAD['(?']}")
        else:
            self.groups += 1
        self.place += len(opened)
        inside, empty = self.alternatives()
        if self._next() != ")":
            raise PatternRefused("a ( without its )")
        self.place += 1
        return f"{opened}{inside})", empty

    def _escape(self) -> str:
        """A sign behind a backslash, as RE2 writes it outside of a class."""
        letter = self._java[self.place + 1 : self.place + 2]
        if letter.lower() in _CLASSES and letter:
            self.place += 2
            return f"[{'^' if letter.isupper() else ''}{_CLASSES[letter.lower()]}]"
        return _quoted(self._character())

    def _character(self) -> str:
        """One character, escaped or not."""
        if self._next() != "\\":
            self.place += 1
            return self._java[self.place - 1]
        if found := _CODE.match(self._java, self.place):
            self.place = found.end()
            code = int(found[1] or found[2] or found[3], 16)
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise PatternRefused(f"{found[0]}, which is no character")
            return chr(code)
        letter = self._java[self.place + 1 : self.place + 2]
        if letter in _CONTROLS and letter:
            self.place += 2
            return _CONTROLS[letter]
        if not letter or not letter.isascii() or letter.isalnum():
            instead = _INSTEAD.get(f"\\{letter}") or _INSTEAD.get(f"\\{letter.lower()}")
            raise PatternRefused(f"'\\{letter}'; {instead or 'it means nothing here'}")
        self.place += 2
        return letter

    def _class(self) -> str:
        self.place += 1
        negated = self._next() == "^"
        self.place += negated
        made = ""
        while self._next() != "]" or not made:
            sign = self._next()
            if not sign or sign in "[]" or self._next(2) == "&&":
                raise PatternRefused(f"'{sign or '['}' in a class; {_INSTEAD['&&']}")
            if sign == "\\" and self._next(2)[1:].lower() in _CLASSES:
                made += self._named_class()
                continue
            first = self._character()
            if self._next() == "-" and self._next(2)[1:] not in ("]", ""):
                self.place += 1
                if self._next() == "[" or self._next(2).lower() in (r"\d", r"\w", r"\s"):
                    raise PatternRefused("a range without its end")
                last = self._character()
                if last < first:
                    raise PatternRefused(f"the range {first}-{last}")
                made += f"{_quoted(first)}-{_quoted(last)}"
            else:
                made += _quoted(first)
        self.place += 1
        return f"[{'^' if negated else ''}{made}]"

    def _named_class(self) -> str:
        letter = self._next(2)[1:]
        if letter.isupper():
            raise PatternRefused(f"'\\{letter}' in a class; write the characters that are meant")
        self.place += 2
        if self._next() == "-" and self._next(2)[1:] != "]":
            raise PatternRefused(r"'-' behind a class; write \-")
        return _CLASSES[letter]
