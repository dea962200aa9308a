"""Addresses, SQL text, windows and partitions of databases; SQLite runs what it can."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.config.source_options import JdbcOptions
from batchinfer.config.sql import is_table_name, query_fault
from batchinfer.errors import ConfigError
from batchinfer.sources.databases import jdbc
from batchinfer.sources.databases.addresses import read_address
from batchinfer.sources.databases.sql_dialects import Position, dialect_of

OPTIONS = JdbcOptions(url_env="URL", table="public.orders", watermark="at")


@pytest.mark.parametrize(
    ("given_", "url", "user", "password"),
    [
        (
            "jdbc:postgresql://db:6543/shop?ssl=true",
            "jdbc:postgresql://db:6543/shop?ssl=true",
            None,
            None,
        ),
        (
            "postgresql://ann:p%40ss@db/shop?ssl=true",
            "jdbc:postgresql://db:5432/shop?ssl=true",
            "ann",
            "p@ss",
        ),
        ("postgres://[::1]:1/shop", "jdbc:postgresql://[::1]:1/shop", None, None),
        ("sqlite:////data/shop.db", "jdbc:sqlite:/data/shop.db", None, None),
        ("sqlite:///shop.db", "jdbc:sqlite:shop.db", None, None),
        ("jdbc:mysql://db/shop", "jdbc:mysql://db/shop", None, None),
    ],
)
def test_addresses_of_every_form(
    given_: str, url: str, user: str | None, password: str | None
) -> None:
    address = read_address(OPTIONS, {"URL": given_})
    assert (address.url, address.user, address.password) == (url, user, password)


@pytest.mark.parametrize(
    "given_",
    [
        "db.example",
        "mysql://canary@db/shop",
        "sqlite://",
        "postgresql://canary",
        "jdbc:",
        "http://x",
    ],
)
def test_an_address_of_no_form_is_refused_and_not_shown(given_: str) -> None:
    with pytest.raises(ConfigError, match="variable URL holds no address") as caught:
        read_address(OPTIONS, {"URL": given_})
    assert "canary" not in str(caught.value) and caught.value.__cause__ is None


def test_secrets_are_hidden_wherever_they_stand() -> None:
    options = JdbcOptions(url_env="URL", user_env="WHO", password_env="WORD", table="t")
    address = read_address(
        options,
        {"URL": "postgresql://ann:p%40ss@db/shop?password=third", "WHO": "bob", "WORD": "s3cret"},
    )
    told = (
        "user ann or bob, p@ss p%40ss third s3cret at "
        "postgresql://ann:p%40ss@db/shop?password=third; the banner bobs"
    )
    assert address.hide(told) == "user *** or ***, *** *** *** *** at ***; the banner bobs"
    assert "s3cret" not in repr(address)


def test_a_password_that_no_text_could_hide_is_refused() -> None:
    with pytest.raises(ConfigError, match="variable URL holds a secret of 2 characters") as caught:
        read_address(OPTIONS, {"URL": "postgresql://ann:x%40@host/shop"})
    assert "x@" not in str(caught.value) and caught.value.exit_code == 2
    assert read_address(OPTIONS, {"URL": "postgresql://ann:abc@host/shop"}).password == "abc"


@pytest.mark.parametrize(
    "name",
    [
        "orders",
        "public.orders",
        '"Mixed ""x"" case".t',
        "a.b.c.d",
        "`my`.`t;x`",
        "[dbo].[t]",
        " größe ",
    ],
)
def test_names_of_tables(name: str) -> None:
    assert is_table_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        "orders;",
        "a.",
        "orders where 1=1",
        '"open',
        "(select 1)",
        "1a",
        "a--b",
        "a.b.c.d.e",
    ],
)
def test_what_is_no_name_of_a_table(name: str) -> None:
    assert not is_table_name(name)


@pytest.mark.parametrize(
    "query",
    ["select 1", "SELECT ';' as a -- ;", "with x as (select 1) select * from x;",
    "(select 1) union (select 2)",
     "/* ; */ values (1)", "select $$;$$, $a$ ; $$ $a$", "select 'it''s;'", 'select ";" from t'],
)  # fmt: skip
def test_queries_of_one_statement(query: str) -> None:
    assert query_fault(query) is None


@pytest.mark.parametrize(
    "query",
    ["", "delete from t", "select 1; select 2",
    "select 1) x; drop table t; select * from (select 2", "select 1) x, (select 2",
     "select 'open", "-- select 1", "select 1 /* open", "explain select 1", "select $$open; select "
                                                                            "2"],
)  # fmt: skip
def test_what_is_no_single_query(query: str) -> None:
    assert query_fault(query) is not None


def test_names_of_reads_and_marks() -> None:
    first = jdbc.next_mark(OPTIONS, None, Position("number", "7"))
    assert jdbc.read_name(OPTIONS, None) == "public.orders"
    assert jdbc.read_name(OPTIONS, first) == "public.orders[at > 7]"
    again = jdbc.next_mark(OPTIONS, first, Position("number", "7"))
    assert jdbc.read_name(OPTIONS, again) == "public.orders[at > 7, read 2]"
    assert jdbc.names_at(OPTIONS, again) == ["public.orders", "public.orders[at > 7]"]
    further = jdbc.next_mark(OPTIONS, again, Position("number", "8"))
    assert jdbc.names_at(OPTIONS, further) == ["public.orders[at > 7, read 2]"]
    assert jdbc.Watermark.from_text(further.to_text()) == further


def test_a_query_is_known_by_its_words() -> None:
    one = JdbcOptions(url_env="U", query="select a\n  from t;", watermark="a")
    other = JdbcOptions(url_env="U", query="select a from t", watermark="a")
    assert jdbc.mark_name(one) == jdbc.mark_name(other) != jdbc.mark_name(OPTIONS)


@given(
    values=st.lists(
        st.none() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text(max_size=3),
        max_size=30,
    ),
    low=st.integers(-(2**62), 2**62),
    high=st.integers(-(2**62), 2**62),
    count=st.integers(1, 9),
)
def test_every_row_belongs_to_one_partition_whatever_the_bounds(
    values: list[object], low: int, high: int, count: int
) -> None:
    dialect = dialect_of("sqlite")
    conditions = jdbc.partitions(
        dialect, Position("number", str(low)), Position("number", str(high)), count
    ) or ["1"]
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (n, p)")
    connection.executemany("insert into t values (?, ?)", list(enumerate(values)))
    found = [
        row[0]
        for condition in conditions
        for row in connection.execute(f"select n from t where {condition}")
    ]
    connection.close()
    assert sorted(found) == list(range(len(values)))
    assert len(conditions) <= count


@pytest.mark.parametrize(
    ("kind", "low", "high", "cuts"),
    [
        ("number", "0", "8", ["2", "4", "6"]), ("number", "1.5", "1.7", []),
        ("number", "NaN", "8", []),
        ("date", "2026-01-01", "2026-01-05", ["2026-01-02", "2026-01-03", "2026-01-04"]),
        ("timestamp", "2026-01-01 00:00:00", "2026-01-01 00:00:00.000002",
        ["2026-01-01 00:00:00.000001"]),
        ("timestamptz", "2026-01-01 00:00:00", "infinity", []), ("text", "a", "b", []),
    ],
)  # fmt: skip
def test_cuts_between_bounds(kind: str, low: str, high: str, cuts: list[str]) -> None:
    conditions = jdbc.partitions(
        dialect_of("postgresql"), Position(kind, low), Position(kind, high), 4
    )
    zone = "+00" if kind == "timestamptz" else ""
    assert [condition.partition("< ")[2].partition(" or")[0] for condition in conditions[:-1]] == [
        f"'{cut}{zone}'" for cut in cuts
    ]


def test_texts_cannot_leave_their_quotes() -> None:
    for product in ("postgresql", "sqlite", "oracle"):
        dialect = dialect_of(product)
        assert dialect.literal(Position("text", "a' or '1'='1")) == "'a'' or ''1''=''1'"
        assert dialect.quote('a" or "b') == '"a"" or ""b"'
