"""Text that came from data, made fit to be shown. Owns which characters may reach a terminal or a
page.
"""

from __future__ import annotations

import re

from batchinfer.credentials import hide_secrets

# Control characters drive a terminal; marks of writing direction make text read other than it is;
# lone surrogates cannot be encoded at all.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


# What begins markup wherever it stands; an underscore inside of a word does not.
_MARKUP = re.compile(r"[\\`*\[\]|~#$!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
# Where GitHub's Markdown makes a link of plain text.
_AUTOLINK = re.compile(r"(?i)\b(https?|ftp|mailto)(?=:)|\bwww(?=\.)")


def showable(text: str) -> str:
    """The text with every character that could act instead of being read replaced by
    `\N{REPLACEMENT CHARACTER}`, and without secrets.
    """
    text = hide_secrets(text)
    return _UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def markdown(text: object) -> str:
    """The text as Markdown that shows just it, on one line: no markup, no HTML, no table cell, no
    link of its own.
    """
    plain = " ".join(showable(str(text)).split())
    for mark, meant in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        plain = plain.replace(mark, meant)
    return _AUTOLINK.sub(r"\g<0>\\", _MARKUP.sub(r"\\\g<0>", plain))


def counted(count: int, singular: str) -> str:
    """A count with its noun: `1 row`, `12,345 rows`."""
    return f"{count:,} {singular}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """A time span for people: `0.42 s`, `12.3 s`, `5 min 2 s`, `2 h 5 min`."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def money(amount: float) -> str:
    """An amount of some currency: two decimals, and of less than 1 as many as say something."""
    if abs(amount) >= 1 or amount == 0:
        return f"{amount:,.2f}"
    return f"{amount:.6f}".rstrip("0").rstrip(".")


def bytes_told(count: float) -> str:
    """A size for people: `812 B`, `64.0 KiB`, `1.5 MiB`, `2.2 GiB`."""
    for unit in ("B", "KiB", "MiB"):
        if abs(count) < 1023.95:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"
