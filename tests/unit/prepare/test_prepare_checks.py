"""What is told of `prepare` before anything runs: every problem at once, and the columns that
features get.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
import yaml

from batchinfer.prepare.join import Join
from batchinfer.prepare.parse_prepare import check_prepare
from batchinfer.prepare.spans import span_us

FIELDS = {
    "id": pa.int64(),
    "shop": pa.string(),
    "ts": pa.timestamp("us", tz="UTC"),
    "day": pa.date32(),
    "count": pa.int32(),
    "price": pa.float32(),
    "cost": pa.decimal128(10, 2),
    "tags": pa.list_(pa.string()),
    "sold": pa.float64(),
}


def problems(*steps: Any, target: str | None = "sold") -> list[tuple[tuple[Any, ...], str]]:
    return [
        (problem.path, problem.message)
        for problem in check_prepare(list(steps), FIELDS, target, ["id"]).problems
    ]


def only(*steps: Any, target: str | None = "sold") -> tuple[tuple[Any, ...], str]:
    [found] = problems(*steps, target=target)
    return found


def made(*steps: Any) -> dict[str, pa.DataType]:
    found = check_prepare(list(steps), FIELDS, "sold", ["id"])
    assert not found.problems
    assert list(found.fields)[: len(FIELDS)] == list(FIELDS), "made columns come last"
    return {name: type_ for name, type_ in found.fields.items() if name not in FIELDS}


def test_lag_keeps_the_type_and_takes_one_period_or_several() -> None:
    assert made({"lag": {"columns": "count", "order": "ts"}}) == {"count_lag_1": pa.int32()}
    several = made(
        {
            "lag": {
                "columns": ["price", "tags"],
                "by": "shop",
                "order": ["day", "ts"],
                "periods": [1, 24],
            }
        }
    )
    assert several == {
        "price_lag_1": pa.float32(), "price_lag_24": pa.float32(),
        "tags_lag_1": pa.list_(pa.string()), "tags_lag_24": pa.list_(pa.string()),
    }  # fmt: skip


def test_rolling_names_its_columns_and_types_them_by_the_statistic() -> None:
    every = ["mean", "sum", "min", "max", "std", "count", "median"]
    found = made(
        {
            "rolling": {
                "columns": ["count", "price", "cost"],
                "order": "ts",
                "window": "7d",
                "statistic": every,
            }
        }
    )
    assert {name: str(type_) for name, type_ in found.items()} == {
        **{f"{column}_{name}_7d": "double" for column in ("count", "price",
        "cost") for name in ("mean", "std", "median")},
        **{f"{column}_count_7d": "int64" for column in ("count", "price", "cost")},
        "count_sum_7d": "int64", "price_sum_7d": "double", "cost_sum_7d": "double",
        "count_min_7d": "int32", "price_min_7d": "float", "cost_min_7d": "decimal128(10, 2)",
        "count_max_7d": "int32", "price_max_7d": "float", "cost_max_7d": "decimal128(10, 2)",
    }  # fmt: skip
    assert made({"rolling": {"columns": "count", "order": "ts", "window": 3}}) == {
        "count_mean_3": pa.float64()
    }


def test_steps_that_remove_or_fill_make_no_columns() -> None:
    assert made({"deduplicate": {"by": "id"}}, {"filter": {"rule": "price > 0"}}) == {}
    assert (
        made(
            {
                "forward_fill": {
                    "columns": ["price", "shop"],
                    "by": "shop",
                    "order": "ts",
                    "limit": 3,
                }
            }
        )
        == {}
    )


def test_later_steps_see_what_earlier_ones_make() -> None:
    steps = (
        {"lag": {"columns": "sold", "order": "ts"}},
        {"rolling": {"columns": "sold_lag_1", "order": "ts", "window": 24}},
        {"filter": {"rule": "sold_lag_1_mean_24 is not null"}},
    )
    assert made(*steps) == {"sold_lag_1": pa.float64(), "sold_lag_1_mean_24": pa.float64()}


def test_a_join_makes_columns_whose_types_only_the_table_knows() -> None:
    step = {
        "join": {"table": "features/shops", "on": "shop", "columns": ["size"], "prefix": "shop_"}
    }
    assert made(step) == {"shop_size": pa.null()}
    [join] = check_prepare([step], FIELDS).steps
    assert isinstance(join, Join)
    join.know({"shop": pa.string(), "size": pa.int16()})
    assert join.makes(FIELDS) == {"shop_size": pa.int16()}
    assert join.table_faults(FIELDS) == []


def test_the_bare_word_on_which_yaml_reads_as_true_is_on() -> None:
    [item] = yaml.safe_load("- join: {table: t, on: {shop: name}, columns: [size]}")
    assert True in item["join"]
    [join] = check_prepare([item], FIELDS).steps
    assert isinstance(join, Join)
    assert join.on == {"shop": "name"}


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("lag", (), "got 'lag'; allowed: one step as a mapping with one key"),
        (
            "lagg: {}",
            ("lagg",),
            "unknown step 'lagg' (did you mean lag?); allowed: deduplicate, filter, forward_fill, "
            "lag",
        ),
        ("lag: null", ("lag",), "got nothing (null); allowed: a mapping"),
        ("lag: {columns: price}", ("lag", "order"), "missing; this field is required"),
        (
            "lag: {columns: pric, order: ts}",
            ("lag", "columns"),
            "no such column at this step: got 'pric' (did you mean price?)",
        ),
        ("lag: {columns: price, order: tss}", ("lag", "order"), "got 'tss' (did you mean ts?)"),
        (
            "lag: {columns: price, order: tags}",
            ("lag", "order"),
            "column tags is nested (list<item: string>)",
        ),
        ("lag: {columns: price, order: ts, by: tags}", ("lag", "by"), "column tags is nested"),
        (
            "lag: {columns: price, order: ts, periods: 0}",
            ("lag", "periods", 0),
            "got 0; allowed: 1 or more",
        ),
        (
            "lag: {columns: price, order: ts, periods: -1}",
            ("lag", "periods", 0),
            "got -1; allowed: 1 or more",
        ),
        (
            "lag: {columns: price, order: ts, period: 1}",
            ("lag", "period"),
            "unknown field period (did you mean periods?)",
        ),
        (
            "lag: {columns: [price, price], order: ts}",
            ("lag", "columns"),
            "allowed: each column once",
        ),
        (
            "rolling: {columns: shop, order: ts, window: 3}",
            ("rolling", "columns"),
            "column shop is text (string); allowed: columns of numbers",
        ),
        (
            "rolling: {columns: price, order: ts, window: 3 hours}",
            ("rolling", "window"),
            "got '3 hours'; allowed: a number of rows",
        ),
        (
            "rolling: {columns: price, order: ts, window: 3m}",
            ("rolling", "window"),
            "such as 30s, 15min, 24h, 7d, 4w",
        ),
        (
            "rolling: {columns: price, order: ts, window: 0}",
            ("rolling", "window"),
            "got 0; allowed: a number of rows",
        ),
        (
            "rolling: {columns: price, order: ts, window: true}",
            ("rolling", "window"),
            "got true; allowed",
        ),
        (
            "rolling: {columns: price, order: count, window: 3h}",
            ("rolling", "order"),
            "column count is integer (int32); allowed with a window of time",
        ),
        (
            "rolling: {columns: price, order: [day, ts], window: 3h}",
            ("rolling", "order"),
            "got 2 columns; allowed with a window of time: one",
        ),
        (
            "rolling: {columns: price, order: ts, window: 3, statistic: mode}",
            ("rolling", "statistic", 0),
            "allowed: mean, sum, min",
        ),
        ("deduplicate: {by: []}", ("deduplicate", "by"), "at least 1"),
        (
            "deduplicate: {by: id, keep: any}",
            ("deduplicate", "keep"),
            "got 'any'; allowed: first, last",
        ),
        ("filter: {rule: (price > 1}", ("filter", "rule"), "whose parentheses do not match"),
        ("filter: {rule: shop = 'a}", ("filter", "rule"), "cannot be read"),
        ("filter: {rule: ''}", ("filter", "rule"), "got an empty text"),
        (
            "filter: {rule: prise > 1}",
            ("filter", "rule"),
            "no such column at this step: got 'prise' (did you mean price?)",
        ),
        (
            "filter: {rule: '`pri ce` > 1'}",
            ("filter", "rule"),
            "no such column at this step: got 'pri ce'",
        ),
        (
            "filter: {rule: rand() > 0.5}",
            ("filter", "rule"),
            "got rand, whose answer is another one in every run",
        ),
        ("filter: {rule: id in (select id from other)}", ("filter", "rule"), "with a query inside"),
        (
            "forward_fill: {columns: id, order: ts}",
            ("forward_fill", "columns"),
            "got id, a column of the key",
        ),
        (
            "join: {table: t, on: shops, columns: [x]}",
            ("join", "on"),
            "got 'shops' (did you mean shop?)",
        ),
        (
            "join: {table: t, on: 3, columns: [x]}",
            ("join", "on"),
            "allowed: a column, a list of columns, or a mapping",
        ),
        (
            "join: {table: t, on: shop, columns: [price]}",
            ("join",),
            "it makes the column price, but price is there already",
        ),
        ("join: {table: t, on: shop, columns: [Price]}", ("join",), "but price is there already"),
        (
            "join: {table: t, on: shop, columns: [x], as_of: {column: count, table_column: at}}",
            ("join", "as_of", "column"),
            "column count is integer (int32); allowed: timestamp, date",
        ),
        (
            "join: {table: t, on: shop, columns: [x], as_of: {table_column: at, tolerance: 1 d}}",
            ("join", "as_of", "tolerance"),
            "allowed: a span of time such as",
        ),
    ],
)
def test_each_problem_has_its_place(text: str, path: tuple[Any, ...], message: str) -> None:
    found_path, found = only(yaml.safe_load(text))
    assert found_path == ("prepare", 0, *path)
    assert message in found


def test_every_problem_is_told_at_once() -> None:
    found = problems(
        {"lag": {"columns": "pric", "order": "tss", "by": "shopp"}},
        {"filter": {"rule": "a > 1 and b > 2"}},
        {"rolling": {"columns": "shop", "order": "ts", "window": 3}},
    )
    assert [(path[1], path[-1]) for path, _ in found] == [
        (0, "columns"), (0, "by"), (0, "order"), (1, "rule"), (1, "rule"), (2, "columns"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "path"),
    [
        ({"deduplicate": {"by": "sold"}}, ("by",)),
        ({"deduplicate": {"by": "shop", "order": "sold"}}, ("order",)),
        ({"filter": {"rule": "price > 1 and Sold is not null"}}, ("rule",)),
        ({"filter": {"rule": "`sold` > 1"}}, ("rule",)),
        ({"forward_fill": {"columns": "sold", "order": "ts"}}, ("columns",)),
        ({"rolling": {"columns": "sold", "order": "ts", "window": 3}}, ("columns",)),
        (
            {
                "rolling": {
                    "columns": "price",
                    "order": "sold",
                    "window": 3,
                    "include_current": False,
                }
            },
            ("order",),
        ),
        ({"lag": {"columns": "price", "by": "sold", "order": "ts"}}, ("by",)),
        ({"join": {"table": "t", "on": {"sold": "x"}, "columns": ["y"]}}, ("on",)),
    ],
)
def test_the_target_would_leak(step: Any, path: tuple[str, ...]) -> None:
    found_path, message = only(step)
    assert found_path == ("prepare", 0, next(iter(step)), *path)
    assert "sold, the target" in message
    assert not problems(step, target=None)


def test_the_target_may_be_looked_back_at() -> None:
    assert not problems({"lag": {"columns": "sold", "order": "ts"}})
    assert not problems(
        {"rolling": {"columns": "sold", "order": "ts", "window": "24h", "include_current": False}}
    )
    assert not problems({"filter": {"rule": "shop = 'sold' or shop like \"sold%\""}}), (
        "a text is no column"
    )


def test_words_of_sql_functions_and_lambdas_are_no_columns() -> None:
    for rule in (
        "price between 1 and 2e3 or price is null",
        "ts >= timestamp '2026-01-01 00:00:00' - interval 1 day",
        "case when count % 2 = 0 then true else not (shop ilike 'a%') end",
        "exists(tags, tag -> tag = 'x') and size(tags) > 0",
        "cast(price as double) > .5 and extract(year from ts) = 2026",
        "PRICE > 1 and year(day) = 2026 and `count` <> 3",
        "tags[0] = 'it''s' -- and this\n",
    )[:-1]:
        assert not problems({"filter": {"rule": rule}}), rule


def test_rules_of_one_name_could_not_be_told_apart() -> None:
    path, message = only(
        {"filter": {"rule": "price > 1", "name": "a"}},
        {"filter": {"rule": "count > 1", "name": "a"}},
    )
    assert path == ("prepare", 1, "filter", "name")
    assert "the name of an earlier rule" in message
    [step] = check_prepare([{"filter": {"rule": "price  >\n1"}}], FIELDS).steps
    assert list(step.reasons()) == ["rule:price > 1"]


def test_after_a_step_that_cannot_be_read_unknown_columns_are_not_told_again() -> None:
    found = problems({"lag": {"columns": "price"}}, {"filter": {"rule": "price_lag_1 > 0"}})
    assert [path for path, _ in found] == [("prepare", 0, "lag", "order")]


def test_columns_that_begin_like_hidden_ones_are_refused() -> None:
    found = check_prepare(
        [{"deduplicate": {"by": "id"}}], {**FIELDS, "__batchinfer_removed": pa.string()}
    )
    assert "names that do not begin with __batchinfer_" in found.problems[0].message


def test_spans_are_microseconds() -> None:
    assert [span_us(text) for text in ("30s", "15min", "24h", "7d", "1w")] == [
        30e6,
        900e6,
        86400e6,
        604800e6,
        604800e6,
    ]
