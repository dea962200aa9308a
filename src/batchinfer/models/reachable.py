"""Whether a registry answers at all, asked before the client is loaded.

Owns the short, bounded question. MLflow's own retries last minutes on a dead server and ten growing
pauses on a database that cannot be opened; here the answer comes in seconds. Knows nothing of
models.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import urllib.parse
from pathlib import Path

from batchinfer.errors import StorageError, never_a_folder

TIMEOUT_S = 5.0
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def sqlite_path(uri: str) -> Path | None:
    """The file of a `sqlite:///…` URI, or None for any other registry.

    Runs on: driver.
    """
    return (
        Path(uri.removeprefix("sqlite:///").partition("?")[0])
        if uri.startswith("sqlite:///")
        else None
    )


def check_reachable(uri: str, timeout_s: float = TIMEOUT_S, makes: bool = False) -> None:
    """Returns when the registry answers, within about twice `timeout_s` (an address, then a reply).

    Args:
        makes: makes the folder of a database file; without it, nothing is written where the folder
            can be made.

    Runs on: driver.

    Raises:
        ConfigError: a place where no database file can ever be made.
        StorageError: nobody answers, or the database file cannot be made or opened.
    """
    path = sqlite_path(uri)
    scheme = urllib.parse.urlsplit(uri).scheme
    if path is not None:
        _check_sqlite(path, makes)
    elif scheme in ("http", "https"):
        _check_http(uri, timeout_s)
    elif scheme.partition("+")[0] in _PORTS:
        _check_port(uri, timeout_s)


def _check_sqlite(path: Path, makes: bool) -> None:
    if not makes and _can_be_made(path.parent):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fact = f"the registry {path} cannot be made: the folder {path.parent}: {error.strerror}"
        raise never_a_folder(fact, error, "registry") or StorageError(fact) from error
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise StorageError(f"the registry {path} is not writable")
    if not path.exists():
        return
    try:
        with contextlib.closing(
            sqlite3.connect(f"file:{urllib.parse.quote(str(path))}?mode=ro", uri=True)
        ) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise StorageError(
            f"the registry {path} cannot be opened as an SQLite database: {error}"
        ) from error


def _can_be_made(folder: Path) -> bool:
    above = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    return above != folder and os.path.isdir(above) and os.access(above, os.W_OK)


def _check_http(uri: str, timeout_s: float) -> None:
    import http.client
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(uri.rstrip("/") + "/health", timeout=timeout_s):  # noqa: S310 - http and https only, by the caller
            return
    except urllib.error.HTTPError:
        return  # any status is an answer; not every registry has this page
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise StorageError(
            f"the registry {_without_password(uri)} does not answer within {timeout_s:g} s: "
            f"{reason}"
        ) from error


def _check_port(uri: str, timeout_s: float) -> None:
    parts = urllib.parse.urlsplit(uri)
    port = parts.port or _PORTS[parts.scheme.partition("+")[0]]
    try:
        socket.create_connection((parts.hostname or "localhost", port), timeout_s).close()
    except OSError as error:
        raise StorageError(
            f"the registry {_without_password(uri)} does not answer within {timeout_s:g} s: {error}"
        ) from error


def _without_password(uri: str) -> str:
    parts = urllib.parse.urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
