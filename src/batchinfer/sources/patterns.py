"""Patterns of a source's places, the same for local paths and for stores.

Owns what a wildcard is, where a pattern's folder ends, that each file has one name, and the words
for a pattern that nothing matches. Must not know how a folder is listed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Protocol, TypeVar

from batchinfer.errors import InputError, InputMissing

_SHOWN = 5
_WILDCARDS = frozenset("*?[")


class NamedFile(Protocol):
    """A file of a source: where it is, and the `source_file` of its rows."""

    @property
    def path(self) -> str: ...

    @property
    def name(self) -> str: ...


_File = TypeVar("_File", bound=NamedFile)


def has_wildcard(part: str) -> bool:
    """Whether a path, or a part of it, is a pattern."""
    return bool(_WILDCARDS & set(part))


def split_glob(path: str) -> tuple[str, str]:
    """(the folder before the first part with a wildcard, the rest); the path and nothing where
    there is none. The root is `/`; the folder of a relative pattern may be empty.
    """
    parts = path.split("/")
    first = next((i for i, part in enumerate(parts) if has_wildcard(part)), len(parts))
    return "/".join(parts[:first]) or ("/" if path.startswith("/") else ""), "/".join(parts[first:])


def named_once(files: Iterable[_File]) -> list[_File]:
    """The files that several patterns found, sorted by name.

    Raises:
        InputError: two files of one name, or one file under two names.
    """
    found: dict[str, _File] = {}
    names: dict[str, str] = {}
    for file in files:
        other = found.get(file.name)
        if other is not None and other.path != file.path:
            raise InputError(
                f"two files would both be source_file {file.name!r}: {other.path} and {file.path}"
            )
        if names.setdefault(file.path, file.name) != file.name:
            raise InputError(
                f"{file.path} is matched by two patterns, as {names[file.path]!r} and as "
                f"{file.name!r}"
            )
        found[file.name] = file
    return [found[name] for name in sorted(found)]


def nothing_matches(pattern: str, wanted: str, folder: str, there: Iterable[str]) -> InputMissing:
    """Says where was looked, and what is near.

    Args:
        wanted: what was looked for below the folder.
        there: names in the folder; those that start with a dot are not shown.
    """
    names = sorted(name for name in there if not name.startswith("."))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    close = difflib.get_close_matches(wanted.split("/")[0], names, n=1)
    return InputMissing(
        f"no file matches {pattern!r}: looked for {wanted!r} in {folder}, which holds "
        f"{', '.join(names[:_SHOWN]) + more or 'nothing'}",
        hint=f"did you mean {close[0]!r}?" if close else None,
    )
