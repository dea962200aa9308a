"""Rows of SQLite, where any value may stand in any column, and of a database that only Spark's own
reader knows (Derby).
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from spark.items import items_project, run
from spark.projects import DAY, SmallProject

from batchinfer.errors import InputError, InputMissing

EVENING = dt.datetime(2026, 11, 20, 19, 5, 1, 250000)


@pytest.fixture
def store(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    return items_project(tmp_path, spark, monkeypatch)


def rows(project: SmallProject, kind: str = "landed") -> list[dict[str, Any]]:
    return sorted(
        project.table(kind).to_pylist(), key=lambda row: str(row.get("id", row.get("key")))
    )


def test_sqlite_lands_what_is_stored(store: SmallProject) -> None:
    columns = (
        "id INTEGER PRIMARY KEY, i INT, r REAL, n NUMERIC, d DECIMAL(9,2), s TEXT, b BLOB, "
        "day DATE, at TIMESTAMP, ok BOOLEAN"
    )
    run(store, f"create table items ({columns}, bare)",
        """insert into items values (9007199254740993, -9223372036854775808, 0.1,
            'any', 3.1, 'hé', x'00ff',
            '2026-11-20', '2026-11-20 19:05:01.25', 1, 7),
            (2, null, 9e999, 2.5, null, null, null, null, null, null, null)""")  # fmt: skip
    report = store.extract()
    assert (report.rows_in, report.rows_landed) == (2, 2)
    second, first = rows(store)
    first, second = (first, second) if first["id"] != 2 else (second, first)
    assert first == {
        "id": 9007199254740993, "i": -(2**63), "r": 0.1, "n": "any", "d": 3.1, "s": "hé",
        "b": b"\x00\xff",
        "day": dt.date(2026, 11, 20), "at": EVENING, "ok": True, "bare": "7",
        "source_file": "items",
        "source_line": None, "slice": DAY,
    }  # fmt: skip
    assert (second["r"], second["n"]) == (math.inf, "2.5")
    assert store.extract().status == "unchanged"


def test_sqlite_puts_aside_what_is_not_of_the_declared_type(store: SmallProject) -> None:
    store.edit(
        "  key: id",
        "  schema: {id: int, at: timestamp, price: 'decimal(6,2)', s: string}\n  key: id",
    )
    run(store, "create table items (id INTEGER, at TEXT, price NUMERIC, s TEXT)",
        "insert into items values (1, '2026-11-20T19:05:01.25Z', 3.1, 5)", "insert into items "
                                                                           "values (2147483648, "
                                                                           "null, 1, 'x')",
        "insert into items values ('two', null, 1, 'x')", "insert into items values (3, "
                                                          "'yesterday', 1, 'x')",
        "insert into items values (4, null, 1.005, 'x')", "insert into items values (5, null, 1, "
                                                          "cast(x'ff41' as text))",
        "insert into items values (null, null, 1, 'x')")  # fmt: skip
    report = store.extract()
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (7, 1, 6)
    [row] = rows(store)
    at = EVENING.replace(tzinfo=dt.timezone.utc)
    assert (row["id"], row["at"], row["price"], row["s"]) == (1, at, Decimal("3.10"), "5")
    aside = {record["key"]: record for record in rows(store, "quarantine")}
    assert {key: record["reason"] for key, record in aside.items()} == {
        '{"id": "2147483648"}': "type", '{"id": "two"}': "type", '{"id": 3}': "type",
        '{"id": 4}': "type", '{"id": 5}': "type",
        '{"id": null}': "null_key",
    }  # fmt: skip
    assert b'"s": {"base64": "/0E="}' in aside['{"id": 5}']["raw"]
    assert aside['{"id": "two"}']["message"].startswith(
        "column id: got 'two'; allowed: int (a whole number"
    )


@pytest.mark.parametrize(
    ("type_", "low", "high"),
    [("INTEGER", "5", "9"), ("TEXT", "'2026-11-20 10:00:00'", "'2026-11-21 10:00:00'")],
)
def test_sqlite_is_read_by_watermark_and_in_partitions(
    store: SmallProject, type_: str, low: str, high: str
) -> None:
    store.edit("  key: id", "  watermark: w\n  partition_column: id\n  key: id")
    run(
        store,
        f"create table items (id INTEGER, w {type_})",
        f"insert into items values (1, {low}), (2, {low}), (700, {low})",
    )
    assert store.extract().rows_landed == 3
    run(store, f"insert into items values (4, {low}), (5, {high})")
    assert store.extract().rows_in == 2
    assert store.extract().status == "unchanged"
    assert [row["id"] for row in sorted(rows(store), key=lambda row: row["id"])] == [
        1,
        2,
        4,
        5,
        700,
    ]


SINCE_1970 = (
    "  options: {timestamp_format: epoch_s, watermark: i}\n"
    "  schema: {id: bigint, i: timestamp, r: timestamp, t: timestamp, day: date, at: timestamp}\n"
)


def test_times_that_are_numbers_land_exactly(store: SmallProject) -> None:
    store.edit("  key: id\n", "  key: id\n" + SINCE_1970)
    run(
        store,
        "create table items (id INTEGER PRIMARY KEY, i INT, r REAL, t TEXT, day INT, at TIMESTAMP)",
        "insert into items values (1, 1709370000, 1709370000.0363867, '1709370000.125', 86400, "
        "'2026-11-20 19:05:01.25'), (2, 1709370000, 1e99, null, null, null), "
        "(3, 17, null, '2024-03-02', null, null)",
    )
    report = store.extract()
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (3, 1, 2)
    (row,) = rows(store)
    whole = dt.datetime(2024, 3, 2, 9, tzinfo=dt.timezone.utc)
    assert row["i"] == whole
    assert row["r"] == whole.replace(microsecond=36386)
    assert row["t"] == whole.replace(microsecond=125000)
    assert row["day"] == dt.date(1970, 1, 2)
    assert row["at"] == EVENING.replace(tzinfo=dt.timezone.utc)
    told = [record["message"] for record in rows(store, "quarantine")]
    assert all("seconds since 1970, as a number of the years 1 to 9999" in each for each in told)
    # A second read knows the rows at the watermark again, and takes what is behind it.
    run(store, "insert into items values (4, 1709370000, 5, null, null, null)",
        "insert into items values (5, 1709370001, 5, null, null, null)")  # fmt: skip
    report = store.extract("2026-11-22")
    assert (report.rows_landed, report.rows_quarantined) == (2, 0)


def test_a_format_that_no_column_has_is_refused(store: SmallProject) -> None:
    store.edit("  key: id\n", "  key: id\n  options: {timestamp_format: epoch_s}\n")
    run(store, "create table items (id INTEGER PRIMARY KEY, i INT)")
    with pytest.raises(InputError, match=r"source\.timestamp_format: got epoch_s, but no column"):
        store.extract()


def test_sqlite_has_no_rational_watermark(store: SmallProject) -> None:
    store.edit("  key: id", "  watermark: w\n  key: id")
    run(store, "create table items (id INTEGER, w NUMERIC)", "insert into items values (1, 2.5)")
    with pytest.raises(InputError, match=r"the greatest w is '2.5' \(real\)"):
        store.extract()


def test_a_sqlite_file_that_is_not_there_is_not_made(store: SmallProject) -> None:
    with pytest.raises(InputMissing, match="the SQLite file that ITEMS_URL names is not there"):
        store.extract()
    assert not (store.root / "items.db").exists()


def test_a_file_that_is_no_database_or_has_no_such_table(store: SmallProject) -> None:
    store.write("items.db", "no database at all " * 100)
    with pytest.raises(
        InputError, match=r"items: the database cannot read it: .*file is not a database"
    ):
        store.extract()
    (store.root / "items.db").unlink()
    run(store, "create table item (id INTEGER)")
    with pytest.raises(InputError, match=r"no such table: items\) \(did you mean item\?\)"):
        store.extract()


def test_sqlite_is_opened_for_reading_only(store: SmallProject) -> None:
    run(store, "create table items (id INTEGER)", "insert into items values (1)")
    before = (store.root / "items.db").read_bytes()
    assert store.extract().rows_landed == 1
    assert (store.root / "items.db").read_bytes() == before


def test_another_database_is_read_as_spark_reads_it(
    store: SmallProject, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"jdbc:derby:memory:{uuid.uuid4().hex};create=true"
    monkeypatch.setenv("ITEMS_URL", url)
    jvm: Any = spark.sparkContext._jvm
    statement = jvm.java.sql.DriverManager.getConnection(url).createStatement()
    statement.execute(
        'create table items (id int, "Big" bigint, price decimal(9,2), name varchar(20), ts '
        "timestamp, day date)"
    )
    statement.execute(
        "insert into items values (1, 9007199254740993, 1.25, 'it''s', '2026-11-20 19:05:01.25', "
        "'2026-11-20')"
    )
    store.edit("  key: id", "  watermark: TS\n  partition_column: ID\n  key: ID")
    assert store.extract().rows_landed == 1
    statement.execute(
        "insert into items values (2, null, null, null, '2026-11-20 19:05:01.25', null)"
    )
    statement.execute(
        "insert into items values (300, null, null, null, '2026-11-20 19:05:01.26', null)"
    )
    assert store.extract().rows_landed == 2
    assert store.extract().status == "unchanged"
    first = min(store.table("landed").to_pylist(), key=lambda row: row["ID"])
    assert first == {
        "ID": 1, "Big": 9007199254740993, "PRICE": Decimal("1.25"), "NAME": "it's", "TS": EVENING,
        "DAY": dt.date(2026, 11, 20),
        "source_file": "items", "source_line": None, "slice": DAY,
    }  # fmt: skip


def test_another_databases_numbers_that_do_not_fit_are_put_aside(
    store: SmallProject, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"jdbc:derby:memory:{uuid.uuid4().hex};create=true"
    monkeypatch.setenv("ITEMS_URL", url)
    jvm: Any = spark.sparkContext._jvm
    statement = jvm.java.sql.DriverManager.getConnection(url).createStatement()
    statement.execute("create table items (id bigint)")
    statement.execute("insert into items values (1), (9007199254740993)")
    store.edit("  key: id", "  schema: {ID: int}\n  key: ID")
    report = store.extract()
    assert (report.rows_landed, report.rows_quarantined) == (1, 1)
