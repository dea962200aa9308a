"""Ends of error sentences: what is allowed, and what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from batchinfer.credentials import without_credentials


def did_you_mean(got: object, allowed: Iterable[str]) -> str:
    """` (did you mean X?)` for a near miss of one of the allowed words, else nothing."""
    if not isinstance(got, str):
        return ""
    words = list(allowed)
    near = get_close_matches(got[:200], words, n=1)
    if not near:  # Delimiter for delimiter, INCOME for income
        by_lower = {word.lower(): word for word in words}
        near = [
            by_lower[word] for word in get_close_matches(got[:200].lower(), list(by_lower), n=1)
        ]
    return f" (did you mean {near[0]}?)" if near else ""


def listed(words: Iterable[str], none: str = "nothing") -> str:
    """The words with commas between them; `none` where there are none."""
    return ", ".join(words) or none


def among(got: object, allowed: Iterable[str], none: str = "nothing") -> str:
    """`got 'x' (did you mean y?); allowed: …`, the usual end of a sentence about a word."""
    words = list(allowed)
    return f"got {shown(got)}{did_you_mean(got, words)}; allowed: {listed(words, none)}"


def shown(value: object) -> str:
    """A value as a sentence shows it: in YAML's words, in one line, cut where it is long.

    Mappings and lists are named, not printed: their contents may be long, and may be private.
    """
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"a mapping ({listed((_text(key) for key in list(value)[:8]), none='empty')})"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    return _text(value if not isinstance(value, str) else str(value))


def _text(value: object) -> str:
    try:
        text = repr(value) if isinstance(value, (str, int, float, bytes)) else str(value)
    except ValueError:  # a whole number of more than 4300 digits has no decimal text
        text = "a very long number"
    # Before it is cut: half a credential is not known for one.
    text = without_credentials(text)
    return text if len(text) <= 80 else f"{text[:76]} …"
