"""`evaluate`: counts, and metrics that can be worked out by hand, on tables that a test wrote."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from batchinfer.errors import BatchInferError, ConfigError, InputError, InputMissing
from batchinfer.pipeline.evaluation.outcomes_table import open_outcomes

from .published_tables import BINARY, DAY, NEXT, NUMBER, SEVERAL, Told

SCORES = [(1, 0.9, "bad"), (2, 0.8, "bad"), (3, 0.4, "other"), (4, 0.1, "other")]
CAME = {"id": [1, 2, 3, 9], "came": ["bad", "good", "good", "bad"]}


def scored(*rows: tuple[int, float, str]) -> list[dict[str, Any]]:
    return [{"id": key, "score": score, "label": label} for key, score, label in rows]


def numbers(*rows: tuple[int, float]) -> list[dict[str, Any]]:
    return [{"id": key, "prediction": value} for key, value in rows]


def refused(told: Told, slice_: str | None = DAY, **asked: str) -> BatchInferError:
    with pytest.raises(BatchInferError) as error:
        told.evaluate(slice_, **asked)
    return error.value


def test_two_classes_are_judged_as_training_judges_them(told: Told) -> None:
    told.predict(scored(*SCORES), BINARY)
    told.came(CAME)
    found = told.evaluate()
    assert (found.rows_predicted, found.rows_with_outcome) == (4, 3)
    assert (found.rows_without_outcome, found.outcomes_without_prediction) == (1, 1)
    losses = [-math.log(0.9), -math.log(0.2), -math.log(0.6)]
    assert found.metrics["log_loss"] == pytest.approx(sum(losses) / 3)
    assert (found.metrics["accuracy"], found.metrics["baseline"]) == pytest.approx((2 / 3, 2 / 3))
    assert found.metrics["auc"] == 1.0
    assert found.measured_against["accuracy"].endswith("rows with an outcome have")
    [model] = found.models
    assert (model.model_version, model.task, model.metrics) == ("1", "binary", found.metrics)


def test_accuracy_is_that_of_the_published_label(told: Told) -> None:
    told.train += "\npostprocess: [{threshold: {value: 0.85}}]"
    told.predict(scored((1, 0.9, "bad"), (2, 0.8, "other"), (3, 0.4, "other")), BINARY)
    told.came(CAME)
    assert told.evaluate().metrics["accuracy"] == 1.0


def test_a_number_is_judged_by_its_errors(told: Told) -> None:
    told.train = ""
    told.predict(numbers((1, 3.0), (2, 5.0), (3, math.nan), (4, 1.0)), NUMBER)
    told.came({"id": [1, 2, 3, 4], "came": [2.0, 7.0, 1.0, math.nan]})
    found = told.evaluate()
    assert (found.rows_with_outcome, found.rows_without_outcome) == (3, 1), "NaN is no outcome"
    assert found.metrics["mae"] == pytest.approx(1.5)
    assert found.metrics["rmse"] == pytest.approx(math.sqrt(2.5))
    assert "baseline" not in found.metrics and "rmse" not in found.measured_against
    assert any("1 rows have an outcome and no prediction" in text for text in found.warnings)


def test_several_classes_are_judged_by_label_and_by_shares(told: Told) -> None:
    told.train = ""
    rows = [
        {"id": key, "label": label, "score": max(shares.values()), "scores": list(shares.items())}
        for key, label, shares in [
            (1, "a", {"a": 0.5, "b": 0.3, "1": 0.2}),
            (2, "b", {"a": 0.1, "b": 0.7, "1": 0.2}),
            (3, "b", {"a": 0.2, "b": 0.6, "1": 0.2}),
            (4, "1", {"a": 0.1, "b": 0.1, "1": 0.8}),
        ]
    ]
    told.predict(rows, SEVERAL)
    told.came({"id": [1, 2, 3, 4], "came": ["a", "b", "a", "1.0"]})
    found = told.evaluate()
    losses = [-math.log(share) for share in (0.5, 0.7, 0.2, 0.8)]
    assert found.metrics["log_loss"] == pytest.approx(sum(losses) / 4)
    assert (found.metrics["accuracy"], found.metrics["baseline"]) == (0.75, 0.5)
    # Of each class, every row that is of it has a greater share than every row that is not.
    assert found.metrics["auc"] == 1.0
    assert found.models[0].task == "multiclass"


def test_a_class_that_no_prediction_knows_is_wrong_and_told(told: Told) -> None:
    told.train = ""
    shares = [("a", 0.5), ("b", 0.5)]
    rows = [{"id": n, "label": "a", "score": 0.5, "scores": shares} for n in (1, 2)]
    told.predict(rows, SEVERAL)
    told.came({"id": [1, 2], "came": ["a", "z"]})
    found = told.evaluate()
    assert found.metrics["accuracy"] == 0.5
    assert any("'z' (1 rows)" in text for text in found.warnings)
    told.outcomes = "table: outcomes/other, value: came"
    told.came({"id": [1, 2], "came": ["x", "z"]}, "outcomes/other")
    assert "no value that the predictions know: 'x'" in str(refused(told))


def test_each_model_version_has_its_own_metrics(told: Told) -> None:
    told.train = ""
    told.predict(numbers((1, 1.0), (2, 2.0)), NUMBER, DAY, version="1")
    told.predict(numbers((3, 9.0)), NUMBER, DAY, version="2")
    told.predict(numbers((1, 4.0)), NUMBER, NEXT, version="2")
    told.came({"id": [1, 2, 3], "came": [1.0, 1.0, 7.0]})
    found = told.evaluate()
    by_version = {one.model_version: one for one in found.models}
    assert by_version["1"].metrics["mae"] == 0.5 and by_version["2"].metrics["mae"] == 2.0
    assert found.metrics["mae"] == 1.0 and found.model_version == ""
    whole = told.evaluate(None, start=DAY, end=NEXT)
    assert whole.slices == [DAY, NEXT] and whole.rows_predicted == 4
    assert {one.model_version: one.rows_predicted for one in whole.models} == {"1": 2, "2": 2}
    assert told.evaluate(None, start=NEXT).slices == [NEXT]


def test_of_several_outcomes_the_newest_counts_that_is_known(told: Told) -> None:
    told.train = ""
    told.outcomes = "table: outcomes/told, value: came, at: known_at"
    noon = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
    days = [noon, noon + dt.timedelta(days=1), noon + dt.timedelta(days=2), None]
    told.predict(numbers((1, 1.0), (2, 0.0)), NUMBER)
    told.came({"id": [1, 1, 1, 2], "known_at": days, "came": [1.0, 3.0, None, 5.0]})
    assert told.evaluate().metrics["mae"] == pytest.approx((2 + 5) / 2), "a null says nothing"
    early = told.evaluate(as_of="2026-11-25")
    assert (early.rows_with_outcome, early.metrics["mae"], early.as_of) == (1, 0.0, "2026-11-25")
    assert told.evaluate(as_of="2026-11-26T12:00:00Z").metrics["mae"] == 2.0
    assert told.evaluate(as_of="2026-11-26T11:59:59").metrics["mae"] == 0.0
    assert "known as of 2026-11-24" in str(refused(told, as_of="2026-11-24"))


def test_the_newest_slice_of_a_landed_table_counts(told: Told) -> None:
    told.train, told.outcomes = "", "table: landed/other, value: came, at: slice, key: who"
    told.predict(numbers((1, 1.0)), NUMBER)
    landed = {"who": [1, 1], "came": [4.0, 2.0], "slice": [DAY, f"{NEXT}T07"]}
    told.came(landed, "landed/other")
    assert told.evaluate().metrics["mae"] == 1.0
    assert told.evaluate(as_of=NEXT).metrics["mae"] == 1.0, "an hour of that day"
    assert told.evaluate(as_of=DAY).metrics["mae"] == 3.0


def test_outcomes_of_one_key_that_differ_are_refused(told: Told) -> None:
    told.train = ""
    told.predict(numbers((1, 1.0)), NUMBER)
    told.came({"id": [1, 1, 2], "came": [4.0, 4.0, 2.0], "slice": ["a", "b", "b"]})
    assert told.evaluate().metrics["mae"] == 3.0, "two that are equal are one"
    told.came({"id": [1, 2], "came": [5.0, 2.5], "slice": ["c", "c"]})
    error = refused(told)
    assert error.exit_code == 3
    assert "2 keys have outcomes that differ: id=1: 4.0, 5.0; id=2: 2.0, 2.5" in str(error)
    assert error.hint is not None and "at: slice" in error.hint


@pytest.mark.parametrize("type_", [pa.int64(), pa.int16()])
def test_whole_numbers_of_any_width_are_equal_keys(told: Told, type_: pa.DataType) -> None:
    told.train = ""
    told.predict(numbers((7, 1.0)), NUMBER)
    told.came({"id": pa.array([7, None], type_), "came": [2, 3]})
    found = told.evaluate()
    assert found.metrics["mae"] == 1.0
    assert any("1 outcomes have no whole key" in text for text in found.warnings)


def test_keys_of_kinds_that_never_match_are_refused(told: Told) -> None:
    told.train = ""
    told.predict(numbers((7, 1.0)), NUMBER)
    told.came({"id": ["007"], "came": [2.0]})
    error = refused(told)
    assert isinstance(error, InputError) and "is string, and key column id of" in str(error)
    assert "int32: they never match" in str(error)


def test_keys_of_which_none_match_are_shown_from_both_tables(told: Told) -> None:
    told.train = ""
    rows = [{"id": "7", "prediction": 1.0}]
    told.predict(rows, NUMBER, key=pa.string())
    told.came({"id": ["007"], "came": [2.0]})
    error = refused(told)
    assert error.exit_code == 3 and "id='7'" in str(error) and "id='007'" in str(error)


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ("table: outcomes/told, value: cane", "(outcomes.value): no such column"),
        ("table: outcomes/told, value: came, key: ids", "(outcomes.key): no such column"),
        ("table: outcomes/told, value: came, at: idd", "(outcomes.at): no such column"),
        ("table: outcomes/told, value: came, at: id", "(outcomes.at): column id"),
        ("table: predictions/told, value: score", "the pipeline's own predictions"),
    ],
)
def test_names_that_the_table_does_not_have_are_refused(
    told: Told, outcomes: str, words: str
) -> None:
    told.predict(scored(*SCORES), BINARY)
    told.came(CAME)
    told.outcomes = outcomes
    error = refused(told)
    assert isinstance(error, ConfigError) and words in str(error)
    assert "told.yaml" in str(error) and "allowed" in str(error)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("table", "outcomes/none"),
        ("table", "predictions/told"),
        ("value", "cane"),
        ("key", "ids"),
        ("at", "idd"),
    ],
)
def test_an_override_that_names_what_is_not_there_is_the_place_of_the_error(
    told: Told, field: str, value: str
) -> None:
    told.predict(scored(*SCORES), BINARY)
    told.came(CAME)
    written = f"outcomes.{field}={value}"
    with pytest.raises((ConfigError, InputMissing)) as error:
        open_outcomes(told.context(written))
    [problem] = error.value.problems
    assert problem.startswith(f"--set {written} (outcomes.{field}): ") and "allowed" in problem


def test_what_is_not_there_is_told(told: Told) -> None:
    told.predict(scored(*SCORES), BINARY)
    missing = refused(told)
    assert isinstance(missing, InputMissing) and "no Delta table at" in str(missing)
    told.came(CAME)
    other = refused(told, NEXT)
    assert isinstance(other, InputMissing) and other.hint is not None
    assert f"--slice {NEXT}" in other.hint
    for asked in ({}, {"slice_": DAY, "start": DAY}):
        with pytest.raises(ConfigError, match="--slice and --from or --to"):
            told.evaluate(**{"slice_": None, **asked})  # pyright: ignore
    assert "no outcomes.at" in str(refused(told, as_of=DAY))


def test_slices_of_another_pipeline_are_not_judged(told: Told) -> None:
    told.predict(scored(*SCORES), BINARY, pipeline="other")
    told.came(CAME)
    assert isinstance(refused(told), InputMissing)


def test_outcomes_of_one_class_have_no_auc_and_it_is_told(told: Told) -> None:
    told.predict(scored(*SCORES), BINARY)
    told.came({"id": [1, 2], "came": ["bad", "bad"]})
    found = told.evaluate()
    assert "auc" not in found.metrics and found.metrics["accuracy"] == 1.0
    assert "auc is not told: all 2 outcomes are positive" in found.warnings


def test_without_a_bundle_or_a_target_the_missing_setting_is_named(told: Told) -> None:
    told.train = ""
    told.predict(scored(*SCORES), BINARY)
    told.came(CAME)
    error = refused(told)
    assert isinstance(error, ConfigError) and "train.target.positive" in str(error)


def test_text_is_no_outcome_of_a_number(told: Told) -> None:
    told.predict(numbers((1, 1.0)), NUMBER)
    told.came(CAME)
    told.train = ""
    assert "is string, and the predictions are numbers" in str(refused(told))


def test_an_evaluation_is_a_row_of_the_runs_table(told: Told) -> None:
    told.predict(scored(*SCORES), BINARY)
    told.came(CAME)
    found = told.evaluate()
    [row] = DeltaTable(told.context().runs).to_pyarrow_table().to_pylist()
    assert (row["command"], row["slice"], row["model_version"]) == ("evaluate", DAY, "1")
    assert json.loads(row["report"])["metrics"] == found.metrics
    assert row["version"] is None, "nothing was published"


def test_a_table_that_says_nothing_is_told_as_such(told: Told) -> None:
    told.train = ""
    told.outcomes = "table: outcomes/told, value: came, at: slice"
    told.predict(numbers((1, 1.0)), NUMBER)
    told.came({"id": [1, 2], "came": pa.array([None, math.nan]), "slice": [DAY, NEXT]})
    error = refused(told)
    assert error.exit_code == 3
    assert "column came has no outcome: its 2 rows are null or NaN there" in str(error)
    assert "keys" not in str(error)
    early = str(refused(told, as_of="2026-11-20"))
    assert "column came has no outcome known as of 2026-11-20; allowed" in early


def test_columns_of_a_handler_of_its_own_are_listed(told: Told) -> None:
    told.train = ""
    told.predict(
        [{"id": 1, "share": 0.5, "why": "so"}], {"share": pa.float64(), "why": pa.string()}
    )
    told.came(CAME)
    assert "the predictions have columns share, why; evaluate judges" in str(refused(told))


@pytest.mark.parametrize(
    "as_of", ["2026-11-5", "banana", "", "2026-11-31", "2026", "2026-11-21T", "2026-11-22 08"]
)
def test_a_time_of_another_form_than_slices_is_refused(told: Told, as_of: str) -> None:
    told.train, told.outcomes = "", "table: outcomes/told, value: came, at: slice"
    told.predict(numbers((1, 1.0)), NUMBER)
    told.came({"id": [1, 1], "came": [4.0, 2.0], "slice": [DAY, f"{NEXT}T07"]})
    error = refused(told, as_of=as_of)
    assert error.exit_code == 2 and f"--as-of: got {as_of!r}" in str(error)
    assert "such as '2026-11-22T07'" in str(error) or as_of == ""
    assert told.evaluate(as_of="2026-11").metrics["mae"] == 1.0
    assert told.evaluate(as_of=f"{NEXT}T06").metrics["mae"] == 3.0


def test_an_hour_is_no_time_of_slices_that_are_days(told: Told) -> None:
    told.train, told.outcomes = "", "table: outcomes/told, value: came, at: slice"
    told.predict(numbers((1, 1.0)), NUMBER)
    told.came({"id": [1], "came": [4.0], "slice": [DAY]})
    assert "has values such as '2026-11-21'" in str(refused(told, as_of=f"{DAY}T07"))


def test_slices_that_are_no_times_are_text(told: Told) -> None:
    told.train, told.outcomes = "", "table: outcomes/told, value: came, at: slice"
    told.predict(numbers((1, 1.0)), NUMBER)
    told.came({"id": [1, 1], "came": [4.0, 2.0], "slice": ["batch-1", "batch-2"]})
    assert told.evaluate(as_of="batch-1").metrics["mae"] == 3.0
