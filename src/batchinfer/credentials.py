"""Credentials: those that stand in addresses, those that this process was given in variables, and
texts without them.

Owns their forms. Every error is built with `without_credentials`, so that none shows one, whatever
text it repeats; data are never changed by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from typing import Any
from urllib.parse import quote

from batchinfer.masking.hidden_words import (
    HIDDEN,
    HiddenWords,
    hide_scoped,
    hide_words,
    word_pieces,
)

# Names of parameters, in lower case and with their letters only.
_NAME = re.compile(
    r"(access|api|private|secret|secretaccess)key|(access|api|auth|id|private|refresh|security|session)?token|(client)?secret"
    r"|(ssl)?password|passwd|pwd|bearer|delegation|sig|signature|xamz.*|xgoog.*"
)
# A value ends with the parameter, or with the sentence's own quotes around the address.
_PARAMETER = re.compile(
    r"""(?P<before>[?&;#](?P<name>[\w.-]{1,40})=)(?P<value>(?:(?!["'](?:[\s,;:.)\]}]|$))[^&;#\s])+)"""
)
# Up to the last @, for keys of S3 have slashes in them. What begins with the digits of a port is
# one. One slash: where an address was taken for a path.
_USER = re.compile(
    r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]*://?)(?!\[)[^\s/@:?#]*:(?!\d{1,5}[/?#])\S*@"
)
# A user alone is a token there; elsewhere it is a container (abfss), or who asks.
_WEB_USER = re.compile(r"(?P<scheme>\bhttps?://?)[^\s/@?#]+@", re.IGNORECASE)
# Characters of a secret: shorter ones would hide ordinary words.
_SHORTEST = 3
# What reports are found by, and what is data.
IDENTIFIERS = frozenset(
    {"run_id", "pipeline", "slice", "slices", "status", "command", "version", "prediction"}
    | {"results", "table", "source_table", "quarantine", "model_name", "model_version", "report"}
)
_secrets = HiddenWords()
_ORACLE = re.compile(r"(?P<scheme>\bjdbc:oracle:\w+:)[^\s/@]+/\S+@", re.IGNORECASE)


def without_credentials(text: str) -> str:
    """The text with `***` for each user with a password, and each value of a secret parameter, of
    the addresses in it, for each secret of `keep_secrets`, and for each word that is hidden where
    the text is made.
    """
    text = hide_scoped(hide_secrets(text))
    if "@" in text:
        for form in (_USER, _WEB_USER, _ORACLE):
            text = form.sub(rf"\g<scheme>{HIDDEN}@", text)
    return _PARAMETER.sub(_without_value, text) if "=" in text else text


def keep_secrets(values: Iterable[str]) -> None:
    """From now on no text of this process shows one of these, though a server may send it back
    inside of a record.
    """
    global _secrets
    whole, pieces = set(_secrets.whole), set(_secrets.pieces)
    for value in values:
        secret = value.strip()
        if len(secret) < _SHORTEST:
            continue
        # As it stands in a text, in JSON, in an address.
        whole |= {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}
        if "://" not in secret and not secret.startswith("jdbc:"):
            pieces |= word_pieces(secret)
    _secrets = HiddenWords(frozenset(whole), frozenset(pieces))


def too_short(secret: str) -> str | None:
    """Why a secret cannot be hidden in texts; None where it can."""
    length = len(secret.strip())
    if length >= _SHORTEST:
        return None
    return (
        f"a secret of {length} characters, which no text can hide without hiding ordinary words; "
        f"allowed: at least {_SHORTEST} characters"
    )


def has_secrets() -> bool:
    """Whether `keep_secrets` was given any."""
    return bool(_secrets)


def hide_secrets(text: str) -> str:
    """The text with `***` for each secret, and for each longer part of one: texts are cut."""
    return hide_words(text, _secrets) if _secrets else text


def told_without_secrets(value: Any, kept: Collection[str] = ()) -> Any:
    """A report, which is JSON, without secrets in its texts.

    Args:
        kept: keys whose values are data, or go by what they are.
    """
    if not _secrets:
        return value
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, dict):
        return {
            key: one if key in kept else told_without_secrets(one, kept)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [told_without_secrets(one, kept) for one in value]
    return value


def _without_value(match: re.Match[str]) -> str:
    return match["before"] + HIDDEN if is_secret(match["name"]) else match[0]


def holds_user(address: str) -> bool:
    """Whether an address names a user with a password, or a user who is a token."""
    return "@" in address and any(form.search(address) for form in (_USER, _WEB_USER, _ORACLE))


def is_secret(parameter: str) -> bool:
    """Whether the value of a parameter with this name is a credential."""
    return _NAME.fullmatch(re.sub(r"[^a-z]", "", parameter.lower())) is not None
