"""Whose a published slice is, where several pipelines publish into one table."""

from __future__ import annotations

from batchinfer.lake.ledger import owners_of, publish_transactions


def test_a_slice_is_that_of_whoever_published_it_last() -> None:
    known = publish_transactions("first", "2026-11-20", 3)
    known |= publish_transactions("first", "2026-11-21", 4)
    known |= publish_transactions("second", "2026-11-21", 5)
    # A slice may hold a colon, and a pipeline's name none.
    known |= publish_transactions("second", "eu:north", 6)
    assert owners_of(known) == {
        "2026-11-20": "first",
        "2026-11-21": "second",
        "eu:north": "second",
    }


def test_a_slice_that_landed_is_nobodys() -> None:
    assert owners_of({"slice:2026-11-21": 7, "publish:first:2026-11-21": 5}) == {}
