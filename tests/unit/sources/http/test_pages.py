"""Which page comes next, for each kind of pagination; no server."""

from __future__ import annotations

from typing import Any

import pytest

from batchinfer.config.http_options import Pagination
from batchinfer.errors import InputError
from batchinfer.sources.http.pages import (
    Page,
    first_position,
    next_link,
    next_position,
    page_url,
    resting_position,
    value_at,
)

URL = "https://api.example.com/v1/orders"


def paging(kind: str, **more: Any) -> Pagination:
    return Pagination.model_validate({"kind": kind, **more})


def page(
    position: Any = None, records: int = 3, document: Any = None, link: str = "", url: str = URL
) -> Page:
    return Page(position, url, records, document, link)


@pytest.mark.parametrize(
    ("pagination", "position", "url", "expected"),
    [
        (paging("page"), 1, URL, f"{URL}?page=1"),
        (paging("page", param="p", start=0, size=50), 0, URL, f"{URL}?p=0&per_page=50"),
        (paging("offset", size=50), 100, URL, f"{URL}?offset=100&limit=50"),
        (
            paging("offset", size=50, size_param="n"),
            0,
            f"{URL}?b=1&a=%20",
            f"{URL}?b=1&a=%20&offset=0&n=50",
        ),
        (paging("cursor"), None, URL, URL),
        (paging("cursor", size=9), None, URL, f"{URL}?limit=9"),
        (paging("cursor", param="after"), "a b&c=/+", URL, f"{URL}?after=a+b%26c%3D%2F%2B"),
        (paging("link"), None, f"{URL}?since=1", f"{URL}?since=1"),
        (paging("link", size=9), f"{URL}?x=2&per_page=9", URL, f"{URL}?x=2&per_page=9"),
    ],
)
def test_address_of_a_page(pagination: Pagination, position: Any, url: str, expected: str) -> None:
    assert page_url(url, pagination, position) == expected


def test_first_positions() -> None:
    starts = [
        paging("page"),
        paging("page", start=0),
        paging("offset"),
        paging("cursor"),
        paging("link"),
    ]
    assert [first_position(each) for each in starts] == [1, 0, 0, None, None]


def test_pages_and_offsets_go_on_until_a_page_is_empty() -> None:
    assert next_position(paging("page"), page(4), 3) == 5
    assert next_position(paging("page"), page(4, records=0), 3) is None
    assert next_position(paging("offset"), page(40, records=7), 9) == 47
    assert next_position(paging("offset"), page(40, records=0), 9) is None


@pytest.mark.parametrize(("kind", "follows"), [("page", 5), ("offset", 7)])
def test_a_short_page_is_the_last_only_where_full_ones_have_been_seen(
    kind: str, follows: int
) -> None:
    """A server that caps the size gives short pages all along: the first of them is not the
    last.
    """
    sized = paging(kind, size=100)
    assert next_position(sized, page(4, records=3), fullest=3) == follows
    assert next_position(sized, page(4, records=3), fullest=100) is None
    assert next_position(sized, page(4, records=100), fullest=100) is not None


def test_more_path_says_whether_a_page_follows() -> None:
    more = paging("page", more_path="meta.has_more")
    assert next_position(more, page(4, document={"meta": {"has_more": True}}), 3) == 5
    assert next_position(more, page(4, document={"meta": {"has_more": False}}), 3) is None
    assert next_position(more, page(4, document={}), 3) is None


def test_cursors_go_on_until_none_is_named() -> None:
    named = paging("cursor", cursor_path="meta.next")
    assert next_position(named, page("a", document={"meta": {"next": "b"}}), 3) == "b"
    assert next_position(named, page("a", document={"meta": {"next": 17}}), 3) == "17"
    for last in ({"meta": {"next": None}}, {"meta": {"next": ""}}, {"meta": {}}, {}, [], None):
        assert next_position(named, page("a", document=last), 3) is None


def test_an_empty_page_in_the_middle_is_not_the_last() -> None:
    assert (
        next_position(paging("cursor"), page("a", records=0, document={"next_cursor": "b"}), 3)
        == "b"
    )


def test_an_empty_page_that_names_itself_is_the_last() -> None:
    assert (
        next_position(paging("cursor"), page("a", records=0, document={"next_cursor": "a"}), 3)
        is None
    )


def test_where_the_next_extract_begins() -> None:
    done = {"next_cursor": "b", "has_more": False}
    assert resting_position(paging("page"), page(4)) == 4
    assert resting_position(paging("offset"), page(40, records=7)) == 47
    assert resting_position(paging("cursor"), page("a", document={})) == "a"
    assert resting_position(paging("cursor", more_path="has_more"), page("a", document=done)) == "b"
    assert resting_position(paging("link"), page(f"{URL}?x=1")) == f"{URL}?x=1"


@pytest.mark.parametrize("cursor", [{"a": 1}, ["b"], True, 1.5])
def test_something_else_than_a_cursor_is_refused(cursor: Any) -> None:
    with pytest.raises(
        InputError, match=r"orders: next_cursor is .*; allowed: text, a whole number, or null"
    ):
        next_position(paging("cursor"), page("a", document={"next_cursor": cursor}), 3)


def test_a_cursor_too_long_for_a_mark_is_refused() -> None:
    with pytest.raises(InputError, match="5000 bytes; allowed: 4096"):
        next_position(paging("cursor"), page("a", document={"next_cursor": "x" * 5000}), 3)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            '<https://h/a?page=2>; rel="next", <https://h/a?page=9>; rel="last"',
            "https://h/a?page=2",
        ),
        ('<https://h/a?page=1>; rel="prev", </a?page=3>; rel=next', "/a?page=3"),
        ('<https://h/a,b;c=d?x=1>; title="rel=\\"next\\", so"; rel="last"', None),
        ('<x>; title="a, b; c"; rel="next prefetch"', "x"),
        ('<x> ; REL="NEXT"', "x"),
        ('<x>; rel="nextish"', None),
        ("<x>; anchor=y", None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_link_header(header: str, expected: str | None) -> None:
    assert next_link(header) == expected


def test_links_are_relative_to_their_page_and_stay_on_its_host() -> None:
    link = paging("link")
    assert next_position(link, page(link='<?page=2>; rel="next"'), 3) == f"{URL}?page=2"
    assert (
        next_position(link, page(link='<https://API.example.com:443/x>; rel="next"'), 3)
        == "https://API.example.com:443/x"
    )
    for away in (
        "https://evil.example.com/x",
        "http://api.example.com/x",
        "https://api.example.com:8443/x",
        "//evil/x",
        "ftp:x",
    ):
        with pytest.raises(
            InputError, match=r"the next page is at .*; allowed: pages of the same host"
        ):
            next_position(link, page(link=f'<{away}>; rel="next"'), 3)
    with pytest.raises(InputError, match="no address"):
        next_position(link, page(link='<https://api.example.com:port/x>; rel="next"'), 3)


def test_a_next_url_may_stand_in_the_page() -> None:
    inside = paging("link", cursor_path="next")
    assert next_position(inside, page(document={"next": f"{URL}?page=2"}), 3) == f"{URL}?page=2"
    assert next_position(inside, page(document={"next": None}), 3) is None
    with pytest.raises(InputError, match="allowed: pages of the same host"):
        next_position(inside, page(document={"next": "https://elsewhere/x"}), 3)


def test_value_at_a_path() -> None:
    document = {"a": [{"b.c": 1}], "d": None}
    assert value_at(document, 'a[0]["b.c"]') == 1
    assert [value_at(document, path) for path in ("a[1]", "a.b", "d.e", "a[0][0]", "x")] == [
        None
    ] * 5
