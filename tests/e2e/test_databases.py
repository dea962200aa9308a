"""Extraction from a database as a user types it: credentials never shown, mistakes told before
Spark starts, memory flat.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2e.commands import DAY, Project, Result
from postgres import PASSWORD, USER, Postgres, postgres_server

PIPELINE = """\
name: orders
source:
  kind: jdbc
  url_env: ORDERS_URL
  user_env: ORDERS_USER
  password_env: ORDERS_PASSWORD
  table: orders
  watermark: at
  key: id
  slice: ingest_date
model: {uri: "models:/orders@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/orders}
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def shop(project: Project) -> Project:
    project.write("conf/pipelines/orders.yaml", PIPELINE)
    return project


def extract(project: Project, *more: str, **variables: str) -> Result:
    return project.run("extract", "-p", "orders", "--slice", DAY, *more, **variables)


def test_no_credential_is_shown_or_kept(shop: Project, postgres: Postgres) -> None:
    postgres.sql(
        "drop table if exists orders; create table orders (id int, at timestamptz); insert into "
        "orders values (1, now())"
    )
    own = postgres.variables()
    inside = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{postgres.port}/postgres"
    # Spark's own record of a session, where it shows its settings and plans.
    shop.write("var/events/.keep", "")
    shop.edit(
        "conf/environments/local.yaml", "    spark.ui.enabled: false",
        "    spark.ui.enabled: false\n    spark.eventLog.enabled: true\n    spark.eventLog.dir: "
        f"file://{shop.root}/var/events",
    )  # fmt: skip
    results = [
        extract(shop, **own),
        extract(shop, **own),
        extract(shop, "--set", "source.table=nowhere", **own),
        extract(shop, **{**own, "ORDERS_PASSWORD": "canary-wrong-71"}),
        extract(shop, **{**own, "ORDERS_URL": own["ORDERS_URL"].replace(str(postgres.port), "1")}),
    ]
    shop.edit(
        "conf/pipelines/orders.yaml",
        "  user_env: ORDERS_USER\n  password_env: ORDERS_PASSWORD\n",
        "",
    )
    results.append(extract(shop, "--set", "source.watermark=nothing", ORDERS_URL=inside))
    assert [result.code for result in results] == [0, 0, 3, 3, 8, 3], [
        result.stderr for result in results
    ]
    assert (results[0].json["rows_landed"], results[1].json["status"]) == (1, "unchanged")
    said = "".join(result.stdout + result.stderr for result in results)
    kept = [path for path in shop.root.rglob("*") if path.is_file()]
    assert any("events" in str(path) and path.stat().st_size for path in kept)
    for canary in (USER, PASSWORD, "canary-wrong-71"):
        assert canary not in said
        assert not [path for path in kept if canary.encode() in path.read_bytes()]


def test_everything_that_is_wrong_is_told_before_spark_starts(shop: Project) -> None:
    shop.edit(
        "conf/pipelines/orders.yaml",
        "  key: id",
        "  partition_column: nr\n  on_changed: append\n  schema: {id: int}\n  key: id",
    )
    shop.edit(
        "conf/pipelines/orders.yaml", "table: orders", 'query: "select 1; delete from orders"'
    )
    result = extract(shop, ORDERS_USER="canary", timeout_s=60, JAVA_HOME="/nowhere")
    assert result.code == 2
    told = "\n".join(result.json["errors"])
    for fact in (
        "(source.url_env): variable ORDERS_URL is not set",
        "(source.password_env): variable ORDERS_PASSWORD is not set",
        "(source.partition_column): no such column: got 'nr'",
        "(source.watermark): no such column: got 'at'",
        "(source.on_changed): got append",
        "allowed: one statement",
    ):
        assert fact in told
    assert "ORDERS_USER" not in told and "canary" not in told


def test_other_commands_need_no_credentials(shop: Project) -> None:
    assert shop.run("status", "-p", "orders").code == 0


def test_a_table_larger_than_the_heap_flows_through(shop: Project, postgres: Postgres) -> None:
    """200,000 rows of 4 KB through a driver of 512 MB: what is not handed on at once would not
    fit.
    """
    postgres.sql("""drop table if exists orders;
        create table orders (id int, at timestamptz, text text);
        alter table orders alter text set storage plain;
        insert into orders select n, now(), rpad(n::text, 4000, md5(n::text))
        from generate_series(1, 200000) n""")
    shop.edit(
        "conf/environments/local.yaml", "spark.driver.memory: 2g", "spark.driver.memory: 512m"
    )
    result = extract(shop, "--set", "source.fetch_size=1000", **postgres.variables())
    assert result.code == 0, result.stderr
    assert (result.json["rows_in"], result.json["rows_landed"]) == (200_000, 200_000)
