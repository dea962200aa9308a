"""Rows of a real PostgreSQL server: types, windows, snapshots, partitions, faults."""

from __future__ import annotations

import datetime as dt
import math
import shutil
import socket
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from postgres import PASSWORD, USER, Postgres
from pyspark.sql import SparkSession
from spark.projects import DAY, SmallProject

from batchinfer.errors import ConfigError, InputError, StorageError, TooManyQuarantined

NEXT = "2026-11-22"
PIPELINE = """\
name: small
source:
  kind: jdbc
  url_env: ORDERS_URL
  user_env: ORDERS_USER
  password_env: ORDERS_PASSWORD
  table: orders
  key: id
  slice: ingest_date
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/small}
"""


@pytest.fixture
def shop(tmp_path: Path, spark: SparkSession, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    """A project whose source is the table `orders`, which every test makes for itself."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    for name, value in postgres.variables().items():
        monkeypatch.setenv(name, value)
    postgres.sql("drop schema public cascade; create schema public")
    project = SmallProject(tmp_path, lambda: spark)
    project.write("conf/pipelines/small.yaml", PIPELINE)
    return project


@pytest.fixture
def new_york(spark: SparkSession) -> Iterator[None]:
    """The JVM in a zone of its own, where 2:30 on 8 March 2026 does not exist."""
    zones: Any = spark.sparkContext._jvm.java.util.TimeZone  # type: ignore[union-attr]
    before = zones.getDefault()
    zones.setDefault(zones.getTimeZone("America/New_York"))
    yield
    zones.setDefault(before)


def landed(project: SmallProject, *names: str) -> list[Any]:
    rows = project.table("landed").to_pylist()
    return (
        sorted(rows, key=lambda row: (row["id"], row["slice"]))
        if not names
        else sorted(tuple(row[n] for n in names) for row in rows)
    )


def orders(postgres: Postgres, rows: str, columns: str = "id int, at timestamptz, amount numeric(10,2)") -> None:
    postgres.sql(f"create table if not exists orders ({columns}); insert into orders values {rows}")


@pytest.mark.usefixtures("new_york")
def test_every_type_lands_exactly(shop: SmallProject, postgres: Postgres) -> None:
    postgres.sql("""
        create type mood as enum ('sad', 'glad');
        create table orders (id bigint, i2 int2, i4 int4, num numeric(30,10), free numeric, f4 float4, f8 float8, t text,
          vc varchar(9), c char(3), b bool, by bytea, da date, ti time, tz timestamptz, ts timestamp, iv interval,
          u uuid, j json, jb jsonb, ints int[], words text[], m mood, ip inet, "Mixed" text);
        insert into orders values (9007199254740993, -32768, 2147483647, 12345678901234567890.0123456789, 1.50, 'NaN',
          '-Infinity', E'h\\u00e9 "q"\\n', 'v', 'c', true, '\\xdeadbeef', '0044-03-15', '10:11:12.123456',
          '2026-11-20 10:11:12.123456+02', '2026-03-08 02:30:00.000001', '1 day', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
          '{"a":1}', '{"b":2}', '{1,NULL}', '{a,NULL}', 'glad', '10.0.0.1', 'x');
        insert into orders(id) values (2)""")
    report = shop.extract()
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (2, 2, 0)
    nulls, row = landed(shop)
    assert {name for name, value in nulls.items() if value is not None} == {"id", "source_file", "slice"}
    assert math.isnan(row.pop("f4"))
    assert row == {
        "id": 9007199254740993, "i2": -32768, "i4": 2147483647, "num": Decimal("12345678901234567890.0123456789"),
        "free": Decimal("1.500000000000000000"), "f8": -math.inf, "t": 'hé "q"\n', "vc": "v", "c": "c  ", "b": True,
        "by": b"\xde\xad\xbe\xef", "da": dt.date(44, 3, 15), "ti": "10:11:12.123456",
        "tz": dt.datetime(2026, 11, 20, 8, 11, 12, 123456, tzinfo=dt.timezone.utc), "ts": dt.datetime(2026, 3, 8, 2, 30, 0, 1),
        "iv": "1 day", "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "j": '{"a":1}', "jb": '{"b": 2}', "ints": [1, None],
        "words": ["a", None], "m": "glad", "ip": "10.0.0.1", "Mixed": "x", "source_file": "orders", "source_line": None,
        "slice": DAY,
    }  # fmt: skip


def test_a_value_that_does_not_fit_is_put_aside_with_its_row(shop: SmallProject, postgres: Postgres) -> None:
    shop.edit("  key: id", "  schema: {id: int, at: timestamp, amount: 'decimal(6,2)', few: tinyint, l: array<int>}\n  key: id")
    values = [
        "(1, '2026-11-20', 1.25, 1, '{1}')", "(2, 'infinity', 1, 1, null)", "(3, '0044-03-15 BC', 1, 1, null)",
        "(4, '2026-11-20', 'NaN', 1, null)", "(5, '2026-11-20', 99999.99, 1, null)", "(6, '2026-11-20', 1.255, 1, null)",
        "(7, '2026-11-20', 1, 128, null)", "(8, '2026-11-20', 1, 1, '{{1},{2}}')", "(null, '2026-11-20', 1, 1, null)",
    ]  # fmt: skip
    orders(postgres, ", ".join(values), "id bigint, at timestamptz, amount numeric, few int, l int[]")
    with pytest.raises(TooManyQuarantined, match=r"8 of 9 records cannot be landed \(type 7, null_key 1\)"):
        shop.extract()
    report = shop.extract(DAY, "checks.max_quarantine_rate=1")
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (9, 1, 8)
    [row] = landed(shop)
    assert (row["id"], row["amount"], row["few"], row["l"]) == (1, Decimal("1.25"), 1, [1])
    aside = {str(record["key"]): record for record in shop.table("quarantine").to_pylist()}
    assert len(aside) == 8 and {record["source_file"] for record in aside.values()} == {"orders"}
    assert aside['{"id": 4}']["message"] == "column amount: got 'NaN'; allowed: decimal(6,2) without rounding"
    assert b'"at": "infinity"' in aside['{"id": 2}']["raw"] and aside['{"id": null}']["reason"] == "null_key"


@pytest.mark.parametrize(
    ("column", "type_", "value"),
    [
        ("p", "int", "n * n - 500"), ("p", "numeric", "n / 7.0"), ("p", "date", "date '2026-01-01' + n"),
        ("p", "timestamptz", "timestamptz '2026-03-08 00:00+00' + n * interval '7 minutes'"),
        ("p", "timestamp", "case when n = 7 then 'infinity' else timestamp '2026-03-08' + n * interval '1 h' end"),
    ],
)  # fmt: skip
def test_partitions_read_the_rows_that_one_reader_reads(
    shop: SmallProject, postgres: Postgres, column: str, type_: str, value: str
) -> None:
    postgres.sql(f"""create table orders (id int, p {type_}); insert into orders select n, {value} from generate_series(1, 500) n;
        insert into orders select n, null from generate_series(501, 520) n""")
    shop.edit("  key: id", "  schema: {id: int, p: string}\n  key: id")
    shop.extract(DAY)
    shop.extract(NEXT, f"source.partition_column={column}")
    rows = landed(shop, "id", "slice", "p")
    assert len(rows) == 1040
    assert [row[::2] for row in rows if row[1] == DAY] == [row[::2] for row in rows if row[1] == NEXT]
    files = {slice_: len(list((shop.root / f"var/lake/landed/small/slice={slice_}").glob("*.parquet"))) for slice_ in (DAY, NEXT)}
    assert files[DAY] == 1 and files[NEXT] == (1 if type_ == "timestamp" else 4)


def test_a_watermark_reads_only_what_is_new_and_loses_no_tie(shop: SmallProject, postgres: Postgres) -> None:
    shop.edit("  key: id", "  watermark: at\n  key: id")
    orders(postgres, "(1, '2026-11-20 10:00:00.000001', 1), (2, '2026-11-20 11:00', 2), (null, '2026-11-20 11:00', 3)")
    first = shop.extract()
    assert (first.status, first.rows_in, first.rows_landed, first.rows_quarantined) == ("landed", 3, 2, 1)
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
        (1, "orders"), (2, "orders"), (3, f"orders[at > {since}]"), (4, f"orders[at > {since}, read 2]"),
        (5, f"orders[at > {since}, read 2]"),
    ]  # fmt: skip
    assert len(shop.table("quarantine")) == 2


def test_a_window_is_known_by_what_it_came_after(shop: SmallProject, postgres: Postgres) -> None:
    shop.edit("  key: id", "  watermark: at\n  key: id")
    orders(postgres, "(1, '2026-11-20 10:00:00.5', 1)")
    shop.extract()
    orders(postgres, "(2, '2026-11-20 11:00', 1)")
    shop.extract(NEXT)
    assert landed(shop, "id", "source_file", "slice") == [(1, "orders", DAY), (2, "orders[at > 2026-11-20 10:00:00.5]", NEXT)]


@pytest.mark.parametrize(
    ("type_", "low", "high"),
    [
        ("bigint", "9007199254740992", "9007199254740993"), ("numeric", "1.00000000000000001", "1.00000000000000002"),
        ("text", "'a''b'", "'a''c'"), ("date", "'2026-11-20'", "'2026-11-21'"),
        ("timestamp", "'2026-03-08 02:30:00.000001'", "'2026-03-08 02:30:00.000002'"),
    ],
)  # fmt: skip
def test_a_watermark_of_any_type_is_exact(shop: SmallProject, postgres: Postgres, type_: str, low: str, high: str) -> None:
    shop.edit("  key: id", "  watermark: w\n  key: id")
    orders(postgres, f"(1, {low})", f"id int, w {type_}")
    assert shop.extract().rows_landed == 1
    orders(postgres, f"(2, {high})", f"id int, w {type_}")
    again = shop.extract()
    assert (again.rows_in, again.rows_landed) == (1, 1)
    assert shop.extract().status == "unchanged"


def test_a_row_that_changed_is_refused_or_takes_the_place_of_the_former(shop: SmallProject, postgres: Postgres) -> None:
    shop.edit("  key: id", "  watermark: at\n  key: [id, part]")
    columns = "id int, part text, at timestamptz, amount int"
    orders(postgres, "(1, 'a', '2026-11-20', 1), (1, 'b', '2026-11-20', 2), (2, 'a', '2026-11-20', 3)", columns)
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


def test_a_row_that_moves_to_another_slice_leaves_its_former_one(shop: SmallProject, postgres: Postgres) -> None:
    shop.edit("  slice: ingest_date", "  slice: {column: day, unit: day}\n  watermark: at\n  on_changed: replace")
    columns = "id int, day date, at timestamptz"
    orders(postgres, "(1, '2026-11-20', '2026-11-20'), (2, '2026-11-20', '2026-11-20')", columns)
    assert shop.extract(None).slices == ["2026-11-20"]
    postgres.sql("update orders set day = '2026-11-19', at = '2026-11-21' where id = 1")
    assert shop.extract(None).slices == ["2026-11-19"]
    assert landed(shop, "id", "slice") == [(1, "2026-11-19"), (2, "2026-11-20")]


def test_rows_without_a_watermark_end_the_run(shop: SmallProject, postgres: Postgres) -> None:
    shop.edit("  key: id", "  watermark: at\n  key: id")
    orders(postgres, "(1, '2026-11-20', 1), (2, null, 1), (3, null, 1)")
    with pytest.raises(InputError, match="orders: 2 rows have no at; allowed: a watermark in every row"):
        shop.extract()


def test_rows_that_vanish_do_not_move_the_position_back(shop: SmallProject, postgres: Postgres) -> None:
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


def test_a_snapshot_is_landed_again_only_if_its_content_changed(shop: SmallProject, postgres: Postgres) -> None:
    orders(postgres, "(1, '2026-11-20', 1), (2, null, 2)")
    first = shop.extract()
    assert (first.rows_landed, first.status) == (2, "landed")
    # The same rows in another order.
    postgres.sql(
        "create table other as select * from orders order by id desc; drop table orders; alter table other rename to orders"
    )
    again = shop.extract(DAY, "source.partition_column=id")
    assert (again.status, again.version) == ("unchanged", first.version)
    assert len(list((shop.root / "var/lake/landed/small").rglob("*.parquet"))) == 1
    postgres.sql("update orders set amount = 3 where id = 2")
    with pytest.raises(InputError, match="orders: its rows changed after they were landed"):
        shop.extract()
    assert landed(shop, "id", "amount") == [(1, Decimal(1)), (2, Decimal(2))]
    assert len(list((shop.root / "var/lake/landed/small").rglob("*.parquet"))) == 1
    shop.extract(DAY, "source.on_changed=replace")
    assert landed(shop, "id", "amount") == [(1, Decimal(1)), (2, Decimal(3))]
    # Another day's snapshot is a landing of its own.
    assert shop.extract(NEXT).rows_landed == 2
    assert len(landed(shop)) == 4


def test_each_days_snapshot_keeps_its_own_quarantine(shop: SmallProject, postgres: Postgres) -> None:
    orders(postgres, "(1, '2026-11-20', 1), (null, '2026-11-20', 2)")
    assert [shop.extract(day).rows_quarantined for day in (DAY, NEXT)] == [1, 1]
    assert sorted(record["slice"] for record in shop.table("quarantine").to_pylist()) == [DAY, NEXT]
    assert shop.extract(NEXT).status == "unchanged"
    assert len(shop.table("quarantine")) == 2


def test_equal_rows_count_in_a_snapshot(shop: SmallProject, postgres: Postgres) -> None:
    shop.edit("  key: id", "  unique: assumed\n  key: id")
    orders(postgres, "(1, '2026-11-20', 1), (1, '2026-11-20', 1)")
    shop.extract()
    orders(postgres, "(2, '2026-11-20', 1), (2, '2026-11-20', 1)")
    postgres.sql("delete from orders where id = 1")
    with pytest.raises(InputError, match="its rows changed"):
        shop.extract()


@pytest.mark.parametrize("mode", ["watermark", "snapshot"])
def test_a_crash_before_the_last_commit_lands_and_puts_aside_each_row_once(
    shop: SmallProject, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    if mode == "watermark":
        shop.edit("  key: id", "  watermark: at\n  key: id")
    orders(postgres, "(1, '2026-11-20', 1), (null, '2026-11-20', 2), (null, '2026-11-19', 3)")

    def fail(*_: Any, **__: Any) -> None:
        raise StorageError("storage went away")

    with monkeypatch.context() as broken:
        broken.setattr("batchinfer.sinks.delta.ensure_table", fail)
        with pytest.raises(StorageError, match="went away"):
            shop.extract(DAY, "checks.max_quarantine_rate=1")
    assert [record["published"] for record in shop.table("quarantine").to_pylist()] == [True, True]
    orders(postgres, "(2, '2026-11-21', 1), (null, '2026-11-21', 4)")
    slice_ = NEXT if mode == "watermark" else DAY
    report = shop.extract(slice_, "checks.max_quarantine_rate=1")
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (5, 2, 3)
    assert landed(shop, "id", "slice") == [(1, slice_), (2, slice_)]
    assert [record["slice"] for record in shop.table("quarantine").to_pylist()] == [slice_] * 3


def test_a_query_with_a_comment_and_mixed_names(shop: SmallProject, postgres: Postgres) -> None:
    postgres.sql("""create schema "Odd ""S"; create table "Odd ""S"."Or;ders" ("Id" int, "it's" int, "at" timestamptz);
        insert into "Odd ""S"."Or;ders" values (1, 5, '2026-11-20'), (2, 6, '2026-11-21')""")
    query = """select "Id" as id, "it's", 'a;b -- c' as text, at from "Odd ""S"."Or;ders" -- all of them;"""
    shop.edit("  table: orders", f"  query: |\n    {query}\n  watermark: at\n  partition_column: it's")
    assert shop.extract().rows_landed == 2
    assert shop.extract().status == "unchanged"
    assert landed(shop, "id", "it's", "text", "source_file") == [(1, 5, "a;b -- c", "query"), (2, 6, "a;b -- c", "query")]
    shop.edit(f"  query: |\n    {query}", """  table: '"Odd ""S"."Or;ders"'""")
    shop.edit("  key: id", "  key: Id")
    shutil.rmtree(shop.root / "var")
    assert shop.extract(NEXT).rows_landed == 2


def test_a_query_cannot_change_the_database(shop: SmallProject, postgres: Postgres) -> None:
    orders(postgres, "(1, '2026-11-20', 1)")
    postgres.sql("create function sweep() returns int language sql as 'delete from orders returning id'")
    shop.edit("  table: orders", "  query: select sweep() as id")
    with pytest.raises(InputError, match=r"query: the database cannot read it: .*read-only transaction"):
        shop.extract()
    assert postgres.sql("select count(*) from orders") == "1"


def test_what_breaks_the_contract_is_told_together(shop: SmallProject, postgres: Postgres) -> None:
    orders(postgres, "(1, '2026-11-20', 1)")
    shop.edit("  key: id", "  schema: {id: string, At: timestamp, amount: int, day: date}\n  key: id")
    with pytest.raises(InputError) as caught:
        shop.extract()
    assert list(caught.value.problems) == [
        "orders: it has no column At (did you mean at?), which source.schema declares; there are id, at, amount",
        "orders: it has no column day, which source.schema declares; there are id, at, amount",
        "orders: column at (timestamptz) is not in source.schema; allowed: id, At, amount, day",
    ]
    shop.edit("{id: string, At: timestamp, amount: int, day: date}", "{id: boolean, at: int, amount: double}")
    with pytest.raises(InputError) as caught:
        shop.extract()
    assert list(caught.value.problems) == [
        "orders: column id is int4, and source.schema declares boolean; allowed: int",
        "orders: column at is timestamptz, and source.schema declares int; allowed: timestamp",
    ]


def test_wrong_names_are_told_with_what_was_meant(shop: SmallProject, postgres: Postgres) -> None:
    orders(postgres, "(1, '2026-11-20', 1)")
    with pytest.raises(InputError, match=r'relation "ordes" does not exist \(did you mean orders\?\)'):
        shop.extract(DAY, "source.table=ordes")
    with pytest.raises(
        InputError, match=r"source.watermark: no such column: got att \(did you mean at\?\); there are id, at, amount"
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
    with pytest.raises(InputError, match="'source_file' cannot be landed under this name") as caught:
        shop.extract()
    assert len(caught.value.problems) == 2


def test_a_column_without_an_order_is_no_watermark(shop: SmallProject, postgres: Postgres) -> None:
    orders(postgres, "(1, 1.5, '{}')", "id int, score float8, doc jsonb")
    for column, option in (("score", "watermark"), ("score", "partition_column")):
        with pytest.raises(InputError, match=f"source.{option}: column {column} is float8; allowed: whole numbers"):
            shop.extract(DAY, f"source.{option}={column}")


def test_a_database_that_refuses_or_is_not_there(
    shop: SmallProject, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    orders(postgres, "(1, '2026-11-20', 1)")
    seen: list[str] = []
    with monkeypatch.context() as wrong:
        wrong.setenv("ORDERS_PASSWORD", "canary-wrong")
        with pytest.raises(InputError, match="orders: the database refuses the connection") as refused:
            shop.extract()
        seen.append(str(refused.value))
    with monkeypatch.context() as wrong:
        wrong.setenv("ORDERS_URL", f"postgresql://canary-user:canary%20pw@127.0.0.1:{postgres.port}/nowhere")
        with pytest.raises(InputError, match="the database refuses the connection") as refused:
            shop.extract()
        seen.append(str(refused.value))
    with monkeypatch.context() as wrong, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        wrong.setenv("ORDERS_URL", f"jdbc:postgresql://127.0.0.1:{closed.getsockname()[1]}/postgres?password=canary-x")
        with pytest.raises(StorageError, match="the database of ORDERS_URL cannot be reached") as dead:
            shop.extract()
        seen.append(str(dead.value))
    with monkeypatch.context() as wrong:
        wrong.setenv("ORDERS_URL", "jdbc:nosuch://canary-user:canary-pw@host/x")
        with pytest.raises(ConfigError, match="no JDBC driver for the nosuch address in ORDERS_URL") as driver:
            shop.extract()
        seen.append(str(driver.value) + str(driver.value.hint))
    said = "".join(seen) + "".join(capfd.readouterr())
    said += "".join(str(row) for row in _runs(shop))
    assert not [word for word in (USER, PASSWORD, "canary", str(postgres.url)) if word in said]


def test_a_server_that_never_answers_ends_the_run(shop: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("ORDERS_URL", f"jdbc:postgresql://127.0.0.1:{silent.getsockname()[1]}/postgres")
        with pytest.raises(StorageError, match="cannot be reached"):
            shop.extract()


def _runs(project: SmallProject) -> list[dict[str, Any]]:
    from deltalake import DeltaTable

    return DeltaTable(str(project.root / "var/lake/runs")).to_pyarrow_table().to_pylist()
