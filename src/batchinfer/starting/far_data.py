"""Data that somebody names by an address: `init` looks at files of this machine only.

Owns what is said of addresses. Opens nothing.
"""

from __future__ import annotations

import re

from batchinfer.config.uris import OTHER_SCHEMES, STORES, local_path
from batchinfer.errors import InputError

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.*)|(?:jdbc|dbfs):.+", re.S)


def path_here(asked: str) -> str:
    """The path of this machine that somebody names, who may write it as `file://…`.

    Raises:
        InputError: any other address; the hint says how such data become a pipeline.
    """
    if asked.startswith("file:"):
        return str(local_path(asked))
    found = _ADDRESS.fullmatch(asked)
    if found is None:
        return asked
    raise InputError(
        f"init: got the address {asked}; allowed: files of this machine, a pattern of them, or a "
        "folder with a Delta table: init opens no store and no server",
        _way(found["scheme"], found["rest"] or ""),
    )


def _way(scheme: str | None, rest: str) -> str:
    name = (scheme or "").lower()
    store = OTHER_SCHEMES.get(name, name)
    if store in STORES:
        written = f"{store}://{rest}" if store == name or name in ("s3", "s3n", "gcs") else None
        address = f"the address, as {written}" if written else f"an address {store}://…"
        return (
            "copy one of the files here and name the copy behind --from; then write into the "
            f"pipeline file as source.path {address}, which extract reads where it is "
            "(docs/object-stores.md)"
        )
    if name in ("http", "https"):
        return (
            "download the file and name the copy behind --from; of an API, kind: http reads the "
            "records, and docs/sources.md says how"
        )
    if not name or "sql" in name or name in ("oracle", "sqlite"):
        return "kind: jdbc reads tables of databases, and docs/sources.md says how"
    return "copy the files here and name the copy behind --from"
