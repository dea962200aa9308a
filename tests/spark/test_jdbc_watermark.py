"""Rows of a real PostgreSQL server that are read in windows: each row once, however they come."""

from __future__ import annotations

import pytest
from postgres import Postgres
from spark.projects import DAY, SmallProject
from spark.shops import NEXT, landed, orders

from batchinfer.errors import InputError


def test_a_watermark_reads_only_what_is_new_and_loses_no_tie(
    shop: SmallProject, postgres: Postgres
) -> None:
    shop.edit("  key: id", "  watermark: at\n  key: id")
    orders(
        postgres,
        "(1, '2026-11-20 10:00:00.000001', 1), (2, '2026-11-20 11:00', 2), (null, '2026-11-20 "
        "11:00', 3)",
    )
    first = shop.extract()
    assert (first.status, first.rows_in, first.rows_landed, first.rows_quarantined) == (
        "landed",
        3,
        2,
        1,
    )
    assert shop.extract().status == "unchanged"
    # Rows that came late to the last watermark, one of them without a key.
    orders(postgres, "(3, '2026-11-20 11:00', 4), (null, '2026-11-20 11:00', 5)")
    late = shop.extract()
    assert (late.rows_in, late.rows_landed, late.rows_quarantined) == (2, 1, 1)
    assert shop.extract().status == "unchanged"
    orders(postgres, "(4, '2026-11-20 11:00', 6), (5, '2026-11-20 12:00', 7)")
    both = shop.extract()
    assert (both.rows_in, both.rows_landed) == (2, 2)
    assert shop.extract().status == "unchanged"
    since = "2026-11-20 11:00:00"
    assert landed(shop, "id", "source_file") == [
        (1, "orders"), (2, "orders"), (3, f"orders[at > {since}]"), (4, f"orders[at > {since}, "
                                                                        "read 2]"),
        (5, f"orders[at > {since}, read 2]"),
    ]  # fmt: skip
    assert len(shop.table("quarantine")) == 2


def test_a_window_is_known_by_what_it_came_after(shop: SmallProject, postgres: Postgres) -> None:
    shop.edit("  key: id", "  watermark: at\n  key: id")
    orders(postgres, "(1, '2026-11-20 10:00:00.5', 1)")
    shop.extract()
    orders(postgres, "(2, '2026-11-20 11:00', 1)")
    shop.extract(NEXT)
    assert landed(shop, "id", "source_file", "slice") == [
        (1, "orders", DAY),
        (2, "orders[at > 2026-11-20 10:00:00.5]", NEXT),
    ]


@pytest.mark.parametrize(
    ("type_", "low", "high"),
    [
        ("bigint", "9007199254740992", "9007199254740993"),
        ("numeric", "1.00000000000000001", "1.00000000000000002"),
        ("text", "'a''b'", "'a''c'"), ("date", "'2026-11-20'", "'2026-11-21'"),
        ("timestamp", "'2026-03-08 02:30:00.000001'", "'2026-03-08 02:30:00.000002'"),
    ],
)  # fmt: skip
def test_a_watermark_of_any_type_is_exact(
    shop: SmallProject, postgres: Postgres, type_: str, low: str, high: str
) -> None:
    shop.edit("  key: id", "  watermark: w\n  key: id")
    orders(postgres, f"(1, {low})", f"id int, w {type_}")
    assert shop.extract().rows_landed == 1
    orders(postgres, f"(2, {high})", f"id int, w {type_}")
    again = shop.extract()
    assert (again.rows_in, again.rows_landed) == (1, 1)
    assert shop.extract().status == "unchanged"


def test_a_row_that_changed_is_refused_or_takes_the_place_of_the_former(
    shop: SmallProject, postgres: Postgres
) -> None:
    shop.edit("  key: id", "  watermark: at\n  key: [id, part]")
    columns = "id int, part text, at timestamptz, amount int"
    orders(
        postgres,
        "(1, 'a', '2026-11-20', 1), (1, 'b', '2026-11-20', 2), (2, 'a', '2026-11-20', 3)",
        columns,
    )
    shop.extract()
    postgres.sql("update orders set amount = 20, at = '2026-11-21' where part = 'b'")
    with pytest.raises(InputError, match="repeat") as caught:
        shop.extract()
    assert "source.on_changed: replace" in str(caught.value.hint)
    assert landed(shop, "id", "part", "amount") == [(1, "a", 1), (1, "b", 2), (2, "a", 3)]
    replaced = shop.extract(DAY, "source.on_changed=replace")
    assert (replaced.rows_in, replaced.rows_landed) == (1, 1)
    assert landed(shop, "id", "part", "amount") == [(1, "a", 1), (1, "b", 20), (2, "a", 3)]
    # The same watermark, another content: no key alone could tell.
    postgres.sql("update orders set amount = 30 where part = 'b'")
    shop.extract(DAY, "source.on_changed=replace")
    assert landed(shop, "id", "part", "amount") == [(1, "a", 1), (1, "b", 30), (2, "a", 3)]


def test_a_row_that_moves_to_another_slice_leaves_its_former_one(
    shop: SmallProject, postgres: Postgres
) -> None:
    shop.edit(
        "  slice: ingest_date",
        "  slice: {column: day, unit: day}\n  watermark: at\n  on_changed: replace",
    )
    columns = "id int, day date, at timestamptz"
    orders(postgres, "(1, '2026-11-20', '2026-11-20'), (2, '2026-11-20', '2026-11-20')", columns)
    assert shop.extract(None).slices == ["2026-11-20"]
    postgres.sql("update orders set day = '2026-11-19', at = '2026-11-21' where id = 1")
    assert shop.extract(None).slices == ["2026-11-19"]
    assert landed(shop, "id", "slice") == [(1, "2026-11-19"), (2, "2026-11-20")]


def test_rows_without_a_watermark_end_the_run(shop: SmallProject, postgres: Postgres) -> None:
    shop.edit("  key: id", "  watermark: at\n  key: id")
    orders(postgres, "(1, '2026-11-20', 1), (2, null, 1), (3, null, 1)")
    with pytest.raises(
        InputError, match="orders: 2 rows have no at; allowed: a watermark in every row"
    ):
        shop.extract()


def test_rows_that_vanish_do_not_move_the_position_back(
    shop: SmallProject, postgres: Postgres
) -> None:
    shop.edit("  key: id", "  watermark: at\n  key: id")
    orders(postgres, "(1, '2026-11-20', 1), (2, '2026-11-21', 1)")
    shop.extract()
    postgres.sql("delete from orders where id = 2")
    assert shop.extract().status == "unchanged"
    orders(postgres, "(3, '2026-11-22', 1)")
    assert shop.extract().rows_in == 1
    assert landed(shop, "id") == [(1,), (2,), (3,)]


def test_a_day_without_new_rows_lands_empty(shop: SmallProject, postgres: Postgres) -> None:
    shop.edit("  key: id", "  watermark: at\n  key: id")
    postgres.sql("create table orders (id int, at timestamptz, amount int)")
    empty = shop.extract()
    assert (empty.status, empty.rows_in, empty.slices) == ("landed", 0, [DAY])
    assert shop.extract().status == "unchanged"
    orders(postgres, "(1, '2026-11-20', 1)")
    assert shop.extract().rows_landed == 1
    quiet = shop.extract(NEXT)
    assert (quiet.status, quiet.rows_in, quiet.slices) == ("landed", 0, [NEXT])
    assert set(shop.states()) == {DAY, NEXT}
