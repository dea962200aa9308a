"""Places that the files of a source can be at: local paths, and URIs of the stores that Hadoop's
own file systems read.

Owns which schemes there are and what each needs. Opens nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from batchinfer.config.suggestions import did_you_mean, listed, shown
from batchinfer.credentials import holds_user

# Of a file or folder, on every common file system.
NAME_BYTES = 255
# Schemes that Hadoop's file systems read, with the package that Spark does not bring itself.
# `{hadoop}` is the version of Spark's own Hadoop, which a package of Hadoop has to share.
STORES: Mapping[str, str | None] = {
    "s3a": "org.apache.hadoop:hadoop-aws:{hadoop}",
    "gs": "com.google.cloud.bigdataoss:gcs-connector:3.1.7",
    "abfss": "org.apache.hadoop:hadoop-azure:{hadoop}",
    "abfs": "org.apache.hadoop:hadoop-azure:{hadoop}",
    "hdfs": None,
    "webhdfs": None,
    "swebhdfs": None,
    "viewfs": None,
}
# These find their servers in Hadoop's own configuration, where the URI names none.
_WITHOUT_AUTHORITY = frozenset({"hdfs", "viewfs"})
_ALLOWED = (
    "allowed: a local path, file:///…, or a URI that begins with "
    f"{', '.join(f'{scheme}://' for scheme in STORES)}"
)
# What other tools call these stores, or stores of the same maker.
OTHER_SCHEMES: Mapping[str, str] = {
    "s3": "s3a",
    "s3n": "s3a",
    "gcs": "gs",
    "wasb": "abfss",
    "wasbs": "abfss",
    "adl": "abfss",
}

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):(?P<slashes>//)?(?P<rest>.*)", re.DOTALL)
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")


@dataclass(frozen=True)
class Uri:
    """A place on a store.

    Attributes:
        path: absolute, without a slash at its end; never with `..`.
    """

    scheme: str
    authority: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Uri:
        """The parts of a URI that `check_place` has nothing against."""
        scheme, _, rest = text.partition("://")
        authority, _, path = rest.partition("/")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        return cls(scheme.lower(), authority, "/" + "/".join(parts))

    @property
    def store(self) -> str:
        return f"{self.scheme}://{self.authority}"

    def at(self, path: str) -> Uri:
        """Another place on the same store."""
        return Uri(self.scheme, self.authority, path)

    def is_below(self, folder: Uri) -> bool:
        """Whether this is the folder, or below it."""
        return self.store == folder.store and f"{self.path.rstrip('/')}/".startswith(
            f"{folder.path.rstrip('/')}/"
        )

    def __str__(self) -> str:
        return f"{self.store}{self.path}"


def local_path(uri: str) -> Path | None:
    """The local folder that a path or `file://` URI names, absolute; None for any other scheme.

    Runs on: driver | executor
    """
    if uri.startswith("file:"):
        return Path(unquote(urlsplit(uri).path))
    return None if _SCHEME.match(uri) else Path(os.path.abspath(uri))


def is_remote(place: str) -> bool:
    """Whether a place is on a store, so that Hadoop's file systems have to fetch it."""
    return place.partition("://")[0].lower() in STORES and "://" in place


def are_remote(places: Sequence[str]) -> bool:
    """The same of the paths of a source, which are all on stores or all local."""
    return bool(places) and is_remote(places[0])


def check_place(text: str) -> None:
    """Whether files can be looked for at a place.

    Raises:
        ValueError: a scheme that nothing here reads, `..` in a URI, a URI without its bucket, one
            that holds credentials.
    """
    if _WINDOWS.match(text):
        raise ValueError(f"got {shown(text)}, a path of Windows; {_ALLOWED}")
    found = _URI.fullmatch(text)
    if found is None:
        return
    scheme, rest = found["scheme"].lower(), found["rest"]
    if not found["slashes"]:
        if scheme == "file" or scheme in STORES:
            raise ValueError(
                f"got {shown(text)}; allowed: {scheme}:{'///' if scheme == 'file' else '//'}…"
            )
        return
    if scheme == "file":
        return
    if scheme not in STORES:
        meant = (
            f" (did you mean {OTHER_SCHEMES[scheme]}?)"
            if scheme in OTHER_SCHEMES
            else did_you_mean(scheme, ["file", *STORES])
        )
        raise ValueError(
            f"got the scheme {shown(scheme)}{meant}, which nothing here reads; {_ALLOWED}"
        )
    _check_rest(scheme, rest)


def _check_rest(scheme: str, rest: str) -> None:
    authority, _, path = rest.partition("/")
    if holds_user(f"{scheme}://{rest}"):
        # Not shown: what stands there is a secret.
        raise ValueError(
            f"got a {scheme}:// URI that holds credentials; allowed: credentials by reference, see "
            "docs/object-stores.md"
        )
    if not authority and scheme not in _WITHOUT_AUTHORITY:
        raise ValueError(
            f"got {shown(f'{scheme}://{rest}')}, which names no bucket; allowed: "
            f"{scheme}://bucket/folder/…"
        )
    if ".." in path.split("/"):
        raise ValueError(f"got {shown(f'{scheme}://{rest}')}; allowed: URIs without ..")


def check_places(texts: Sequence[str]) -> None:
    """Whether the paths of one source can be listed together.

    Raises:
        ValueError: some are on stores, some are local.
    """
    if len({is_remote(text) for text in texts}) > 1:
        local = listed(shown(text) for text in texts if not is_remote(text))
        raise ValueError(
            f"got URIs of a store and local paths ({local}); allowed: either, in one source"
        )


def join(folder: str, *parts: str) -> str:
    """A path or URI below a folder or URI; an absolute path or URI stays as it is."""
    last = "/".join(parts)
    if "://" in last or last.startswith("/"):
        return last
    return f"{folder.rstrip('/')}/{last}"
