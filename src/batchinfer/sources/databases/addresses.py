"""Where a database is and who asks: read from environment variables, and kept out of everything
that is said.

Owns the forms of an address, and hiding what is secret. Must not know Spark, nor what is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from batchinfer.config.source_options import JdbcOptions
from batchinfer.credentials import keep_secrets, too_short
from batchinfer.errors import ConfigError, InputMissing

_FORMS = (
    "jdbc:postgresql://HOST:PORT/DATABASE, jdbc:sqlite:/PATH, another jdbc:…, "
    "postgresql://HOST/DATABASE or sqlite:///PATH"
)
_POSTGRES = ("postgresql", "postgres")
# Parts of an address that tell who asks, whatever the driver calls them.
_SECRET_PART = re.compile(
    r"(?i)[?;&](?:user|username|uid|password|pwd|sslpassword|secret|token)=([^&;]*)"
)
_USER_INFO = re.compile(r"//([^/@]*)@")


@dataclass(frozen=True)
class Address:
    """A database as its driver is asked for it.

    Attributes:
        url: JDBC URL.
        user, password: None where they are not given, or stand in the URL.
        secrets: texts that must never be shown.
    """

    url: str = field(repr=False)
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    @property
    def product(self) -> str:
        """What kind of database it is, as its URL says: postgresql, sqlite, mysql …"""
        return self.url.split(":", 2)[1].lower()

    def hide(self, text: str) -> str:
        """The text without the address, the user and the password."""
        for secret in self.secrets:
            # A short one must not blot out parts of other words.
            pattern = re.escape(secret) if len(secret) > 3 else rf"(?<!\w){re.escape(secret)}(?!\w)"
            text = re.sub(pattern, "***", text)
        return text

    def check_file(self, url_env: str) -> None:
        """SQLite would make a file that is not there, and find no tables in it.

        Raises:
            InputMissing: no such file.
        """
        if self.product == "sqlite" and not Path(sqlite_file(self.url)).is_file():
            raise InputMissing(
                f"source.url_env: the SQLite file that {url_env} names is not there; allowed: a "
                "file that exists"
            )


def sqlite_file(url: str) -> str:
    """The path in a JDBC URL of SQLite."""
    return url.split(":", 2)[2].partition("?")[0].removeprefix("file:")


def variables_of(options: JdbcOptions) -> dict[str, str]:
    """Names of the environment variables of a source, by the option that names them."""
    named = {name: getattr(options, name) for name in ("url_env", "user_env", "password_env")}
    return {name: variable for name, variable in named.items() if variable is not None}


def unset_options(options: JdbcOptions, environ: Mapping[str, str]) -> dict[str, str]:
    """The options whose variable is not set, or empty, each with its problem."""
    return {
        option: f"variable {name} is not set; allowed: set it in the environment of the command"
        for option, name in variables_of(options).items()
        if not environ.get(name)
    }


def read_address(options: JdbcOptions, environ: Mapping[str, str]) -> Address:
    """The address that the variables hold.

    Runs on: driver.

    Raises:
        ConfigError: every variable that is not set, or an address of no known form; what it holds
            is not shown.
    """
    unset = unset_options(options, environ)
    if unset:
        raise ConfigError([f"source.{option}: {problem}" for option, problem in unset.items()])
    given = environ[options.url_env].strip()
    user = environ[options.user_env] if options.user_env else None
    password = environ[options.password_env] if options.password_env else None
    try:
        url, own_user, own_password = _as_jdbc(given)
    except ValueError:
        # Not `from error`: the error shows the address.
        raise ConfigError(
            f"source.url_env: variable {options.url_env} holds no address; allowed: {_FORMS}"
        ) from None
    if own_password and (reason := too_short(own_password)):
        raise ConfigError(f"source.url_env: variable {options.url_env} holds {reason}")
    inside = [match for part in (_SECRET_PART, _USER_INFO) for match in part.findall(given)]
    inside += [piece for match in _USER_INFO.findall(given) for piece in match.split(":")]
    found = [
        given,
        url,
        user,
        password,
        own_user,
        own_password,
        *inside,
        *(unquote(text) for text in inside),
    ]
    # The longest first, so that none is hidden only in part.
    secrets = sorted({text for text in found if text}, key=len, reverse=True)
    keep_secrets(secrets)
    return Address(url, user or own_user, password or own_password, tuple(secrets))


def _as_jdbc(given: str) -> tuple[str, str | None, str | None]:
    """(JDBC URL, user, password) of an address in any of its forms.

    Raises:
        ValueError: it has none of them.
    """
    if re.match(r"jdbc:\w+:.", given):
        return given, None, None
    parts = urlsplit(given)
    if parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1:
        return f"jdbc:sqlite:{unquote(parts.path[1:])}", None, None
    if parts.scheme not in _POSTGRES or not parts.path.strip("/"):
        raise ValueError("no form that is known")
    query = f"?{parts.query}" if parse_qsl(parts.query) else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or "localhost"
    url = f"jdbc:postgresql://{host}:{parts.port or 5432}{parts.path}{query}"
    return url, _decoded(parts.username), _decoded(parts.password)


def _decoded(text: str | None) -> str | None:
    return None if text is None else unquote(text)
