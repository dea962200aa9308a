"""Zip archives that nobody vouches for: names, sizes and numbers are looked at before a byte is
unpacked.

Owns the rules for an archive, and the writing of a fresh one. Two zip readers may see different
members in one hostile file; so a format reads its members here, and hands its own library an
archive that was written anew from the very bytes that were checked. Knows no format.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping

from batchinfer.errors import ModelError

MAGIC = b"PK\x03\x04"
_MOST_MEMBERS = 100_000
# Weights hardly shrink; what unpacks to more than this, and to a hundred times its size, was made
# to fill the memory.
_ALWAYS_FINE_BYTES = 64 * 2**20
_MOST_RATIO = 100
_ODD = re.compile(r"(^|/)\.\.?(/|$)|^/|\\|^[A-Za-z]:|[\x00-\x1f]|//")


def member_names(data: bytes) -> list[str]:
    """Names of an archive's members; nothing is unpacked.

    Raises:
        ModelError: no archive, or damaged.
    """
    with _opened(data) as archive:
        return archive.namelist()


def read_members(data: bytes) -> dict[str, bytes]:
    """The members of an archive by name, folders left out.

    Runs on: driver and executor.

    Raises:
        ModelError: damaged; a name that leads out of the archive or stands twice; links; more than
            it may unpack to.
    """
    with _opened(data) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        _check_members(members, len(data))
        try:
            return {info.filename: archive.read(info) for info in members}
        except (
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
            EOFError,
            OSError,
            ValueError,
        ) as error:
            raise ModelError(f"the archive is damaged: {error}") from error


def _opened(data: bytes) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ModelError(f"the archive is damaged or cut off: {error}") from error
    # Of a file that was cut off, the index of an archive inside of it may be what is found.
    if min((info.header_offset for info in archive.infolist()), default=0):
        raise ModelError(
            "the archive is damaged or cut off: it does not begin with its first member"
        )
    return archive


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    if len(members) > _MOST_MEMBERS:
        raise ModelError(f"the archive has {len(members):,} members; allowed: {_MOST_MEMBERS:,}")
    seen: set[str] = set()
    for info in members:
        name = info.filename
        if _ODD.search(info.orig_filename) or _ODD.search(name):
            raise ModelError(
                f"the archive has a member {info.orig_filename!r}; allowed: names that stay inside "
                "the archive"
            )
        if name.lower() in seen:
            raise ModelError(f"the archive has the member {name!r} twice; allowed: each name once")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise ModelError(f"the archive has a link {name!r}; allowed: plain files")
        seen.add(name.lower())
    total = sum(info.file_size for info in members)
    allowed = max(_ALWAYS_FINE_BYTES, _MOST_RATIO * size)
    if total > allowed:
        raise ModelError(
            f"the archive of {size:,} bytes unpacks to {total:,}; allowed here: {allowed:,}"
        )


def write_archive(members: Mapping[str, bytes]) -> bytes:
    """A plain archive, nothing compressed; equal members give equal bytes.

    Runs on: driver and executor.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def without_root(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """Members by their names below the one folder that PyTorch puts all of an archive in.

    Raises:
        ModelError: members beside that folder.
    """
    roots = {name.partition("/")[0] if "/" in name else "" for name in members}
    if len(roots) != 1 or "" in roots:
        raise ModelError(
            f"the archive has {len(roots)} folders at its top; allowed: one that holds all, as "
            "PyTorch writes it"
        )
    return {name.partition("/")[2]: data for name, data in members.items()}
