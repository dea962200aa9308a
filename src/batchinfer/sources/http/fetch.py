"""Fetches the pages of an HTTP API, one after the other, from where the last extract ended.

Owns when paging ends, and what of the first page has been landed before. Must not know tables or
Spark.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batchinfer.config.http_options import Pagination
from batchinfer.config.sources import HttpSource
from batchinfer.errors import InputError, StorageError
from batchinfer.sources.http.answers import Body, digest_records, read_body
from batchinfer.sources.http.client import Answer, Client, Refused
from batchinfer.sources.http.page_spool import PageSpool, SpooledPage
from batchinfer.sources.http.pages import (
    Page,
    Position,
    first_position,
    next_position,
    page_url,
    resting_position,
)

# An API that always names one more page would be followed for ever.
_EMPTY_PAGES = 100


@dataclass(frozen=True)
class PageMark:
    """Where an extract ended, as the landed table records it.

    Attributes:
        position: of the page that the next extract begins with.
        seen: records of that page that have landed or been quarantined.
        digest: of these records.
        path: of the list of records.
        shape: what the position means: `paging_shape`.
    """

    position: Position
    seen: int
    digest: str
    path: str | None
    shape: list[Any]

    def to_text(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_text(cls, text: str) -> PageMark:
        return cls(**json.loads(text))


def paging_shape(source: HttpSource) -> list[Any]:
    """What must be as it was for a position to mean what it meant."""
    paging = _paging(source)
    return [
        paging.kind,
        source.options.records_path,
        paging.param,
        paging.size if paging.kind == "page" else None,
    ]


def check_shape(source: HttpSource, mark: PageMark) -> None:
    """Whether paging is still the one that a mark was made by.

    Raises:
        InputError: it is another.
    """
    if mark.shape != paging_shape(source):
        names = ("kind", "records_path", "param", "size")
        differ = [
            f"{name} was {was!r} and is {now!r}"
            for name, was, now in zip(names, mark.shape, paging_shape(source), strict=True)
            if was != now
        ]
        raise InputError(
            f"{source.options.url}: paging changed since the last extract ({'; '.join(differ)}), "
            f"so it cannot be told what has landed; allowed: paging as it was",
            hint="to land everything from the start, give the pipeline another name",
        )


def fetch_pages(
    source: HttpSource,
    client: Client,
    spool: PageSpool,
    mark: PageMark | None,
    advance: Callable[[int], None],
) -> None:
    """Fetches all pages that are not in the spool yet, and puts them there.

    Args:
        mark: where the last extract ended; None: there was none.
        advance: is told of each page.

    Runs on: driver.

    Raises:
        InputError: pages that cannot be read, or go round in a circle; landed records that changed
            (`on_changed: fail`).
        StorageError: a server that does not answer; says that the pages so far are kept.
    """
    fetching = _Fetching(source, client, spool, mark)
    while not spool.complete:
        try:
            fetching.fetch_next()
        except StorageError as error:
            raise StorageError(error.problems, hint=_kept(spool)) from error
        advance(1)


def end_mark(source: HttpSource, spool: PageSpool, mark: PageMark | None) -> PageMark:
    """Where paging ended."""
    shape = paging_shape(source)
    if not spool.pages:
        return mark or PageMark(first_position(_paging(source)), 0, digest_records(()), None, shape)
    last = spool.pages[-1]
    if last.rest != last.position:
        return PageMark(last.rest, 0, digest_records(()), last.path, shape)
    return PageMark(last.position, last.records, last.digest, last.path, shape)


def _kept(spool: PageSpool) -> str | None:
    if not spool.pages:
        return None
    return (
        f"{len(spool.pages)} pages are kept in {spool.folder}: extract again, and it goes on "
        "from there"
    )


def _paging(source: HttpSource) -> Pagination:
    assert source.options.pagination is not None
    return source.options.pagination


class _Fetching:
    """One extract's way through the pages."""

    def __init__(
        self, source: HttpSource, client: Client, spool: PageSpool, mark: PageMark | None
    ) -> None:
        self.source, self.client, self.spool, self.mark = source, client, spool, mark
        self.paging = _paging(source)
        self.path = source.options.records_path
        if self.path is None:
            known = [page.path for page in spool.pages if page.path is not None]
            self.path = known[0] if known else mark.path if mark else None

    def fetch_next(self) -> None:
        """Fetches one page and keeps it, or finds that there is none."""
        position = self._position()
        url = page_url(self.source.options.url, self.paging, position)
        try:
            answer = self.client.get(url)
        except Refused as refusal:
            # Some servers have no page behind the last one, instead of one without records.
            if (
                refusal.status == 404
                and self.paging.kind == "page"
                and self.spool.pages
                and self.spool.pages[-1].records
            ):
                self.spool.end()
                return
            raise
        body = read_body(answer.body, url, self.path)
        self.path = body.path if self.path is None else self.path
        digest = digest_records(body.records)
        if self._is_end(body, digest, url):
            self.spool.end()
            return
        self.spool.add(self._page(position, url, answer, body, digest), body.records)

    def _position(self) -> Position:
        if self.spool.pages:
            return self.spool.pages[-1].follows
        return self.mark.position if self.mark else first_position(self.paging)

    def _is_end(self, body: Body, digest: str, url: str) -> bool:
        """Whether this is no page at all: without records, or the page before once more."""
        if self.paging.kind not in ("page", "offset"):
            return False
        if not body.records:
            return bool(self.spool.pages) or self._seen(self._position()) == 0
        before = self.spool.pages[-1] if self.spool.pages else None
        if before is None or before.digest != digest:
            return False
        if self.paging.kind == "offset":
            raise InputError(
                f"{url}: the same {len(body.records)} records as at offset {before.position}; "
                f"allowed: an API that knows the parameter {self.paging.sent[0]} "
                "(source.pagination.param)"
            )
        return True

    def _page(
        self, position: Position, url: str, answer: Answer, body: Body, digest: str
    ) -> SpooledPage:
        page = Page(position, url, len(body.records), body.document, answer.link)
        fullest = max([page.records, *(each.records for each in self.spool.pages)])
        follows, rest = (
            next_position(self.paging, page, fullest),
            resting_position(self.paging, page),
        )
        self._check_way(page, follows)
        for text in (url, str(follows), str(rest)):
            if self.client.holds_token(text):
                raise InputError(
                    f"{self.source.options.url}: the API puts the token into the address of its "
                    "next page, which would stand in tables and logs; allowed: an API that takes "
                    "it in the header Authorization alone"
                )
        until, replaced = self._landed_of(page, body)
        name = page_url(self.source.options.url, self._naming(), position)
        return SpooledPage(
            name, position, page.records, digest, until, replaced, follows, rest, body.path
        )

    def _naming(self) -> Pagination:
        """Paging as pages are named by: a cursor means the same page's start, however many records
        are asked for.
        """
        return (
            self.paging
            if self.paging.kind in ("page", "offset")
            else self.paging.model_copy(update={"size": None})
        )

    def _check_way(self, page: Page, follows: Position) -> None:
        """A way that comes back to a page, or leads through nothing for long, has no end."""
        if follows is None:
            return
        if follows == page.position or any(each.position == follows for each in self.spool.pages):
            raise InputError(
                f"{page.url}: the next page is {str(follows)[:200]!r}, which was fetched already; "
                "allowed: each page once, and none behind the last"
            )
        recent = self.spool.pages[-_EMPTY_PAGES:]
        if (
            not page.records
            and len(recent) == _EMPTY_PAGES
            and not any(each.records for each in recent)
        ):
            raise InputError(
                f"{page.url}: {_EMPTY_PAGES} pages in a row without a record, each with a next "
                "one; allowed: a last page without a next one, or source.pagination.more_path with "
                "the path of what says that there is none"
            )

    def _seen(self, position: Position) -> int:
        """Records of a page that former extracts landed or quarantined."""
        first = not self.spool.pages
        return self.mark.seen if first and self.mark and self.mark.position == position else 0

    def _landed_of(self, page: Page, body: Body) -> tuple[int, bool]:
        """How many of a page's records landed before, and whether they land anew in place of what
        did.
        """
        seen = self._seen(page.position)
        if seen == 0:
            return 0, False
        assert self.mark is not None
        if page.records >= seen and digest_records(body.records[:seen]) == self.mark.digest:
            return seen, False
        if self.source.on_changed == "fail":
            raise InputError(
                f"{page.url}: the page changed after it was landed (its first {seen} records are "
                "not those of the last extract); allowed with source.on_changed: replace or append",
                hint="records must keep their places: let the API list the oldest first, or page "
                "by cursor",
            )
        return (
            (0, True) if self.source.on_changed == "replace" else (min(seen, page.records), False)
        )
