"""Words that texts do not show: how they are found in a text, whole or cut.

Owns what counts as a word of a text. Imports nothing of the package.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

HIDDEN = "***"
# Characters of a word: a shorter one may stand inside of an ordinary word; of a longer one, a piece
# tells it, and texts are cut.
_LONG, _PIECE = 16, 12


@dataclass(frozen=True)
class HiddenWords:
    """Words, as they stand in texts.

    Attributes:
        whole: the words.
        pieces: all parts of the longer ones, of one length.
        any_case: a word is the same in capitals.
    """

    whole: frozenset[str] = frozenset()
    pieces: frozenset[str] = frozenset()
    any_case: bool = False

    @classmethod
    def of(cls, words: Iterable[str], any_case: bool = False) -> HiddenWords:
        whole = frozenset(word.lower() if any_case else word for word in words if word)
        return cls(whole, frozenset().union(*map(word_pieces, whole)), any_case)

    def __bool__(self) -> bool:
        return bool(self.whole)


def word_pieces(word: str) -> frozenset[str]:
    """What a text that is cut may hold of a word; nothing of a short one."""
    if len(word) < _LONG:
        return frozenset()
    return frozenset(word[at : at + _PIECE] for at in range(len(word) - _PIECE + 1))


def hide_words(text: str, words: HiddenWords) -> str:
    """The text with `***` for each of the words, and for each piece of a longer one."""
    flags = re.IGNORECASE if words.any_case else 0
    held = text.lower() if words.any_case else text
    for word in sorted(words.whole, key=len, reverse=True):
        if word not in held:
            continue
        form = re.escape(word)
        if len(word) < _LONG:
            form = rf"(?<!\w){form}(?!\w)"
        text = re.sub(form, lambda _: HIDDEN, text, flags=flags)
        held = text.lower() if words.any_case else text
    return _without_pieces(text, words) if words.pieces else text


def _without_pieces(text: str, words: HiddenWords) -> str:
    held = text.lower() if words.any_case else text
    if len(held) != len(text):
        # A few letters have another length in lower case; then only those as they are written.
        held = text
    found, at = list[str](), 0
    while at < len(text):
        if held[at : at + _PIECE] not in words.pieces:
            found.append(text[at])
            at += 1
            continue
        at += _PIECE
        while held[at - _PIECE + 1 : at + 1] in words.pieces:
            at += 1
        found.append(HIDDEN)
    return "".join(found)


_scoped: ContextVar[tuple[HiddenWords, ...]] = ContextVar("hidden words", default=())


@contextmanager
def hiding(words: HiddenWords) -> Generator[None]:
    """Within, no error that is made shows one of the words: not in this task of an event loop, nor
    in this thread.
    """
    token = _scoped.set((*_scoped.get(), words)) if words else None
    try:
        yield
    finally:
        if token is not None:
            _scoped.reset(token)


def hide_scoped(text: str) -> str:
    """The text without the words of every `hiding` that it is made in."""
    for words in _scoped.get():
        text = hide_words(text, words)
    return text
