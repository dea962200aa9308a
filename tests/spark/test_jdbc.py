"""Rows of a real PostgreSQL server: types, snapshots, partitions, queries, crashes."""

from __future__ import annotations

import datetime as dt
import math
import shutil
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from postgres import Postgres
from pyspark.sql import SparkSession
from spark.projects import DAY, SmallProject
from spark.shops import NEXT, landed, orders

from batchinfer.errors import InputError, StorageError, TooManyQuarantined


@pytest.fixture
def new_york(spark: SparkSession) -> Iterator[None]:
    """The JVM in a zone of its own, where 2:30 on 8 March 2026 does not exist."""
    zones: Any = spark.sparkContext._jvm.java.util.TimeZone  # type: ignore[union-attr]
    before = zones.getDefault()
    zones.setDefault(zones.getTimeZone("America/New_York"))
    yield
    zones.setDefault(before)


@pytest.mark.usefixtures("new_york")
def test_every_type_lands_exactly(shop: SmallProject, postgres: Postgres) -> None:
    postgres.sql("""
        create type mood as enum ('sad', 'glad');
        create table orders (id bigint, i2 int2, i4 int4, num numeric(30,10),
          free numeric, f4 float4, f8 float8, t text,
          vc varchar(9), c char(3), b bool, by bytea, da date, ti time, tz timestamptz,
          ts timestamp, iv interval,
          u uuid, j json, jb jsonb, ints int[], words text[], m mood, ip inet,
          "Mixed" text);
        insert into orders values (9007199254740993, -32768, 2147483647,
          12345678901234567890.0123456789, 1.50, 'NaN',
          '-Infinity', E'h\\u00e9 "q"\\n', 'v', 'c', true, '\\xdeadbeef', '0044-03-15',
          '10:11:12.123456',
          '2026-11-20 10:11:12.123456+02', '2026-03-08 02:30:00.000001', '1 day',
          'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
          '{"a":1}', '{"b":2}', '{1,NULL}', '{a,NULL}', 'glad', '10.0.0.1', 'x');
        insert into orders(id) values (2)""")
    report = shop.extract()
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (2, 2, 0)
    nulls, row = landed(shop)
    assert {name for name, value in nulls.items() if value is not None} == {
        "id",
        "source_file",
        "slice",
    }
    assert math.isnan(row.pop("f4"))
    assert row == {
        "id": 9007199254740993, "i2": -32768, "i4": 2147483647,
        "num": Decimal("12345678901234567890.0123456789"),
        "free": Decimal("1.500000000000000000"), "f8": -math.inf, "t": 'hé "q"\n', "vc": "v",
        "c": "c  ", "b": True,
        "by": b"\xde\xad\xbe\xef", "da": dt.date(44, 3, 15), "ti": "10:11:12.123456",
        "tz": dt.datetime(2026, 11, 20, 8, 11, 12, 123456, tzinfo=dt.timezone.utc),
        "ts": dt.datetime(2026, 3, 8, 2, 30, 0, 1),
        "iv": "1 day", "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "j": '{"a":1}',
        "jb": '{"b": 2}', "ints": [1, None],
        "words": ["a", None], "m": "glad", "ip": "10.0.0.1", "Mixed": "x", "source_file": "orders",
        "source_line": None,
        "slice": DAY,
    }  # fmt: skip


def test_a_value_that_does_not_fit_is_put_aside_with_its_row(
    shop: SmallProject, postgres: Postgres
) -> None:
    shop.edit(
        "  key: id",
        "  schema: {id: int, at: timestamp, amount: 'decimal(6,2)', few: tinyint, l: array<int>}\n "
        " key: id",
    )
    values = [
        "(1, '2026-11-20', 1.25, 1, '{1}')", "(2, 'infinity', 1, 1, null)", "(3, '0044-03-15 BC', "
                                                                            "1, 1, null)",
        "(4, '2026-11-20', 'NaN', 1, null)", "(5, '2026-11-20', 99999.99, 1, null)",
        "(6, '2026-11-20', 1.255, 1, null)",
        "(7, '2026-11-20', 1, 128, null)", "(8, '2026-11-20', 1, 1, '{{1},{2}}')",
        "(null, '2026-11-20', 1, 1, null)",
    ]  # fmt: skip
    orders(
        postgres, ", ".join(values), "id bigint, at timestamptz, amount numeric, few int, l int[]"
    )
    with pytest.raises(
        TooManyQuarantined, match=r"8 of 9 records cannot be landed \(type 7, null_key 1\)"
    ):
        shop.extract()
    report = shop.extract(DAY, "checks.max_quarantine_rate=1")
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (9, 1, 8)
    [row] = landed(shop)
    assert (row["id"], row["amount"], row["few"], row["l"]) == (1, Decimal("1.25"), 1, [1])
    aside = {str(record["key"]): record for record in shop.table("quarantine").to_pylist()}
    assert len(aside) == 8 and {record["source_file"] for record in aside.values()} == {"orders"}
    assert (
        aside['{"id": 4}']["message"]
        == "column amount: got 'NaN'; allowed: decimal(6,2) without rounding"
    )
    assert (
        b'"at": "infinity"' in aside['{"id": 2}']["raw"]
        and aside['{"id": null}']["reason"] == "null_key"
    )


