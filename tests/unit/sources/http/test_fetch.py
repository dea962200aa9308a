"""The way through the pages of a real server: every kind of pagination, increments, resume, ways
without an end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from http_api import Api, Record, Reply, as_json, orders, serving

from batchinfer.config.sources import HttpSource
from batchinfer.errors import InputError, StorageError
from batchinfer.sources.http.client import Client, Refused
from batchinfer.sources.http.fetch import PageMark, check_shape, end_mark, fetch_pages
from batchinfer.sources.http.page_spool import PageSpool

KINDS: dict[str, dict[str, Any]] = {
    "page": {"pagination": {"kind": "page"}},
    "offset": {"pagination": {"kind": "offset"}},
    "cursor": {
        "pagination": {"kind": "cursor", "cursor_path": "meta.next_cursor"},
        "records_path": "data.rows",
    },
    "link": {"pagination": {"kind": "link"}},
}


class Extracts:
    """Extracts without tables: what would land, and the mark that would be committed with it."""

    def __init__(self, api: Api, folder: Path, kind: str = "page", **options: Any) -> None:
        self.api, self.folder = api, folder / "spool"
        self.options = {**KINDS[kind], **options}
        self.mark: PageMark | None = None
        api.answer = {
            "page": api.by_page,
            "offset": api.by_offset,
            "cursor": api.by_cursor,
            "link": api.by_link,
        }[kind]

    @property
    def source(self) -> HttpSource:
        plain = {"kind": "http", "url": self.api.url, "schema": {"id": "int"}, "retries": 0}
        return HttpSource.model_validate({**plain, **self.options})

    def fetch(self, mark: PageMark | None = None, token: str | None = None) -> PageSpool:
        known = self.mark if mark is None else mark
        if known is not None:
            check_shape(self.source, known)
        spool = PageSpool(self.folder, {"mark": known.to_text() if known else None}, "j")
        client = Client(self.source.options, token, sleep=lambda _: None)
        fetch_pages(self.source, client, spool, known, lambda _: None)
        return spool

    def extract(self) -> list[Record]:
        """What lands."""
        spool = self.fetch()
        landed: list[Record] = []
        for page in spool.pages:
            if page.file:
                lines = (spool.folder / page.file).read_text().splitlines()
                assert len(lines) == page.records
                landed += [json.loads(line) for line in lines[page.until :]]
        self.mark = PageMark.from_text(end_mark(self.source, spool, self.mark).to_text())
        spool.drop()
        return landed


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api(orders(range(8)))) as started:
        yield started


@pytest.mark.parametrize(
    ("kind", "first", "again", "more"),
    [
        (
            "page",
            ["?page=1", "?page=2", "?page=3", "?page=4"],
            ["?page=3", "?page=4"],
            ["?page=3", "?page=4", "?page=5"],
        ),
        (
            "offset",
            ["?offset=0", "?offset=3", "?offset=6", "?offset=8"],
            ["?offset=8"],
            ["?offset=8", "?offset=11"],
        ),
        ("cursor", ["", "?cursor=c3", "?cursor=c6"], ["?cursor=c6"], ["?cursor=c6", "?cursor=c9"]),
        ("link", ["", "?after=3", "?after=6"], ["?after=6"], ["?after=6", "?after=9"]),
    ],
)
def test_each_kind_lands_each_record_once(
    api: Api, tmp_path: Path, kind: str, first: list[str], again: list[str], more: list[str]
) -> None:
    extracts = Extracts(api, tmp_path, kind)
    assert extracts.extract() == api.records
    assert api.take_asked() == first
    assert extracts.extract() == []
    assert api.take_asked() == again
    api.records += orders(range(8, 11))
    assert extracts.extract() == orders(range(8, 11))
    assert api.take_asked() == more


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 3, 8, 9])
def test_any_growth_lands_each_record_once(api: Api, tmp_path: Path, kind: str, size: int) -> None:
    api.size, api.records = size, []
    extracts = Extracts(api, tmp_path, kind)
    landed: list[Record] = []
    for grown in (0, 0, 1, 1, 2, 3, 8, 8, 17):
        api.records = orders(range(grown))
        landed += extracts.extract()
        assert landed == api.records


@pytest.mark.parametrize("kind", ["page", "offset"])
def test_size_spares_the_empty_page_but_not_where_the_server_caps_it(
    api: Api, tmp_path: Path, kind: str
) -> None:
    full = Extracts(api, tmp_path, kind, pagination={"kind": kind, "size": 3})
    assert full.extract() == api.records
    assert len(api.take_asked()) == 3
    capped = Extracts(api, tmp_path, kind, pagination={"kind": kind, "size": 100})
    assert capped.extract() == api.records
    assert len(api.take_asked()) == 4


def test_a_server_without_a_page_behind_the_last(api: Api, tmp_path: Path) -> None:
    extracts = Extracts(api, tmp_path)
    api.answer = lambda query: (
        api.by_page(query) if int(query["page"]) <= 3 else Reply(b"Invalid page", 404)
    )
    assert extracts.extract() == api.records
    assert extracts.extract() == []


def test_a_first_page_that_is_not_there_is_an_error(api: Api, tmp_path: Path) -> None:
    extracts = Extracts(api, tmp_path)
    api.answer = lambda _: Reply(b"no such thing", 404)
    with pytest.raises(Refused, match="404 Not Found, which begins with 'no such thing'"):
        extracts.extract()


def test_a_server_that_gives_its_last_page_for_ever(api: Api, tmp_path: Path) -> None:
    extracts = Extracts(api, tmp_path)
    api.answer = lambda query: api.by_page({"page": str(min(int(query["page"]), 3))})
    assert extracts.extract() == api.records
    assert extracts.extract() == []


def test_a_server_that_does_not_know_offsets(api: Api, tmp_path: Path) -> None:
    extracts = Extracts(api, tmp_path, "offset")
    api.answer = lambda _: api.by_offset({})
    with pytest.raises(
        InputError,
        match=r"offset=3: the same 3 records as at offset 0; allowed: .* parameter offset",
    ):
        extracts.extract()


@pytest.mark.parametrize(
    "way",
    [{"": "a", "a": "a"}, {"": "a", "a": "b", "b": "a"}, {"": "a", "a": "b", "b": "c", "c": "a"}],
)
def test_cursors_that_go_round_in_a_circle(api: Api, tmp_path: Path, way: dict[str, str]) -> None:
    extracts = Extracts(api, tmp_path, "cursor")
    api.answer = lambda query: as_json(
        {
            "data": {"rows": [{"id": len(api.asked)}]},
            "meta": {"next_cursor": way[query.get("cursor", "")]},
        }
    )
    with pytest.raises(
        InputError, match=r"cursor=.: the next page is 'a', which was fetched already"
    ):
        extracts.extract()
    assert len(api.asked) == len(way)


def test_cursors_that_lead_through_nothing_for_ever(api: Api, tmp_path: Path) -> None:
    extracts = Extracts(api, tmp_path, "cursor")
    api.answer = lambda query: as_json(
        {"data": {"rows": []}, "meta": {"next_cursor": f"x{len(api.asked)}"}}
    )
    with pytest.raises(InputError, match="100 pages in a row without a record"):
        extracts.extract()
    assert len(api.asked) == 101


def test_empty_pages_in_the_middle_are_passed(api: Api, tmp_path: Path) -> None:
    extracts = Extracts(api, tmp_path, "cursor")
    rows = [[{"id": 1}], [], [], [{"id": 2}], []]
    api.answer = lambda query: as_json(
        {
            "data": {"rows": rows[(at := int(query.get("cursor", "0")))]},
            "meta": {"next_cursor": at + 1 if at < 4 else None},
        }
    )
    assert extracts.extract() == [{"id": 1}, {"id": 2}]
    assert extracts.extract() == []
    rows[4] = [{"id": 3}]
    assert extracts.extract() == [{"id": 3}]


def test_an_api_that_always_names_a_next_cursor(api: Api, tmp_path: Path) -> None:
    """The last page names a cursor behind all records; the next extract goes on from there."""
    extracts = Extracts(api, tmp_path, "cursor")

    def answer(query: dict[str, str]) -> Reply:
        start = int(query.get("cursor", "0"))
        rows = api.records[start : start + 3]
        return as_json({"data": {"rows": rows}, "meta": {"next_cursor": start + len(rows)}})

    api.answer = answer
    assert extracts.extract() == api.records
    assert api.take_asked()[-1] == "?cursor=8"
    api.records += orders(range(8, 10))
    assert extracts.extract() == orders(range(8, 10))
    assert api.take_asked() == ["?cursor=8", "?cursor=10"]


def test_more_path_ends_paging_behind_the_records(api: Api, tmp_path: Path) -> None:
    paging = {"kind": "cursor", "cursor_path": "next", "more_path": "has_more"}
    extracts = Extracts(api, tmp_path, "cursor", pagination=paging, records_path="rows")

    def answer(query: dict[str, str]) -> Reply:
        start = int(query.get("cursor", "0"))
        rows = api.records[start : start + 3]
        # A new cursor each time, even where nothing is new.
        return as_json(
            {"rows": rows, "has_more": start + 3 < len(api.records), "next": f"{start + len(rows)}"}
        )

    api.answer = answer
    assert extracts.extract() == api.records
    assert api.take_asked() == ["", "?cursor=3", "?cursor=6"]
    assert extracts.extract() == []
    assert api.take_asked() == ["?cursor=8"]
    api.records += orders(range(8, 10))
    assert extracts.extract() == orders(range(8, 10))


def test_changed_records_of_the_last_page(api: Api, tmp_path: Path) -> None:
    extracts = Extracts(api, tmp_path)
    extracts.extract()
    api.records[7] = {"id": 77}
    api.records += orders(range(8, 10))
    with pytest.raises(
        InputError,
        match=r"page=3: the page changed after it was landed \(its first 2 records.*replace",
    ):
        extracts.extract()
    before = extracts.mark
    extracts.options["on_changed"] = "append"
    assert extracts.extract() == orders(range(8, 10))
    extracts.mark, extracts.options["on_changed"] = before, "replace"
    spool = extracts.fetch()
    assert [(page.position, page.until, page.replaced) for page in spool.pages] == [
        (3, 0, True),
        (4, 0, False),
    ]


@pytest.mark.parametrize(("on_changed", "replaced"), [("append", False), ("replace", True)])
def test_a_last_page_that_lost_records(
    api: Api, tmp_path: Path, on_changed: str, replaced: bool
) -> None:
    extracts = Extracts(api, tmp_path, on_changed=on_changed)
    extracts.extract()
    api.records = api.records[:7]
    spool = extracts.fetch()
    assert [(page.file is not None, page.replaced) for page in spool.pages] == [
        (replaced, replaced)
    ]


def test_the_same_values_in_other_spelling_are_no_change(api: Api, tmp_path: Path) -> None:
    extracts = Extracts(api, tmp_path)
    extracts.extract()
    plain = api.answer
    api.answer = lambda query: Reply(
        json.dumps(json.loads(plain(query).body), indent=2, sort_keys=True).encode()
    )
    assert extracts.extract() == []


def test_paging_that_changed_makes_positions_meaningless(api: Api, tmp_path: Path) -> None:
    extracts = Extracts(api, tmp_path)
    extracts.extract()
    extracts.options["pagination"] = {"kind": "page", "size": 50}
    with pytest.raises(
        InputError, match=r"paging changed since the last extract \(size was None and is 50\)"
    ):
        extracts.extract()


def test_another_size_is_no_matter_to_cursors(api: Api, tmp_path: Path) -> None:
    extracts = Extracts(api, tmp_path, "cursor")
    extracts.extract()
    extracts.options["pagination"] = {**extracts.options["pagination"], "size": 50}
    api.records += orders(range(8, 10))
    spool = extracts.fetch()
    assert [(page.name.removeprefix(api.url), page.until) for page in spool.pages] == [
        ("?cursor=c6", 2),
        ("?cursor=c9", 0),
    ]
    assert api.take_asked()[-2:] == ["?cursor=c6&limit=50", "?cursor=c9&limit=50"]


def test_an_outage_keeps_the_pages_and_the_next_run_goes_on(api: Api, tmp_path: Path) -> None:
    extracts = Extracts(api, tmp_path)
    api.faults = [None, None, Reply(b"", 503)]
    with pytest.raises(StorageError, match="page=3: 503") as down:
        extracts.extract()
    assert (down.value.hint or "").startswith("2 pages are kept in ")
    assert api.take_asked() == ["?page=1", "?page=2", "?page=3"]
    assert extracts.extract() == api.records
    assert api.take_asked() == ["?page=3", "?page=4"]


def test_an_outage_before_the_first_page_keeps_nothing(api: Api, tmp_path: Path) -> None:
    extracts = Extracts(api, tmp_path)
    api.faults = [Reply(b"", 503)]
    with pytest.raises(StorageError) as down:
        extracts.extract()
    assert down.value.hint is None and not extracts.folder.exists()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (
            Reply(b"<html>Down for maintenance</html>"),
            "page=2: the answer is no JSON .* '<html>Down for maintenance</html>'",
        ),
        (Reply(b'{"items": [{"id": 1}, {"i'), "page=2: the answer is no JSON"),
        (as_json({"error": "odd"}), "page=2: .*no list of records at items"),
        (Reply(b"gone", 410), "page=2: got 410 Gone"),
    ],
)
def test_a_page_that_is_none_names_its_address(
    api: Api, tmp_path: Path, reply: Reply, words: str
) -> None:
    extracts = Extracts(api, tmp_path)
    api.faults = [None, reply]
    with pytest.raises(InputError, match=words):
        extracts.extract()
    assert extracts.extract() == api.records


def test_the_list_found_on_one_page_holds_for_all(api: Api, tmp_path: Path) -> None:
    extracts = Extracts(api, tmp_path)
    plain = api.answer
    api.answer = lambda query: as_json(
        {**json.loads(plain(query).body), "warnings": [{"w": 1}] if query["page"] > "1" else []}
    )
    assert extracts.extract() == api.records
    assert extracts.extract() == []


def test_a_token_that_comes_back_in_the_next_address_is_refused(api: Api, tmp_path: Path) -> None:
    extracts = Extracts(api, tmp_path, "link")
    api.answer = lambda _: as_json(
        [{"id": 1}], Link=f'<{api.url}?key=canary-123&after=1>; rel="next"'
    )
    with pytest.raises(
        InputError, match="the API puts the token into the address of its next page"
    ):
        extracts.fetch(token="canary-123")
    assert not extracts.folder.exists()
