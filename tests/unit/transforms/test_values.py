"""What each step does to chosen values: nulls, NaN, infinities, empty text, unseen categories, no
spread, no value at all.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from transform_cases import applied, batch_of, column_batch, fitted, steps_of

from batchinfer.errors import InputError
from batchinfer.transforms import fit, statistics
from batchinfer.transforms.category_places import combined, hashes

INF, NAN = math.inf, math.nan

# Changing any of these moves every hashed feature of every bundle: it needs a new version of
# `hashing` and `cross`.
GOLDEN_TEXT = [15480124129702343626, 9632248445451680882, 4245299670203427488, 3012898748006197707]
GOLDEN_INTEGER = [778860755400141486, 12061929287756718838, 7355428483730040906]
GOLDEN_BOOL = [15779520396620607129, 1695539116833864595]
GOLDEN_MISSING = 13013184759947573853
GOLDEN_PAIR = 13062804224779928103


@pytest.mark.parametrize(
    ("step", "column", "values", "expected"),
    [
        (
            {"trim": {"columns": "text"}},
            "text",
            [" a\t", "", None, "\u00a0b"],
            ["a", "", None, "b"],
        ),
        ({"lower": {"columns": "text"}}, "text", ["ÀB", "", None], ["àb", "", None]),
        (
            {"replace": {"columns": "text", "pattern": "^/([^/]*).*$", "with": "$1"}},
            "text",
            ["/a/b", "", None],
            ["a", "", None],
        ),
        (
            {"replace": {"columns": "text", "pattern": "(a)(b)", "with": r"\2\1"}},
            "text",
            ["ab", "b"],
            ["ba", "b"],
        ),
        (
            {"replace": {"columns": "text", "pattern": "EUR", "with": r"\$5"}},
            "text",
            ["EUR"],
            ["$5"],
        ),
        (
            {"map": {"columns": "text", "values": {"a": "x"}}},
            "text",
            ["a", "b", "", None],
            ["x", "b", "", None],
        ),
        (
            {"map": {"columns": "text", "values": {"a": "x"}, "default": "?"}},
            "text",
            ["a", "b", None],
            ["x", "?", None],
        ),
        (
            {"map": {"columns": "text", "values": {"a": 1}}},
            "text",
            ["a", "b", None],
            [1.0, None, None],
        ),
        (
            {"map": {"columns": "whole", "values": {1: "one"}}},
            "whole",
            [1, 2, None],
            ["one", None, None],
        ),
        ({"map": {"columns": "whole", "values": {"1": "one"}}}, "whole", [1], ["one"]),
        (
            {"map": {"columns": "flag", "values": {True: 2.5, False: -1}}},
            "flag",
            [True, False, None],
            [2.5, -1.0, None],
        ),
        (
            {"cast": {"columns": "text", "type": "int"}},
            "text",
            [" 7", "+8", "1.5", "9999999999", "x", ""],
            [7, 8, None, None, None, None],
        ),
        (
            {"cast": {"columns": "text", "type": "bigint"}},
            "text",
            ["9999999999", "1" * 19],
            [9_999_999_999, None],
        ),
        (
            {"cast": {"columns": "text", "type": "double"}},
            "text",
            ["-.5", "1e3", "+2.", "nan", None],
            [-0.5, 1000.0, 2.0, None, None],
        ),
        (
            {"cast": {"columns": "text", "type": "boolean"}},
            "text",
            ["TRUE", "0", "yes"],
            [True, False, None],
        ),
        (
            {"cast": {"columns": "number", "type": "int"}},
            "number",
            [1.9, -1.9, NAN, INF, 3e9],
            [1, -1, None, None, None],
        ),
        (
            {"cast": {"columns": "number", "type": "boolean"}},
            "number",
            [0.5, 0.0, NAN],
            [True, False, None],
        ),
        (
            {"cast": {"columns": "whole", "type": "string"}},
            "whole",
            [2**60 + 1, None],
            [str(2**60 + 1), None],
        ),
        ({"cast": {"columns": "flag", "type": "string"}}, "flag", [True, None], ["true", None]),
        (
            {"log1p": {"columns": "number"}},
            "number",
            [0.0, -1.0, -5.0, INF, NAN, None],
            [0.0, None, None, INF, None, None],
        ),
        (
            {"clip": {"columns": "number", "lower": 0, "upper": 2}},
            "number",
            [-INF, 1.0, INF, None],
            [0.0, 1.0, 2.0, None],
        ),
        (
            {"bucketize": {"columns": "number", "edges": [0, 1]}},
            "number",
            [-1.0, 0.0, 0.5, 1.0, INF, NAN],
            [0, 1, 1, 2, 2, None],
        ),
    ],
)
def test_values_of_steps_that_are_not_fitted(
    step: Any, column: Any, values: Any, expected: Any
) -> None:
    assert applied(step, column, values) == expected


def step(name: str, **parameters: Any) -> dict[str, Any]:
    return {name: {"columns": "number", **parameters}}


@pytest.mark.parametrize(
    ("raw", "fit_on", "values", "expected"),
    [
        # Missing and infinite values are left out of the statistics; missing stays missing,
        # infinite stays infinite.
        (
            step("standardize"),
            [1.0, 3.0, None, NAN, INF],
            [3.0, None, NAN, INF, -INF],
            [1.0, None, None, INF, -INF],
        ),
        (step("standardize"), [5.0, 5.0], [5.0, 7.0], [0.0, 2.0]),
        (step("standardize"), [None, NAN], [4.0, None], [4.0, None]),
        (step("standardize"), [], [4.0], [4.0]),
        (step("standardize"), [2.0], [4.0], [2.0]),
        (step("min_max"), [0.0, 4.0, INF], [2.0, 8.0, -INF], [0.5, 2.0, -INF]),
        (step("min_max"), [3.0], [4.0, None], [1.0, None]),
        (
            step("robust"),
            [0.0, 0.0, 1e-310],
            [1.0, -1.0],
            [INF, -INF],
        ),  # so narrow a spread that the quotient overflows
        (step("robust"), [1.0, 2.0, 3.0, 4.0, 5.0], [3.0, 5.0], [0.0, 1.0]),
        (step("robust"), [7.0, 7.0, None], [8.0], [1.0]),
        (step("robust"), [], [8.0], [8.0]),
        (
            step("clip", lower_quantile=0.25, upper_quantile=1.0),
            [0.0, 4.0, 8.0, NAN],
            [-9.0, 9.0, INF, None],
            [2.0, 8.0, 8.0, None],
        ),
        (step("clip", upper_quantile=0.5), [None], [9.0, INF], [9.0, INF]),
        (
            step("clip", lower=5, upper_quantile=0.5),
            [1.0, 2.0],
            [0.0, 9.0],
            [5.0, 5.0],
        ),  # the quantile counts as 5
        (step("impute", strategy="mean"), [1.0, 3.0, INF], [None, NAN, INF], [2.0, 2.0, INF]),
        (step("impute", strategy="mean"), [None], [None, 1.0], [0.0, 1.0]),
        (step("impute", strategy="median"), [1.0, 2.0, 9.0, 10.0], [None], [5.5]),
        (step("impute", strategy="median"), [], [None], [0.0]),
        (step("impute", strategy="most_frequent"), [2.0, 1.0, INF, INF], [None], [1.0]),
        (step("yeo_johnson"), [5.0, 5.0, None], [-3.0, None, INF], [-3.0, None, INF]),
        (step("bucketize", quantiles=[0.5]), [1.0, 2.0, 3.0], [1.9, 2.0, None], [0, 1, None]),
        (step("bucketize", quantiles=4), [], [1.9, None], [0, None]),
    ],
)
def test_values_of_fitted_numeric_steps(raw: Any, fit_on: Any, values: Any, expected: Any) -> None:
    assert applied(raw, "number", values, fit_on) == expected


def text(name: str, **parameters: Any) -> dict[str, Any]:
    return {name: {"columns": "text", **parameters}}


@pytest.mark.parametrize(
    ("raw", "fit_on", "values", "expected"),
    [
        (
            text("impute", strategy="most_frequent"),
            ["b", "a", None],
            [None, "", "zz"],
            ["a", "", "zz"],
        ),
        (text("impute", strategy="most_frequent"), [None], [None, "a"], ["missing", "a"]),
        (text("impute", strategy="constant", value=""), [], [None, "a"], ["", "a"]),
        (text("ordinal"), ["b", "", "a"], ["", "a", "b", "unseen", None], [0, 1, 2, -1, -1]),
        (text("embedding_index"), ["b", "a", None], ["a", "b", "unseen", None], [1, 2, 0, 0]),
        (
            text("frequency"),
            ["b", "a", "a", None],
            ["a", "b", "unseen", None],
            [0.5, 0.25, 0.0, 0.25],
        ),
        (text("frequency"), [], ["a", None], [0.0, 0.0]),
        # Null has a place only if it was seen at fit.
        (text("one_hot"), ["b", "a"], ["a", "b", "unseen", None], [[1, 0], [0, 1], [0, 0], [0, 0]]),
        (text("one_hot"), ["b", "a", None], ["a", None], [[1, 0, 0], [0, 0, 1]]),
        (text("one_hot"), [None], [None, "a"], [[1], [0]]),
        (text("one_hot"), [], [None, "a"], [[], []]),
        (
            text("tokenize", max_tokens=2),
            ["a b", "b", "b c"],
            ["C b x", "b", "", None, "zz a!"],
            [[4, 2], [2, 0], [0, 0], [0, 0], [1, 3]],
        ),
        (
            text("tokenize", max_tokens=1, vocabulary_size=3),
            ["b b b", "a", "a"],
            ["a", "b"],
            [[2], [1]],
        ),
        (
            text("tfidf", max_features=1),
            ["cat dog", "dog"],
            ["Dog dog", "cat", None, ""],
            [[1.0], [0.0], [0.0], [0.0]],
        ),
        (text("tfidf"), [None], ["cat"], [[]]),
        (
            text("one_hot", max_categories=1),
            ["c", "c", "b", "b", "a"],
            ["a", "b", "c"],
            [[0], [1], [0]],
        ),
        (text("one_hot", min_count=2), ["c", "c", "b", None], ["b", "c", None], [[0], [1], [0]]),
    ],
)
def test_values_of_fitted_category_steps(raw: Any, fit_on: Any, values: Any, expected: Any) -> None:
    assert applied(raw, "text", values, fit_on) == expected


def test_indicator_says_what_was_missing() -> None:
    batch = column_batch("number", [1.0, None, NAN])
    transforms = fitted([step("impute", strategy="mean", indicator=True)], batch)
    assert transforms.apply(batch)["number_missing"].to_pylist() == [0.0, 1.0, 1.0]
    assert transforms.feature_names() == ["number", "number_missing"]


def test_imputed_integers_stay_exact() -> None:
    assert (
        applied(
            {"impute": {"columns": "whole", "strategy": "most_frequent"}},
            "whole",
            [2**60 + 1, None],
        )
        == [2**60 + 1] * 2
    )


def test_missing_numbers_are_zero_in_the_matrix() -> None:
    batch = column_batch("number", [1.0, 3.0, None, NAN])
    assert fitted([step("standardize")], batch).matrix(batch)[:, 0].tolist() == [
        -1.0,
        1.0,
        0.0,
        0.0,
    ]


def test_ratio_by_zero_is_missing() -> None:
    batch = batch_of(
        [{"number": 1.0, "whole": 0}, {"number": 1.0, "whole": 4}, {"number": None, "whole": 4}]
    )
    transforms = fitted([{"ratio": {"columns": ["number", "whole"]}}], batch)
    assert transforms.apply(batch)["number_per_whole"].to_pylist() == [None, 0.25, None]


def test_date_parts_of_times_before_and_after_1970() -> None:
    times = [
        dt.datetime(2024, 2, 29, 23, 59, 58),
        dt.datetime(1969, 12, 31, 1, 2, 3, 500_000),
        None,
    ]
    parts = [
        "year",
        "quarter",
        "month",
        "day",
        "day_of_year",
        "weekday",
        "hour",
        "minute",
        "second",
    ]
    batch = batch_of([{"ts": time} for time in times])
    applied_parts = fitted([{"date_parts": {"columns": "ts", "parts": parts}}], batch).apply(batch)
    rows = list(zip(*(applied_parts[f"ts_{part}"].to_pylist() for part in parts), strict=True))
    assert rows == [
        (2024, 1, 2, 29, 60, 3, 23, 59, 58),
        (1969, 4, 12, 31, 365, 2, 1, 2, 3),
        (None,) * 9,
    ]


def test_date_parts_are_those_of_utc_in_every_zone_and_unit() -> None:
    time = dt.datetime(2024, 5, 6, 22, 30, tzinfo=dt.timezone.utc)
    steps = steps_of({"date_parts": {"columns": "ts", "parts": ["day", "hour"]}})
    for unit in ("s", "ms", "us", "ns"):
        batch = pa.RecordBatch.from_arrays(
            [pa.array([time, None], pa.timestamp(unit, tz="Asia/Tokyo"))], ["ts"]
        )
        values = fit(
            steps, {"ts": batch.schema.field("ts").type}, lambda batch=batch: [batch]
        ).apply(batch)
        assert (values["ts_day"].to_pylist(), values["ts_hour"].to_pylist()) == (
            [6.0, None],
            [22.0, None],
        )


def test_nanoseconds_are_cut_to_the_unit_of_the_fit() -> None:
    transforms = fitted([{"date_parts": {"columns": "ts", "parts": ["second"]}}], batch_of([]))
    batch = pa.record_batch({"ts": pa.array([1_999_999_999], pa.timestamp("ns", tz="UTC"))})
    assert transforms.matrix(batch).tolist() == [[1.0]]


def test_cyclic_parts_meet_at_midnight() -> None:
    batch = batch_of([{"ts": dt.datetime(2024, 1, 1, hour)} for hour in (0, 6, 23)])
    values = fitted(
        [{"date_parts": {"columns": "ts", "parts": ["hour"], "cyclic": True}}], batch
    ).apply(batch)
    assert "ts_hour" not in values
    np.testing.assert_allclose(
        values["ts_hour_sin"].to_pylist(), [0, 1, math.sin(23 * math.pi / 12)], atol=1e-12
    )
    np.testing.assert_allclose(
        values["ts_hour_cos"].to_pylist(), [1, 0, math.cos(23 * math.pi / 12)], atol=1e-12
    )


def test_hashes_are_the_same_in_all_releases() -> None:
    golden = {
        "text": (["", "a", "é", "1"], GOLDEN_TEXT),
        "integer": ([1, -1, 2**62], GOLDEN_INTEGER),
        "bool": ([True, False], GOLDEN_BOOL),
    }
    for values, expected in golden.values():
        found = hashes(pa.array(values)).tolist()
        assert found == [*expected, GOLDEN_MISSING]
        assert len(set(found)) == len(found)
    assert hashes(pa.array([1], pa.int8())).tolist() == hashes(pa.array([1], pa.int64())).tolist()
    pair = hashes(pa.array(["a", "b"]))
    assert combined(pair[:1], pair[1:2]).tolist() == [GOLDEN_PAIR]
    assert combined(pair[1:2], pair[:1]).tolist() != [GOLDEN_PAIR]


def test_cross_reads_the_categories_behind_an_encoded_column() -> None:
    batch = batch_of(
        [{"text": left, "word": right} for left in ("a", "b", None) for right in ("a", "", None)]
    )
    cross = {"cross": {"columns": ["text", "word"], "buckets": 1000}}
    plain = fitted([cross], batch).apply(batch)["text_x_word"]
    encoded = fitted([{"one_hot": {"columns": ["text", "word"]}}, cross], batch).apply(batch)[
        "text_x_word"
    ]
    assert plain.equals(encoded)
    assert len({tuple(row) for row in plain.to_pylist()}) == 9


def test_many_distinct_categories_give_what_few_give() -> None:
    # Lookups and crosses take another road where a batch has many distinct values; the matrix is
    # written in blocks.
    data = [
        {"text": f"t{row % 90}", "word": f"w{row % 70}", "whole": row % 80, "number": float(row)}
        for row in range(2500)
    ]
    raw = [
        {"one_hot": {"columns": ["text", "whole"]}},
        {"embedding_index": {"columns": "word"}},
        {"standardize": {"columns": "number"}},
        {"cross": {"columns": ["text", "word", "whole"], "buckets": 64}},
    ]
    batch = batch_of(data)
    transforms = fitted(raw, batch.slice(0, 75))
    together = transforms.tensors(batch)
    apart = [transforms.tensors(batch.slice(first, 5)) for first in range(0, 2500, 5)]
    for name, array in together.items():
        np.testing.assert_array_equal(array, np.concatenate([part[name] for part in apart]))
    assert (
        together["features"][:75, :75].sum() == 75 and together["features"][75:90, :75].sum() == 0
    )


def test_a_category_column_beyond_the_limit_says_what_to_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statistics, "MAX_CATEGORIES", 3)
    batch = column_batch("text", list("abcd"))
    with pytest.raises(InputError, match="'text' has more than 3 distinct values") as caught:
        fitted([text("one_hot")], batch)
    assert "hashing" in str(caught.value.hint)
    with pytest.raises(InputError, match="more than 3"):
        fitted([text("one_hot")], batch.slice(0, 2), batch.slice(2))


def test_numbers_too_large_for_a_variance_are_refused() -> None:
    with pytest.raises(InputError, match="column 'number'"):
        fitted([step("standardize")], column_batch("number", [1e308, -1e308]))
    with pytest.raises(InputError, match="column 'number'"):
        fitted(
            [step("standardize")], column_batch("number", [1e200]), column_batch("number", [-1e200])
        )


def test_quantiles_of_many_distinct_values_keep_the_stated_rank_error() -> None:
    values = np.random.default_rng(5).lognormal(0, 3, 300_000)
    parts = [statistics.Ranks.of(part, "number") for part in np.array_split(values, 8)]
    while len(parts) > 1:
        parts = [
            statistics.Ranks.merge(left, right, "number")
            for left, right in zip(parts[::2], parts[1::2], strict=True)
        ]
    kept, weights = statistics.Ranks.read(parts[0])
    assert len(kept) <= statistics.MAX_RANKS + 1 and weights.sum() == len(values)
    ordered = np.sort(values)
    assert (kept[0], kept[-1]) == (ordered[0], ordered[-1])
    for at in np.linspace(0, 1, 101):
        found = statistics.quantile(parts[0], float(at))
        assert found is not None
        assert (
            abs(np.searchsorted(ordered, found) / (len(values) - 1) - at) < 4 / statistics.MAX_RANKS
        )
