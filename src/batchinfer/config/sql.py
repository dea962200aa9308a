"""What of SQL stands in a pipeline file: the name of a table, one query.

Owns telling them from anything else, so that a mistake is told before a database is asked. Parses
no more of SQL than where its texts, names and comments end.
"""

from __future__ import annotations

import re

_PART = r'(?:[^\W\d][\w$]*|"(?:[^"\0]|"")+"|`[^`\0]+`|\[[^\]\0]+\])'
_TABLE = re.compile(rf"\s*{_PART}(?:\.{_PART}){{0,3}}\s*")
# Texts, quoted names, PostgreSQL's dollar quotes and comments: what stands in them is no SQL.
_OPAQUE = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|--[^\n]*|/\*.*?\*/""",
    re.DOTALL,
)
_BEGINS = ("select", "with", "values", "table")


def is_table_name(text: str) -> bool:
    """True for a name as SQL has it: up to four parts with dots between them, each bare or in
    quotes.
    """
    return _TABLE.fullmatch(text) is not None


def query_fault(text: str) -> str | None:
    """What is wrong with a query; None: it looks like one statement that reads."""
    bare = _OPAQUE.sub(" ", text).strip().removesuffix(";")
    if ";" in bare:
        return "one statement"
    words = bare.replace("(", " ").split()
    if not words or words[0].lower() not in _BEGINS:
        return "a query that begins with select, with, values or table"
    depth = 0
    for letter in bare:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth < 0:
            break
    if depth or re.search(r"""['"`]|/\*""", bare):
        return "a query whose brackets, quotes and comments all end"
    return None
