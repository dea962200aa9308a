"""Addresses of stores on servers: read from the variables that settings name, and shown without
what is secret in them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec

from batchinfer.credentials import HIDDEN
from batchinfer.errors import ConfigError, SetupError


def store_address(
    setting: str, variable: str, schemes: tuple[str, ...], environ: Mapping[str, str]
) -> str:
    """The address that a variable holds.

    Args:
        setting: that names the variable, for the error.
        schemes: that an address may begin with.

    Raises:
        ConfigError: it is not set, or holds something else; what it holds is not shown.
    """
    value = environ.get(variable, "").strip()
    if value.partition("://")[0] in schemes and "://" in value:
        return value
    allowed = " or ".join(f"{scheme}://HOST" for scheme in schemes)
    found = "holds no such address" if value else "is not set"
    raise ConfigError(f"{setting}: variable {variable} {found}; allowed: {allowed}")


def shown_address(url: str) -> str:
    """An address without its user, its password and its parameters. The address itself may be kept
    as a secret, so this is not left to `without_credentials`.
    """
    scheme, _, rest = url.partition("://")
    bare, _, parameters = rest.partition("?")
    # A question mark of a password, or an @ of a parameter: which one, nobody can tell.
    shown = HIDDEN if "@" in parameters else bare.rpartition("@")[2].rstrip("/")
    return f"{scheme}://{shown}"


def need_driver(package: str, kind: str) -> None:
    """Makes sure that a store's driver is installed.

    Raises:
        SetupError: it is not.
    """
    if sys.modules.get(package) is None and find_spec(package) is None:
        raise SetupError(
            f"the package {package} is not installed, and the store {kind} needs it; allowed: "
            "batchinfer with the extra stores",
            "pip install 'batchinfer[stores]'",
        )
