"""What is wrong with `derive` is told before anything starts, each problem at its own column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batchinfer.config.loader import load_pipeline
from batchinfer.errors import ConfigError
from batchinfer.pipeline.definition.column_names import check_source_columns
from batchinfer.pipeline.definition.feature_steps import check_document_steps

SCHEMA = {
    "id": "int",
    "gain": "int",
    "hours": "double",
    "job": "string",
    "day": "date",
    "big": "string",
}


def told(
    derive: dict[str, Any], features: list[Any] | None = None, **more: Any
) -> dict[tuple[Any, ...], str]:
    document = {
        "source": {"kind": "csv", "path": "x.csv", "schema": SCHEMA},
        "derive": derive,
        "features": features or [],
        "train": {"target": {"column": "big"}},
    }
    problems = check_document_steps(document | more)
    return {problem.path: problem.message for problem in problems}


def test_what_is_right_is_told_nothing_of() -> None:
    steps = [{"one_hot": {"columns": ["job", "word"]}}, {"standardize": {"columns": "rate"}}]
    derive = {"rate": "gain / nullif(hours, 0)", "twice": "rate * 2", "word": "upper(job)"}
    assert told(derive, steps) == {}


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("gain / hors", "got 'hors' (did you mean hours?); allowed: id, gain, hours, job, day"),
        ("gain / big", "'big' is the target: a feature made of it would leak the answer"),
        ("gain / rate", "reads rate, which is the column itself"),
        ("gain / later", "reads later, which is derived after it; allowed: later before rate"),
        ("gain / day", "character 8: got a date for '/'"),
        ("gain / (hours", "character 14: got the end of the text"),
        ("1 + 1", "reads no column"),
        ("upper(job)", "nothing reads it: no expression, and no step of features makes a number"),
        ("upper(job)", "a step such as one_hot, ordinal, hashing, frequency, embedding_index, or"),
        ("to_date(day)", "number of it; allowed: a step such as date_parts, or no such"),
        ("cast(day as timestamp)", "allowed: a step such as date_parts, or no such expression"),
        ("cast(job as binary)", "allowed: a step such as image, or no such expression"),
    ],
)
def test_an_expression_that_is_wrong_is_told_at_its_column(expression: str, said: str) -> None:
    found = told({"rate": expression, "later": "hours * 2"})
    assert list(found) == [("derive", "rate")]
    assert said in found["derive", "rate"]


@pytest.mark.parametrize("name", ["gain", "Gain", "source_file", "slice", "BIG"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    found = told({name: "hours * 2"})
    assert f"got the name {name}" in found["derive", name]


def test_names_that_differ_in_case_only_are_refused() -> None:
    found = told({"rate": "hours * 2", "Rate": "hours * 3"})
    assert list(found) == [("derive", "Rate")]
    assert "derived already (rate)" in found["derive", "Rate"]


def test_problems_of_several_sections_are_told_together_and_each_once() -> None:
    steps = [{"standardize": {"columns": ["bad", "gian"]}}]
    found = told({"bad": "hors * 2", "worse": "bad", "worst": "bad * 2"}, steps)
    assert list(found) == [("derive", "bad"), ("features", 0, "standardize", "columns")]
    assert "gian" in found["features", 0, "standardize", "columns"]


def test_text_that_an_expression_or_a_cross_reads_needs_no_encoding() -> None:
    assert told({"word": "upper(job)", "flag": "word > job"}) == {}
    assert (
        told({"word": "upper(job)"}, [{"cross": {"columns": ["word", "job"], "buckets": 4}}]) == {}
    )


def test_what_a_step_makes_may_not_have_a_derived_name() -> None:
    found = told({"gain_per_hours": "gain * 2"}, [{"ratio": {"columns": ["gain", "hours"]}}])
    assert "'gain_per_hours', which is there already" in found["features", 0, "ratio", "columns"]


def test_a_step_of_prepare_that_names_a_derived_column_is_told_why_not() -> None:
    step = {"lag": {"columns": "rate", "by": "job", "order": "id"}}
    found = told({"rate": "gain * 2"}, prepare=[step])
    (message,) = found.values()
    assert "derive makes rate after all steps of prepare" in message


def test_columns_that_a_wrong_step_of_prepare_would_have_made_are_not_told_as_unknown() -> None:
    step = {"lagg": {"columns": "gain", "by": "job", "order": "id"}}
    standardize = {"standardize": {"columns": "rate"}}
    found = told({"rate": "gain - gain_lag_1"}, [standardize], prepare=[step])
    assert {path[0] for path in found} == {"prepare"}


def test_without_a_schema_only_the_expressions_themselves_are_judged() -> None:
    document = {
        "source": {"kind": "parquet", "path": "x.parquet"},
        "derive": {"rate": "anything / 2", "wrong": "(", "first": "second * 2", "second": "a * 2"},
    }
    found = {problem.path: problem.message for problem in check_document_steps(document)}
    assert list(found) == [("derive", "wrong"), ("derive", "first")]
    assert "derived after it" in found["derive", "first"]


def test_the_loader_tells_the_place_and_what_derive_takes(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        "name: p\nsource: {kind: csv, path: x.csv, key: id, schema: {id: int, gain: int}}\n"
        "sink: {carry: [rate]}\n"
        "derive:\n  rate: gain / gian\n  5: gain\n  per hour: gain * 2\n  five: 5\n"
    )
    with pytest.raises(ConfigError) as error:
        load_pipeline(file, document_checks=[check_document_steps])
    text = "\n".join(error.value.problems)
    assert "p.yaml:5:3 (derive.rate): no such column: got 'gian' (did you mean gain?)" in text
    assert "a letter or _, then letters, digits and _" in text
    assert "(derive.five): got 5; allowed: text" in text
    assert "(sink.carry[0]): got 'rate', which derive makes for the model alone" in text


def test_columns_that_only_the_source_tells_are_held_against_the_expressions_once_known(
    tmp_path: Path,
) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        "name: p\nsource: {kind: parquet, path: x.parquet, key: id}\n"
        "derive:\n  rate: gain / gian\n  next: day / 2\n  right: gain * 2\n"
    )
    loaded = load_pipeline(file, document_checks=[check_document_steps])
    fields = {"id": pa.int64(), "gain": pa.int64(), "day": pa.date32()}
    with pytest.raises(ConfigError) as error:
        check_source_columns(loaded, fields)
    rate, other = error.value.problems
    assert "p.yaml:4:3 (derive.rate): no such column: got 'gian' (did you mean gain?)" in rate
    assert "p.yaml:5:3 (derive.next): character 1: got a date" in other
