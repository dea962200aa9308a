"""Finds the files that the URIs of a source name, on a store: the rules of `sources.listing`, with
a store's own calls.

Owns patterns, names (`source_file`) and roots there. Must not know how a store is asked, nor what
is inside a file.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from batchinfer.config.uris import Uri, is_remote
from batchinfer.errors import ConfigError, InputMissing
from batchinfer.sources.patterns import has_wildcard, named_once, nothing_matches, split_glob
from batchinfer.spark.hadoop import StoreEntry


class Folders(Protocol):
    """What listing needs of a store: see `hadoop.Store`."""

    def reach(self, path: str) -> StoreEntry | None: ...

    def status(self, path: str) -> StoreEntry | None: ...

    def entries(self, folder: str) -> list[StoreEntry]: ...

    def below(self, folder: str) -> Iterator[StoreEntry]: ...


@dataclass(frozen=True)
class RemoteFile:
    """One input file on a store.

    Attributes:
        uri: where it is.
        name: `source_file` of its rows: relative to the last folder before the first wildcard.
        entry: what the store told of it.
    """

    uri: Uri
    name: str
    entry: StoreEntry

    @property
    def path(self) -> str:
        return str(self.uri)

    @property
    def size(self) -> int:
        return self.entry.size

    def grew_from(self, size: int, fingerprint: int) -> bool:
        """False if the file cannot be one of that size with more behind it; its landed part is not
        read again.
        """
        return self.size > size

    def fingerprint(self) -> int:
        """63 bits that change with the file: of its size and of what the store calls its version;
        nothing is read.
        """
        told = f"{self.entry.size}:{self.entry.version}".encode()
        return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "big") >> 1


def check_roots(paths: Sequence[str], roots: Sequence[str] | None) -> None:
    """Holds URIs to the folders that they may not leave. What is listed below a folder never leaves
    it: stores have no links.

    Raises:
        ConfigError: a URI outside all of them.
    """
    if roots is None:
        return
    allowed = [Uri.parse(root) for root in roots if is_remote(root)]
    for text in paths:
        base, _ = split_glob(Uri.parse(text).path)
        if not any(Uri.parse(text).at(base).is_below(root) for root in allowed):
            raise ConfigError(
                f"source.path: {text} is outside source.roots; allowed: below "
                f"{', '.join(map(str, roots))}"
            )


def list_remote(paths: Sequence[str], store_of: Callable[[Uri], Folders]) -> list[RemoteFile]:
    """Files that the URIs name, sorted by name; hidden files and those that start with `_` are left
    out.

    A URI is a file, a folder (all files below it) or a glob (`*`, `?`, `[…]`, `**`).

    Runs on: driver.

    Raises:
        InputMissing: a URI matches nothing, or its bucket is not there.
        InputError: a name or a file met twice.
        StorageError: a store that does not answer.
    """
    return named_once(file for text in paths for file in _matches(Uri.parse(text), store_of))


def _matches(uri: Uri, store_of: Callable[[Uri], Folders]) -> list[RemoteFile]:
    store = store_of(uri)
    there = store.reach(uri.path)
    if there is not None and not there.is_folder:
        return [RemoteFile(uri, uri.path.rpartition("/")[2], there)]
    if there is not None:
        base, asked, entries = uri.path, frozenset[str](), store.below(uri.path)
    else:
        base, rest = split_glob(uri.path)
        if not rest:
            raise _missing(uri, store)
        asked, entries = (
            frozenset(part[:1] for part in rest.split("/")),
            _expand(store, base, rest.split("/")),
        )
    files: list[RemoteFile] = []
    for path, entry in {entry.path: entry for entry in entries}.items():
        name = path[len(base.rstrip("/")) + 1 :]
        if not {part[:1] for part in name.split("/")} & {"_", "."} - asked:
            files.append(RemoteFile(uri.at(path), name, entry))
    if not files:
        raise _missing(uri, store)
    return files


def _expand(store: Folders, folder: str, parts: Sequence[str]) -> Iterator[StoreEntry]:
    """Files that the parts of a pattern name below a folder; a folder that matches stands for all
    files below it.
    """
    part, later = parts[0], parts[1:]
    if part == "**":
        start = len(folder.rstrip("/")) + 1
        yield from (
            entry for entry in store.below(folder) if _fits(entry.path[start:].split("/"), parts)
        )
        return
    for entry in _children(store, folder, part):
        if later and entry.is_folder:
            yield from _expand(store, entry.path, later)
        elif not later and entry.is_folder:
            yield from store.below(entry.path)
        elif not later:
            yield entry


def _children(store: Folders, folder: str, part: str) -> Iterator[StoreEntry]:
    if not has_wildcard(part):
        entry = store.status(f"{folder.rstrip('/')}/{part}")
        yield from [entry] if entry is not None else []
        return
    hidden = part[:1] in ("_", ".")
    for entry in store.entries(folder):
        name = entry.path.rpartition("/")[2]
        if fnmatch.fnmatchcase(name, part) and (hidden or name[:1] not in ("_", ".")):
            yield entry


def _fits(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether the folders and the name of a file fit a pattern; `**` is any number of folders, at
    its end any file.
    """
    if not parts:
        return not names
    if parts[0] == "**":
        return len(parts) == 1 or any(
            _fits(names[start:], parts[1:]) for start in range(len(names))
        )
    return bool(names) and fnmatch.fnmatchcase(names[0], parts[0]) and _fits(names[1:], parts[1:])


def _missing(uri: Uri, store: Folders) -> InputMissing:
    """Says where was looked, and what is near."""
    folder, _ = split_glob(uri.path)
    while folder != "/" and ((entry := store.status(folder)) is None or not entry.is_folder):
        folder = folder.rpartition("/")[0] or "/"
    wanted = uri.path[len(folder.rstrip("/")) + 1 :]
    names = (entry.path.rpartition("/")[2] for entry in store.entries(folder))
    return nothing_matches(str(uri), wanted, str(uri.at(folder)), names)
