"""Finds the files that a pipeline's `source.path` names.

Owns patterns, names (`source_file`), links and roots. Must not know what is inside a file. Local
file systems only; a URI of another scheme is refused here, which is the one place to add other file
systems.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from batchinfer.errors import BatchInferError, ConfigError, InputError, InputMissing
from batchinfer.sources.patterns import has_wildcard, named_once, nothing_matches, split_glob

_DIGESTED_BYTES = 16 * 2**20


@dataclass(frozen=True)
class SourceFile:
    """One input file.

    Attributes:
        path: absolute.
        name: `source_file` of its rows: relative to the last folder before the first wildcard, `/`
            between folders.
        size: bytes.
        mtime_ns: last modification, nanoseconds since 1970.
    """

    path: str
    name: str
    size: int
    mtime_ns: int

    def fingerprint(self) -> int:
        """63 bits that change with the file: of its content up to 16 MiB, of size and modification
        time above.

        A small file that was only touched is the same file, and one whose content changed under the
        same time is another.

        Raises:
            InputError: the file is gone, cannot be read, or has another size by now.
        """
        if self.size > _DIGESTED_BYTES:
            return _digest(f"{self.size}:{self.mtime_ns}".encode())
        content = self.read(0, self.size + 1)
        if len(content) != self.size:
            raise InputError(
                f"{self.path} changed while it was being read: it had {self.size:,} bytes when it "
                "was listed"
            )
        return _digest(content)

    def grew_from(self, size: int, fingerprint: int) -> bool:
        """False if the file cannot be one of that size and fingerprint with more behind it.

        Of a file that was larger than 16 MiB nothing is known but its size.

        Raises:
            InputError: the file is gone, or cannot be read.
        """
        if self.size < size or size > _DIGESTED_BYTES:
            return self.size > size
        return _digest(self.read(0, size)) == fingerprint

    def read(self, start: int, size: int) -> bytes:
        """A part of the file; fewer bytes where it ends before.

        Raises:
            InputError: the file is gone, or cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                file.seek(start)
                return file.read(size)
        except FileNotFoundError as error:
            raise InputMissing(f"{self.path} is gone since it was listed") from error
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror}") from error


def _digest(told: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "big") >> 1


def list_files(
    paths: Sequence[str], root: Path, roots: Sequence[str] | None = None
) -> list[SourceFile]:
    """Files that the patterns name, sorted by name; hidden files and those that start with `_` are
    left out.

    A pattern is a file, a folder (all files below it) or a glob (`*`, `?`, `[…]`, `**`); relative
    ones start at `root`.

    Runs on: driver.

    Raises:
        InputMissing: a pattern matches nothing.
        InputError: an unreadable or irregular file, a link out of the folder that a glob names, a
            name or path met twice.
        ConfigError: a path outside `roots`, or with a scheme that has no file system here.
    """
    allowed = None if roots is None else [os.path.realpath(root / each) for each in roots]
    return named_once(file for pattern in paths for file in _listed(pattern, root, allowed))


def _listed(pattern: str, root: Path, allowed: list[str] | None) -> list[SourceFile]:
    if "\0" in pattern:
        raise ConfigError(
            f"source.path: got {pattern!r}; allowed: a path, and no path holds the character NUL"
        )
    try:
        return _matches(pattern, root, allowed)
    except BatchInferError:
        raise
    except OSError as error:
        raise InputError(f"{error.filename} cannot be listed: {error.strerror}") from error


def _matches(pattern: str, root: Path, allowed: list[str] | None) -> list[SourceFile]:
    asked = os.path.normpath(_without_scheme(pattern))
    place = os.path.normpath(os.path.join(root, asked))
    literal = not has_wildcard(asked) or os.path.lexists(place)
    before, rest = (place, "") if literal else split_glob(asked)
    # A root's own name is never a pattern.
    base = os.path.normpath(os.path.join(root, before))
    _hold_to_roots(base, allowed)
    if literal and not os.path.isdir(place):
        if not os.path.lexists(place):
            raise _missing(pattern, place)
        return [_source_file(place, os.path.basename(place), None, allowed)]
    relative = _below(base, "") if literal else _expand(base, rest)
    safe: set[str] = set()
    files = [
        _source_file(os.path.join(base, name), name.replace(os.sep, "/"), base, allowed, safe)
        for name in relative
    ]
    if not files:
        raise _missing(pattern, os.path.join(base, rest) if rest else os.path.join(base, "*"))
    return files


def _without_scheme(pattern: str) -> str:
    scheme, colon, rest = pattern.partition("://")
    if not colon:
        return pattern
    if scheme != "file":
        raise ConfigError(f"source.path: got {pattern!r}; allowed: a local path, or file:///…")
    return rest


def _expand(base: str, rest: str) -> Iterator[str]:
    asked = {part[:1] for part in rest.split(os.sep)}
    seen: set[str] = set()
    for name in sorted(glob.glob(rest, root_dir=base, recursive=True)):
        place = os.path.join(base, name)
        for each in _below(base, name) if os.path.isdir(place) and "**" not in rest else [name]:
            hidden = {part[:1] for part in each.split(os.sep)} & {"_", "."} - asked
            if not hidden and each not in seen and not os.path.isdir(os.path.join(base, each)):
                seen.add(each)
                yield each


def _below(base: str, folder: str) -> Iterator[str]:
    for entry in sorted(os.listdir(os.path.join(base, folder))):
        name = os.path.join(folder, entry)
        if entry.startswith((".", "_")):
            continue
        if os.path.isdir(os.path.join(base, name)):
            # A linked folder may lead out, or round in a circle.
            _refuse_link_out(os.path.join(base, name), base)
            if not os.path.islink(os.path.join(base, name)):
                yield from _below(base, name)
        else:
            yield name


def _source_file(
    path: str, name: str, base: str | None, allowed: list[str] | None, safe: set[str] | None = None
) -> SourceFile:
    """A file as it is now; `safe` holds folders that are known to lie below the base: where links
    lead is dear to ask.
    """
    if not _is_text(name):
        raise InputError(
            f"{os.fsencode(path)!r}: the file's name is no UTF-8, so no column can hold it; "
            "allowed: rename the file"
        )
    safe = set() if safe is None else safe
    if base is not None and (os.path.islink(path) or os.path.dirname(path) not in safe):
        _refuse_link_out(path, base)
        if not os.path.islink(path):
            safe.add(os.path.dirname(path))
    _hold_to_roots(path, allowed)
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is not a regular file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read: no permission")
    return SourceFile(path, name, status.st_size, status.st_mtime_ns)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _inside(path: str, folder: str) -> bool:
    real, top = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath([real, top]) == top


def _refuse_link_out(path: str, base: str) -> None:
    if not _inside(path, base):
        raise InputError(
            f"{path} is a link that leads out of {base}, to {os.path.realpath(path)}; links may "
            "lead to what is below it"
        )


def _hold_to_roots(path: str, allowed: list[str] | None) -> None:
    if allowed is not None and not any(_inside(path, each) for each in allowed):
        raise ConfigError(
            f"source.path: {path} is outside source.roots; allowed: below {', '.join(allowed)}"
        )


def _missing(pattern: str, place: str) -> BatchInferError:
    folder, wanted = os.path.split(place)
    while not os.path.isdir(folder):
        folder, last = os.path.split(folder)
        wanted = os.path.join(last, wanted)
    return nothing_matches(pattern, wanted, folder, os.listdir(folder))
