"""Keys, targets and features that are proposed, and why columns are left out."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from batchinfer.errors import ConfigError, InputError
from batchinfer.starting.proposed import PLACE_KEY, propose
from batchinfer.starting.proposed_target import propose_target
from batchinfer.starting.sample import DataSample, SampledColumn
from batchinfer.starting.storable_names import storable_names

N = 200
_NAMES = {"int64": "long", "bool": "boolean", "date32[day]": "date", "timestamp[us, tz=UTC]":
          "timestamp"}  # fmt: skip


def _sample(columns: dict[str, Any], is_whole: bool = True, kind: str = "csv") -> DataSample:
    arrays = {
        name: values if isinstance(values, pa.Array) else pa.array(values)
        for name, values in columns.items()
    }
    found = [
        SampledColumn(name, _NAMES.get(str(values.type), str(values.type)), values)
        for name, values in arrays.items()
    ]
    return DataSample(kind, "a.csv", len(found[0].values), is_whole, found)


ROWS = list(range(N))


@pytest.mark.parametrize(
    ("columns", "is_whole", "key", "said"),
    [
        ({"id": ROWS}, True, ("id",), "named like an id"),
        ({"customerId": ROWS}, True, ("customerId",), "named like an id"),
        ({"order_key": [f"o{n}" for n in ROWS]}, True, ("order_key",), "never null"),
        ({"id": ROWS}, False, PLACE_KEY, "more was not read"),
        ({"id": [None, *ROWS[1:]]}, True, PLACE_KEY, "No column is unique"),
        ({"id": [7, 7, *ROWS[2:]]}, True, PLACE_KEY, "No column is unique"),
        ({"paid": ROWS}, True, PLACE_KEY, "not named like an id; key: paid"),
        ({"id": [n / 2 for n in ROWS]}, True, PLACE_KEY, "No column"),
        ({"run_id": ROWS}, True, PLACE_KEY, "No column"),
    ],
)
def test_keys(columns: Any, is_whole: bool, key: tuple[str, ...], said: str) -> None:
    found = propose(_sample(columns, is_whole), None).key
    assert found.columns == key
    assert said in found.reason


def test_rows_without_places_need_a_key_of_their_own() -> None:
    found = propose(_sample({"paid": ROWS, "x": [1, 2] * 100}, kind="delta"), None)
    assert found.key.columns == ("paid",)
    with pytest.raises(InputError, match="nor are two together"):
        propose(_sample({"x": [1, 2] * 100, "y": [3] * N}, kind="delta"), None)


def test_rows_without_places_may_be_told_apart_by_two_columns() -> None:
    days = pa.array([n // 20 for n in ROWS], pa.int32()).cast(pa.date32())
    columns = {"size": [n // 20 for n in ROWS], "day": days, "shop_id": [n % 20 for n in ROWS]}
    found = propose(_sample(columns, kind="delta"), None).key
    assert found.columns == ("shop_id", "day")
    columns["shop_id"] = [None, *columns["shop_id"][1:]]
    with pytest.raises(InputError, match="no other key"):
        propose(_sample(columns, kind="delta"), None)
    assert propose(_sample(columns), None).key.columns == PLACE_KEY


def _steps(columns: dict[str, Any], target: str | None = None) -> list[tuple[Any, ...]]:
    sample = _sample(columns)
    proposal = propose(sample, propose_target(sample, target) if target else None)
    return [(one.name, *one.columns, *dict(one.parameters).values()) for one in proposal.steps]


def test_features_by_type() -> None:
    columns = {
        "age": [None if n == 3 else n % 60 for n in ROWS],
        "spend": [n * 0.5 for n in ROWS],
        "plan": [None if n == 5 else ("a", "b", "c")[n % 3] for n in ROWS],
        "city": [f"city {n % 80}" for n in ROWS],
        "member": [n % 2 == 0 for n in ROWS],
        "since": pa.array([n % 300 for n in ROWS], pa.int32()).cast(pa.date32()),
        "at": pa.array([n * 10**9 for n in ROWS], pa.int64()).cast(pa.timestamp("us", "UTC")),
    }
    assert _steps(columns) == [
        ("impute", "age", "median"),
        ("impute", "plan", "most_frequent"),
        ("standardize", "age", "spend"),
        ("one_hot", "plan", "member"),
        ("hashing", "city", 128),
        ("date_parts", "since", ("month", "weekday"), True),
        ("date_parts", "at", ("month", "weekday", "hour"), True),
    ]


def test_text_of_several_words_is_weighed() -> None:
    notes = [f"it was a long day number {n}" for n in ROWS]
    assert _steps({"note": notes}) == [("tfidf", "note", 500)]


def test_amounts_with_signs_become_numbers_and_infinite_ones_are_bounded() -> None:
    columns = {
        "price": [None if n == 9 else f"${n * 37:,}.50" for n in ROWS],
        "share": [f"-{n}%" for n in ROWS],
        "loss": [f"({n * 37:,})" for n in ROWS],
        "size": [float("-inf") if n == 3 else n / 3 for n in ROWS],
    }
    assert _steps(columns) == [
        ("replace", "price", "share", "[^0-9.+-]", ""),
        ("cast", "price", "share", "double"),
        ("clip", "size", 0.01, 0.99),
        ("impute", "price", "median"),
        ("standardize", "size", "price", "share"),
    ]


def test_what_is_missing_says_something_where_there_is_but_one_value() -> None:
    assert _steps({"seen": [True, None] * 100}) == [("one_hot", "seen")]


def test_ids_that_come_again_are_learned_from_where_there_is_a_target() -> None:
    columns: dict[str, Any] = {"t": [n % 17 / 2 for n in ROWS]}
    assert _steps({**columns, "shop_id": [n % 7 for n in ROWS]}, "t") == [
        ("target_encode", "shop_id")
    ]
    assert _steps({**columns, "shop_id": [n % 90 for n in ROWS]}, "t") == []


@pytest.mark.parametrize(
    ("name", "values", "target", "said"),
    [
        ("copy", [n % 2 for n in ROWS], ["yes", "no"] * 100, "each of its 2 values goes with one"),
        ("why", ["a", "b", "c", "b"] * 50, ["yes", "no"] * 100, "each of its 3 values"),
        ("seen", [True, None] * 100, ["yes", "no"] * 100, "each of its 2 values"),
        ("patient_id", [n % 8 for n in ROWS], ["yes", "no"] * 100, "each of its 8 values"),
        ("grams", [n * 250.0 for n in ROWS], [n * 0.25 for n in ROWS], "rises and falls with t"),
    ],
)
def test_what_tells_the_target_is_no_feature(
    name: str, values: Any, target: Any, said: str
) -> None:
    sample = _sample({name: values, "t": target})
    proposal = propose(sample, propose_target(sample, "t"))
    assert [(one.column, said in one.reason) for one in proposal.left_out] == [(name, True)]
    assert proposal.steps == ()


@pytest.mark.parametrize(
    ("values", "target"),
    [
        ([n % 4 for n in ROWS[:-1]] + [2], ["yes", "no"] * 100),
        ([n % 100 for n in ROWS], ["yes", "no"] * 100),
        ([n * 0.25 + (n % 5) for n in ROWS], [n * 0.25 for n in ROWS]),
        ([n % 2 for n in ROWS], [n * 0.25 for n in ROWS]),
    ],
)
def test_what_says_something_of_the_target_is_one(values: Any, target: Any) -> None:
    assert "x" in {name for step in _steps({"x": values, "t": target}, "t") for name in step}


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("shop_id", [n % 7 for n in ROWS], "embedding_index learn ids that repeat"),
        ("row_number", [n + 7000 for n in ROWS], "it counts the records"),
        ("name", [f"n{n}" for n in ROWS], "200 different texts in 200 records"),
        ("index", ROWS, "it counts the records"),
        ("country", ["Peru"] * N, "one value only"),
        ("gone", pa.nulls(N, pa.string()), "no record that was read has a value"),
        ("since", pa.array([1] * 100 + [2] * 100, pa.int32()).cast(pa.date32()), "names are taken"),
    ],
)
def test_columns_that_are_left_out(name: str, values: Any, said: str) -> None:
    columns = {"x": [n % 3 for n in ROWS], name: values, "since_month_sin": [n % 9 for n in ROWS]}
    proposal = propose(_sample(columns), None)
    [out] = proposal.left_out
    assert (out.column, said in out.reason) == (name, True), out
    assert [one.name for one in proposal.steps] == ["standardize"]


@pytest.mark.parametrize(
    ("values", "model", "positive"),
    [
        (["yes", "no"] * 100, "mlp_classifier", "yes"),
        (["b"] * 150 + ["a"] * 50, "mlp_classifier", "a"),
        ([0, 1] * 100, "mlp_classifier", 1),
        ([1.0, 2.0] * 100, "mlp_classifier", 2.0),
        ([True, False] * 100, "mlp_classifier", True),
        ([n % 3 for n in ROWS], "mlp_classifier", None),
        (["x", "y", "z", None] * 50, "mlp_classifier", None),
        ([n % 11 for n in ROWS], "mlp_regressor", None),
        ([n * 0.25 for n in ROWS], "mlp_regressor", None),
    ],
)
def test_targets(values: Any, model: str, positive: Any) -> None:
    found = propose_target(_sample({"t": values, "x": ROWS}), "t")
    assert (found.model, found.positive, type(found.positive)) == (model, positive, type(positive))
    assert "t" not in {name for step in _steps({"t": values, "x": ROWS}, "t") for name in step}
    assert ("50 records without a value" in found.reason) == (None in values)


def test_a_target_is_the_column_that_has_this_name_in_the_data() -> None:
    first, second = pa.array([0, 1] * 100), pa.array(ROWS)
    columns = [
        SampledColumn("a_2", "long", first, "x y"),
        SampledColumn("b", "long", second, "a_2"),
    ]
    sample = DataSample("csv", "a.csv", N, True, columns)
    assert [propose_target(sample, name).column for name in ("a_2", "b", "x y")] == [
        "b",
        "b",
        "a_2",
    ]


@pytest.mark.parametrize(
    ("name", "values", "error", "said"),
    [
        ("tt", [1, 2] * 100, ConfigError, "did you mean t?"),
        ("t", [1] * N, InputError, 'has "1" in all 200 records'),
        ("t", [f"n{n}" for n in ROWS], InputError, "200 different texts"),
        ("t", pa.array(ROWS, pa.int32()).cast(pa.date32()), InputError, "of type date"),
    ],
)
def test_targets_that_nothing_is_learned_of(
    name: str, values: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        propose_target(_sample({"t": values, "x": ROWS}), name)


def test_names_that_tables_and_expressions_can_hold() -> None:
    given = ["a", "A", "b c", "", "2019", "slice", "größe", "a_2", "x;y"]
    assert storable_names(given) == [
        "a", "A_3", "b_c", "c4", "c_2019", "slice_", "größe", "a_2", "x_y"
    ]  # fmt: skip
    assert storable_names(["a b", "a_b", "a-b"]) == ["a_b_2", "a_b", "a_b_3"]
    assert storable_names(["slice", "slice_"]) == ["slice__2", "slice_"]
