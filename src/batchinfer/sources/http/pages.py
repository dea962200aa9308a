"""Which page of an HTTP API comes next: positions, their URLs, and when paging ends.

Owns the four kinds of pagination. Pure functions: must not know how a page is fetched, nor where
its records go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from batchinfer.config.http_options import Pagination
from batchinfer.config.json_paths import read_json_path
from batchinfer.errors import InputError
from batchinfer.sources.json.shape import follow
from batchinfer.sources.json.values import Unfit

# A page number, an offset, a cursor, or a URL; None: the first page where the API names it by
# nothing.
Position = int | str | None

# A mark of the landed table holds 8 KiB of JSON.
MAX_POSITION_BYTES = 4096
_LINK = re.compile(
    r'<(?P<url>[^<>]*)>(?P<parameters>(?:\s*;\s*[\w*-]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s",;]+))?)*)'
)
_RELATION = re.compile(r';\s*rel\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s",;]+))', re.IGNORECASE)


@dataclass(frozen=True)
class Page:
    """What is known of a page once it has come.

    Attributes:
        position: that was asked for.
        url: that was asked for.
        records: their number.
        document: the page's JSON.
        link: content of the `Link` header, or "".
    """

    position: Position
    url: str
    records: int
    document: Any
    link: str = ""


def first_position(pagination: Pagination) -> Position:
    """Where paging begins."""
    if pagination.kind in ("page", "offset"):
        begin = 1 if pagination.kind == "page" else 0
        return begin if pagination.start is None else pagination.start
    return None


def page_url(url: str, pagination: Pagination, position: Position) -> str:
    """The address of a page: the source's URL, its own query untouched, with what paging adds."""
    if pagination.kind == "link" and position is not None:
        return str(position)
    values = [position, pagination.size] if pagination.kind != "link" else [pagination.size]
    added = [
        (name, value)
        for name, value in zip(pagination.sent, values, strict=False)
        if value is not None
    ]
    if not added:
        return url
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(added)}"


def next_position(pagination: Pagination, page: Page, fullest: int) -> Position:
    """The position behind a page; None: there is none.

    page: until a page has no records; offset: likewise, advanced by the records that came; cursor:
    until the page names no next one, or an empty page names itself; link: until no link has the
    relation `next`.

    Args:
        fullest: most records that a page of this API had so far. A page with fewer records than
            `size` is the last one only if another had as many as `size`: servers that cap it give
            smaller pages all along.

    Raises:
        InputError: a cursor or a link that cannot be one, or a link to another host.
    """
    if pagination.kind == "cursor":
        follows = _next_cursor(pagination, page)
        return None if not page.records and follows == page.position else follows
    if pagination.kind == "link":
        return _next_link(pagination, page)
    if not page.records or not _has_more(pagination, page):
        return None
    if pagination.size is not None and page.records < pagination.size <= fullest:
        return None
    assert isinstance(page.position, int)
    return page.position + (1 if pagination.kind == "page" else page.records)


def resting_position(pagination: Pagination, page: Page) -> Position:
    """Where the next extract begins, after the last page: at that page, or behind it where that can
    be told already.
    """
    assert pagination.kind != "offset" or isinstance(page.position, int)
    if isinstance(page.position, int) and pagination.kind == "offset":
        return page.position + page.records
    if pagination.kind == "cursor" and not _has_more(pagination, page):
        follows = cursor_of(pagination, page)
        return page.position if follows is None else follows
    return page.position


def _has_more(pagination: Pagination, page: Page) -> bool:
    return pagination.more_path is None or bool(value_at(page.document, pagination.more_path))


def _next_cursor(pagination: Pagination, page: Page) -> str | None:
    return cursor_of(pagination, page) if _has_more(pagination, page) else None


def cursor_of(pagination: Pagination, page: Page) -> str | None:
    """The cursor that a page names; None: none, null or empty.

    Raises:
        InputError: something that is neither text nor a whole number, or very long.
    """
    path = pagination.cursor_path or "next_cursor"
    value = value_at(page.document, path)
    if value is None or value is False or value == "":
        return None
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise InputError(
            f"{page.url}: {path} is {type(value).__name__}; allowed: text, a whole number, or null "
            "on the last page"
        )
    return _short(str(value), page.url, path)


def _next_link(pagination: Pagination, page: Page) -> str | None:
    link = next_link(page.link) if pagination.cursor_path is None else cursor_of(pagination, page)
    if link is None:
        return None
    try:
        target = urljoin(page.url, link)
        away = origin(target) != origin(page.url)
    except ValueError as error:
        raise InputError(
            f"{page.url}: the next page is at {link[:200]!r}, which is no address ({error})"
        ) from error
    if away:
        raise InputError(
            f"{page.url}: the next page is at {target[:200]}; allowed: pages of the same host"
        )
    return _short(target, page.url, "the next page's address")


def _short(text: str, url: str, what: str) -> str:
    if len(text.encode()) > MAX_POSITION_BYTES:
        raise InputError(
            f"{url}: {what} has {len(text.encode())} bytes; allowed: {MAX_POSITION_BYTES}"
        )
    return text


def next_link(header: str) -> str | None:
    """The target with the relation `next` in a `Link` header; None: there is none.

    Source: RFC 8288, section 3.
    """
    for link in _LINK.finditer(header):
        for relation in _RELATION.finditer(link["parameters"]):
            if "next" in (relation["quoted"] or relation["plain"] or "").lower().split():
                return link["url"].strip()
    return None


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port, the last with the scheme's default filled in.

    Raises:
        ValueError: a port that is none.
    """
    parts = urlsplit(url)
    return (
        parts.scheme,
        (parts.hostname or "").lower(),
        parts.port or {"http": 80, "https": 443}.get(parts.scheme),
    )


def value_at(document: Any, path: str) -> Any:
    """The value at a path of a document; None where the path ends before it."""
    try:
        return follow(document, read_json_path(path))
    except Unfit:
        return None