@pytest.mark.parametrize(
    ("column", "type_", "value"),
    [
        ("p", "int", "n * n - 500"), ("p", "numeric", "n / 7.0"), ("p", "date", "date '2026-01-01' "
                                                                                "+ n"),
        ("p", "timestamptz", "timestamptz '2026-03-08 00:00+00' + n * interval '7 minutes'"),
        ("p", "timestamp", "case when n = 7 then 'infinity' else timestamp '2026-03-08' + n * "
                           "interval '1 h' end"),
    ],
)  # fmt: skip
def test_partitions_read_the_rows_that_one_reader_reads(
    shop: SmallProject, postgres: Postgres, column: str, type_: str, value: str
) -> None:
    postgres.sql(f"""create table orders (id int, p {type_});
        insert into orders select n, {value} from generate_series(1, 500) n;
        insert into orders select n, null from generate_series(501, 520) n""")
    shop.edit("  key: id", "  schema: {id: int, p: string}\n  key: id")
    shop.extract(DAY)
    shop.extract(NEXT, f"source.partition_column={column}")
    rows = landed(shop, "id", "slice", "p")
    assert len(rows) == 1040
    assert [row[::2] for row in rows if row[1] == DAY] == [
        row[::2] for row in rows if row[1] == NEXT
    ]
    files = {
        slice_: len(list((shop.root / f"var/lake/landed/small/slice={slice_}").glob("*.parquet")))
        for slice_ in (DAY, NEXT)
    }
    assert files[DAY] == 1 and files[NEXT] == (1 if type_ == "timestamp" else 4)


def test_a_snapshot_is_landed_again_only_if_its_content_changed(
    shop: SmallProject, postgres: Postgres
) -> None:
    orders(postgres, "(1, '2026-11-20', 1), (2, null, 2)")
    first = shop.extract()
    assert (first.rows_landed, first.status) == (2, "landed")
    # The same rows in another order.
    postgres.sql(
        "create table other as select * from orders order by id desc; drop table orders; alter "
        "table other rename to orders"
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


def test_a_snapshot_is_landed_anew(shop: SmallProject, postgres: Postgres) -> None:
    orders(postgres, "(1, '2026-11-20', 1), (null, null, 2), (3, null, 3)")
    shop.extract()
    [path] = (shop.root / "var/lake/landed/small").rglob("slice=*/*.parquet")
    path.unlink()
    again = shop.extract(DAY, force=True)
    assert (again.rows_landed, again.rows_quarantined, again.warnings) == (2, 1, [])
    assert landed(shop, "id", "amount") == [(1, Decimal(1)), (3, Decimal(3))]
    assert len(shop.table("quarantine")) == 1
    assert shop.extract().status == "unchanged"
    postgres.sql("update orders set amount = 3 where id = 1")
    with pytest.raises(InputError, match="orders: its rows changed after they were landed"):
        shop.extract(DAY, force=True)
    postgres.sql("delete from orders where id = 1")
    replaced = shop.extract(DAY, "source.on_changed=replace", force=True)
    assert replaced.warnings[0].endswith("had 2 rows before it was landed anew, and has 1 now")


def test_each_days_snapshot_keeps_its_own_quarantine(
    shop: SmallProject, postgres: Postgres
) -> None:
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
        broken.setattr("batchinfer.lake.delta.ensure_table", fail)
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
    postgres.sql("""create schema "Odd ""S";
        create table "Odd ""S"."Or;ders" ("Id" int, "it's" int, "at" timestamptz);
        insert into "Odd ""S"."Or;ders" values (1, 5, '2026-11-20'), (2, 6, '2026-11-21')""")
    columns = """"Id" as id, "it's", 'a;b -- c' as text, at"""
    query = f"""select {columns} from "Odd ""S"."Or;ders" -- all of them;"""
    shop.edit(
        "  table: orders", f"  query: |\n    {query}\n  watermark: at\n  partition_column: it's"
    )
    assert shop.extract().rows_landed == 2
    assert shop.extract().status == "unchanged"
    assert landed(shop, "id", "it's", "text", "source_file") == [
        (1, 5, "a;b -- c", "query"),
        (2, 6, "a;b -- c", "query"),
    ]
    shop.edit(f"  query: |\n    {query}", """  table: '"Odd ""S"."Or;ders"'""")
    shop.edit("  key: id", "  key: Id")
    shutil.rmtree(shop.root / "var")
    assert shop.extract(NEXT).rows_landed == 2
