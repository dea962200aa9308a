"""Takes the records out of an API's answer: what is JSON in it, where its list stands, and the
bytes of each record.

Owns which list is meant where no `records_path` says so, and what makes two records the same. Must
not know paging.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from batchinfer.config.json_paths import read_json_path, written_path
from batchinfer.errors import InputError
from batchinfer.sources.http.pages import value_at
from batchinfer.sources.json.array import cut_elements

_SHOWN_BYTES = 120
_DEPTH = 4


@dataclass(frozen=True)
class Body:
    """A page's content.

    Attributes:
        document: its JSON.
        records: the raw bytes of each record, in one line.
        path: of the list that they came from, `` for the document itself; None: no list has been
            seen yet that holds records.
    """

    document: Any
    records: tuple[bytes, ...]
    path: str | None


def read_body(body: bytes, url: str, path: str | None) -> Body:
    """The records of an answer.

    Args:
        path: where they stand; None: the document is the list, or holds one list of objects and no
            other.

    Runs on: driver.

    Raises:
        InputError: no JSON, or no list at the path; names the URL, and says what was got.
    """
    if not body.strip():
        # What 204 and some empty pages hold.
        return Body(None, (), path)
    document = _parse(body, url)
    found = _find_list(document, url) if path is None else path
    if found is None:
        return Body(document, (), None)
    value = value_at(document, found) if found else document
    if value is None and found and _stands(document, found):
        return Body(document, (), path)
    if not isinstance(value, list):
        there = _paths(document)
        raise InputError(
            f"{url}: no list of records at {found or 'the top'} (got {_kind(value)}); allowed: "
            "source.records_path with the path of one; lists in this page: "
            f"{', '.join(there) or 'none'}"
        )
    spans = cut_elements(body, found or None) if value else []
    return Body(document, tuple(_one_line(body[start:end]) for start, end in spans), found)


def first_bytes(body: bytes) -> str:
    """The beginning of an answer, as a message can show it."""
    text = " ".join(body[:_SHOWN_BYTES].decode("utf-8", "replace").split())
    return repr(text) + ("…" if len(body) > _SHOWN_BYTES else "")


def digest_records(records: Iterable[bytes]) -> str:
    """A digest of what records say: neither spaces nor the order of keys matter."""
    digest = hashlib.blake2b(digest_size=16)
    for record in records:
        digest.update(_canonical(record) + b"\n")
    return digest.hexdigest()


def _canonical(record: bytes) -> bytes:
    text = record.decode("utf-8", "surrogateescape")
    return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")).encode()


def _parse(body: bytes, url: str) -> Any:
    try:
        # Bytes that are not UTF-8 are the concern of the record that they stand in.
        return json.loads(body.decode("utf-8", "surrogateescape"))
    except RecursionError as error:
        raise InputError(f"{url}: its JSON is nested too deeply") from error
    except ValueError as error:
        raise InputError(
            f"{url}: the answer is no JSON ({error}); it begins with {first_bytes(body)}"
        ) from error


def _one_line(record: bytes) -> bytes:
    # Only spaces between values can be line ends here: strings have none in valid JSON.
    return record.replace(b"\r", b" ").replace(b"\n", b" ")


def _find_list(document: Any, url: str) -> str | None:
    """The path of the one list of objects; None where all lists are empty."""
    if isinstance(document, list):
        return ""
    lists = dict(_lists(document))
    full = [path for path, items in lists.items() if any(isinstance(item, dict) for item in items)]
    if len(full) == 1:
        return full[0]
    if not full and lists and not any(lists.values()):
        return None
    what = (
        f"{len(full)} lists of objects ({', '.join(full)})"
        if full
        else f"no list of objects, but {_kind(document)}"
    )
    keys = (
        f" with {', '.join(map(str, list(document)[:10]))}"
        if isinstance(document, dict) and not full
        else ""
    )
    raise InputError(
        f"{url}: where are the records? Got {what}{keys}; allowed: a list, an object with one list "
        "of objects, or source.records_path with the path of the list"
    )


def _lists(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Sequence[Any]]]:
    """Lists below an object, by their paths; not those inside other lists."""
    if isinstance(value, list):
        yield written_path(path), value
    elif isinstance(value, dict) and len(path) < _DEPTH:
        for key, item in value.items():
            yield from _lists(item, (*path, key))


def _paths(document: Any) -> list[str]:
    return (
        ["the top"] if isinstance(document, list) else [path for path, _ in _lists(document)][:10]
    )


def _stands(document: Any, path: str) -> bool:
    """Whether the last step of a path is there, with null for a value: an empty list, in some
    languages.
    """
    *before, last = read_json_path(path)
    holder = value_at(document, written_path(before)) if before else document
    return isinstance(holder, dict) and last in holder


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "a number")
