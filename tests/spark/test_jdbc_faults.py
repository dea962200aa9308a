"""What is said where a PostgreSQL server has other columns, refuses, or does not answer; no
password in any of it.
"""

from __future__ import annotations

import socket
from typing import Any

import pytest
from postgres import PASSWORD, USER, Postgres
from spark.projects import DAY, SmallProject
from spark.shops import orders

from batchinfer.errors import ConfigError, InputError, StorageError


def test_a_query_cannot_change_the_database(shop: SmallProject, postgres: Postgres) -> None:
    orders(postgres, "(1, '2026-11-20', 1)")
    postgres.sql(
        "create function sweep() returns int language sql as 'delete from orders returning id'"
    )
    shop.edit("  table: orders", "  query: select sweep() as id")
    with pytest.raises(
        InputError, match=r"query: the database cannot read it: .*read-only transaction"
    ):
        shop.extract()
    assert postgres.sql("select count(*) from orders") == "1"


def test_what_breaks_the_contract_is_told_together(shop: SmallProject, postgres: Postgres) -> None:
    orders(postgres, "(1, '2026-11-20', 1)")
    shop.edit(
        "  key: id", "  schema: {id: string, At: timestamp, amount: int, day: date}\n  key: id"
    )
    with pytest.raises(InputError) as caught:
        shop.extract()
    assert list(caught.value.problems) == [
        "orders: it has no column At (did you mean at?), which source.schema declares; there are "
        "id, at, amount",
        "orders: it has no column day, which source.schema declares; there are id, at, amount",
        "orders: column at (timestamptz) is not in source.schema; allowed: id, At, amount, day",
    ]
    shop.edit(
        "{id: string, At: timestamp, amount: int, day: date}",
        "{id: boolean, at: int, amount: double}",
    )
    with pytest.raises(InputError) as caught:
        shop.extract()
    assert list(caught.value.problems) == [
        "orders: column id is int4, and source.schema declares boolean; allowed: int",
        "orders: column at is timestamptz, and source.schema declares int; allowed: timestamp",
    ]


def test_wrong_names_are_told_with_what_was_meant(shop: SmallProject, postgres: Postgres) -> None:
    orders(postgres, "(1, '2026-11-20', 1)")
    with pytest.raises(
        InputError, match=r'relation "ordes" does not exist \(did you mean orders\?\)'
    ):
        shop.extract(DAY, "source.table=ordes")
    with pytest.raises(
        InputError,
        match=r"source.watermark: no such column: got att \(did you mean at\?\); there are id, at, "
        r"amount",
    ):
        shop.extract(DAY, "source.watermark=att")
    with pytest.raises(InputError, match=r"no such column: got 'ids' \(did you mean id\?\)"):
        shop.extract(DAY, "source.key=ids")
    shop.edit("  table: orders", "  query: select amont from orders")
    with pytest.raises(InputError, match=r'column "amont" does not exist Hint: Perhaps you meant'):
        shop.extract()
    shop.edit("select amont from orders", "select id, id from orders")
    with pytest.raises(InputError, match=r"column `id` already exists"):
        shop.extract()
    shop.edit("select id, id from orders", 'select id, 1 as source_file, 2 as "a b" from orders')
    with pytest.raises(
        InputError, match="'source_file' cannot be landed under this name"
    ) as caught:
        shop.extract()
    assert len(caught.value.problems) == 2


def test_a_column_without_an_order_is_no_watermark(shop: SmallProject, postgres: Postgres) -> None:
    orders(postgres, "(1, 1.5, '{}')", "id int, score float8, doc jsonb")
    for column, option in (("score", "watermark"), ("score", "partition_column")):
        with pytest.raises(
            InputError, match=f"source.{option}: column {column} is float8; allowed: whole numbers"
        ):
            shop.extract(DAY, f"source.{option}={column}")


def test_a_database_that_refuses_or_is_not_there(
    shop: SmallProject,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    orders(postgres, "(1, '2026-11-20', 1)")
    seen: list[str] = []
    with monkeypatch.context() as wrong:
        wrong.setenv("ORDERS_PASSWORD", "canary-wrong")
        with pytest.raises(
            InputError, match="orders: the database refuses the connection"
        ) as refused:
            shop.extract()
        seen.append(str(refused.value))
    with monkeypatch.context() as wrong:
        wrong.setenv(
            "ORDERS_URL", f"postgresql://canary-user:canary%20pw@127.0.0.1:{postgres.port}/nowhere"
        )
        with pytest.raises(InputError, match="the database refuses the connection") as refused:
            shop.extract()
        seen.append(str(refused.value))
    with monkeypatch.context() as wrong, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        wrong.setenv(
            "ORDERS_URL",
            f"jdbc:postgresql://127.0.0.1:{closed.getsockname()[1]}/postgres?password=canary-x",
        )
        with pytest.raises(
            StorageError, match="the database of ORDERS_URL cannot be reached"
        ) as dead:
            shop.extract()
        seen.append(str(dead.value))
    with monkeypatch.context() as wrong:
        wrong.setenv("ORDERS_URL", "jdbc:nosuch://canary-user:canary-pw@host/x")
        with pytest.raises(
            ConfigError, match="no JDBC driver for the nosuch address in ORDERS_URL"
        ) as driver:
            shop.extract()
        seen.append(str(driver.value) + str(driver.value.hint))
    said = "".join(seen) + "".join(capfd.readouterr())
    said += "".join(str(row) for row in _runs(shop))
    assert not [word for word in (USER, PASSWORD, "canary", str(postgres.url)) if word in said]


def test_a_server_that_never_answers_ends_the_run(
    shop: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv(
            "ORDERS_URL", f"jdbc:postgresql://127.0.0.1:{silent.getsockname()[1]}/postgres"
        )
        with pytest.raises(StorageError, match="cannot be reached"):
            shop.extract()


def _runs(project: SmallProject) -> list[dict[str, Any]]:
    from deltalake import DeltaTable

    return DeltaTable(str(project.root / "var/lake/runs")).to_pyarrow_table().to_pylist()
