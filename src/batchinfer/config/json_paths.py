"""Paths into JSON documents, such as `a.b[0].c`.

Owns their grammar: keys with dots between them, `[0]` for an item of a list (from 0), and `["a
key"]` for a key that holds dots, brackets, quotes or spaces (a JSON string). Must not know
documents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

# A key of an object, or the number of an item of a list.
JsonStep = str | int
JsonPath = tuple[JsonStep, ...]

_KEY = r'[^\s.\[\]"]+'
_STEP = re.compile(
    rf'(?:^|(?!^)\.)(?P<key>{_KEY})|\[(?P<item>[0-9]{{1,9}})\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]'
)
_PLAIN = re.compile(_KEY)
_ALLOWED = (
    'keys with dots between them, [0] for an item of a list, ["a key"] for a key with dots '
    "or spaces; such as a.b[0].c"
)


def read_json_path(text: str) -> JsonPath:
    """The steps of a path.

    Raises:
        ValueError: no path; the message says what was got and what is allowed.
    """
    steps: list[JsonStep] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise _refused(text, f", in which {text[at : at + 20]!r} cannot be read")
        if match["item"] is not None:
            steps.append(int(match["item"]))
        elif match["key"] is not None:
            steps.append(match["key"])
        else:
            steps.append(_quoted(match["quoted"], text))
        at = match.end()
    if not steps:
        raise _refused(text, "")
    return tuple(steps)


def _quoted(written: str, text: str) -> str:
    try:
        return json.loads(written)
    except ValueError as error:
        raise _refused(text, f", in which {written} is no JSON string") from error


def _refused(text: str, fact: str) -> ValueError:
    return ValueError(f"got {text!r}{fact}; allowed: {_ALLOWED}")


def column_path(name: str, path: str | None) -> JsonPath:
    """Where a column's values stand; without a path, under the top-level key that has the column's
    name, dots and all.

    Raises:
        ValueError: no path.
    """
    return (name,) if path is None else read_json_path(path)


def written_path(steps: Sequence[JsonStep]) -> str:
    """The steps as a path is written: the inverse of `read_json_path`."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text
