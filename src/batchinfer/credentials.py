"""Credentials that stand in addresses: which parts of an address they are, and texts without them.

Owns their forms. Every error is built with `without_credentials`, so that none shows one, whatever
text it repeats; data are never changed by it. Imports nothing of the package.
"""

from __future__ import annotations

import re

HIDDEN = "***"
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
_ORACLE = re.compile(r"(?P<scheme>\bjdbc:oracle:\w+:)[^\s/@]+/\S+@", re.IGNORECASE)


def without_credentials(text: str) -> str:
    """The text with `***` for each user with a password, and each value of a secret parameter, of
    the addresses in it.
    """
    if "@" in text:
        for form in (_USER, _WEB_USER, _ORACLE):
            text = form.sub(rf"\g<scheme>{HIDDEN}@", text)
    return _PARAMETER.sub(_without_value, text) if "=" in text else text


def _without_value(match: re.Match[str]) -> str:
    return match["before"] + HIDDEN if is_secret(match["name"]) else match[0]


def holds_user(address: str) -> bool:
    """Whether an address names a user with a password, or a user who is a token."""
    return "@" in address and any(form.search(address) for form in (_USER, _WEB_USER, _ORACLE))


def is_secret(parameter: str) -> bool:
    """Whether the value of a parameter with this name is a credential."""
    return _NAME.fullmatch(re.sub(r"[^a-z]", "", parameter.lower())) is not None
