"""Which online stores there are: their settings as pipeline files have them, and the stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchinfer.config.shapes.online_stores import (
    EmbeddedTarget,
    Target,
)
from batchinfer.config.uris import join
from batchinfer.lookups.stores.online_store import OnlineStore


@dataclass(frozen=True)
class StoredTable:
    """The table whose rows a store keeps, and where local files of it go.

    Attributes:
        name: of the table in stores that keep several: the pipeline's name, for its fallbacks
            `<pipeline>.fallbacks`.
        home: the state folder; relative folders begin there, and files of object stores are kept.
    """

    name: str
    home: Path


def open_store(target: Target, table: StoredTable) -> OnlineStore:
    """The store of a table that settings name; nothing is asked of it yet.

    Runs on: driver | service

    Raises:
        ConfigError: a variable that holds its address is not set, or its driver is not installed.
    """
    return _STORES[target.kind](target, table)


def _embedded(target: EmbeddedTarget, table: StoredTable) -> OnlineStore:
    from batchinfer.lookups.stores.embedded_store import EmbeddedStore

    name, _, part = table.name.partition(".")
    root = "/".join(filter(None, (target.path or f"online/{name}", part)))
    return EmbeddedStore(join(str(table.home), root), str(table.home / "cache" / "online"))


_STORES: Mapping[str, Callable[[Any, StoredTable], OnlineStore]] = {"embedded": _embedded}
