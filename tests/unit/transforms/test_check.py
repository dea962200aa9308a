"""What is said of wrong steps, which columns the model gets, and what a state of another release
leads to.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest
from transform_cases import FIELDS, batch_of, column_batch, fitted, problems_of, steps_of

from batchinfer.errors import InputError, ModelError
from batchinfer.transforms import (
    AFTER_STEPS,
    STEPS,
    IntegerInput,
    StepProblem,
    TransformPipeline,
    check_steps,
    dump_fields,
    dump_steps,
    feature_columns,
    fit_passes,
    load_fields,
    merge_pass,
    parse_steps,
)
from batchinfer.transforms.category_places import Lookup
from batchinfer.transforms.known_steps import STORED_STEPS
from batchinfer.transforms.step import Item


def test_every_problem_of_a_file_is_told_at_once_with_its_place() -> None:
    problems = problems_of(
        {"standardise": {"columns": "number"}},
        {"clip": {"colums": "number", "upper": "high"}},
        "trim",
        {"trim": ["text"]},
        {"impute": {"columns": [], "strategy": "mode"}},
        {"trim": {"columns": "text"}, "lower": {"columns": "text"}},
        {"one_hot": {"columns": ["text", "text"], "min_count": 0}},
    )
    assert [problem.path for problem in problems] == [
        ("features", 0, "standardise"),
        ("features", 1, "clip", "columns"),
        ("features", 1, "clip", "upper"),
        ("features", 1, "clip", "colums"),
        ("features", 2),
        ("features", 3, "trim"),
        ("features", 4, "impute", "columns"),
        ("features", 4, "impute", "strategy"),
        ("features", 5),
        ("features", 6, "one_hot", "columns"),
        ("features", 6, "one_hot", "min_count"),
    ]
    texts = [problem.message for problem in problems]
    assert "did you mean 'standardize'?" in texts[0] and all(name in texts[0] for name in STEPS)
    assert "'columns' is missing" in texts[1] and "got 'high'; allowed: " in texts[2]
    assert "did you mean 'columns'?" in texts[3] and "upper_quantile" in texts[3]
    assert "got 'mode'" in texts[7] and "most_frequent" in texts[7]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"clip": {"columns": "number"}}, "no bound given"),
        ({"clip": {"columns": "number", "lower": 2, "upper": 1}}, "lies above"),
        ({"clip": {"columns": "number", "lower": 2, "lower_quantile": 0.1}}, "exclude each other"),
        ({"impute": {"columns": "number", "strategy": "constant"}}, "value goes with"),
        ({"impute": {"columns": "number", "strategy": "mean", "value": 1}}, "value goes with"),
        ({"replace": {"columns": "text", "pattern": "(", "with": ""}}, "RE2"),
        ({"replace": {"columns": "text", "pattern": "a", "with": "$1"}}, "groups"),
        (
            {"map": {"columns": "text", "values": {"a": 1, "b": "x"}}},
            "all text, or all finite numbers",
        ),
        ({"bucketize": {"columns": "number"}}, "either edges or quantiles"),
        ({"bucketize": {"columns": "number", "edges": [2, 1]}}, "ascending"),
        ({"bucketize": {"columns": "number", "quantiles": 1}}, "from 2 up"),
        ({"ratio": {"columns": ["number"]}}, "at least 2"),
        ({"ratio": {"columns": ["number", "whole", "flag"]}}, "at most 2"),
        ({"cross": {"columns": ["text"], "buckets": 3}}, "at least 2"),
    ],
)
def test_parameters_that_do_not_go_together_are_told(raw: dict[str, Any], words: str) -> None:
    (problem,) = problems_of(raw)
    assert words in problem.message


def messages(*raw: dict[str, Any], excluded: tuple[str, ...] = ()) -> list[str]:
    return [problem.message for problem in check_steps(steps_of(*raw), FIELDS, excluded)]


def test_steps_that_fit_have_no_problem() -> None:
    assert (
        messages(
            {"impute": {"columns": "text", "strategy": "most_frequent"}},
            {"one_hot": {"columns": "text"}},
        )
        == []
    )


def test_unknown_columns_and_wrong_types_are_told_once() -> None:
    texts = messages(
        {"log1p": {"columns": ["numbr", "text"]}},
        {"standardize": {"columns": ["text", "flag"]}},
        {"impute": {"columns": "word", "strategy": "mean"}},
        {"cross": {"columns": ["word", "number"], "buckets": 4}},
        {"date_parts": {"columns": "whole"}},
    )
    assert len(texts) == 5
    assert "no column 'numbr'; did you mean 'number'?" in texts[0] and "whole, flag" in texts[0]
    assert texts[1] == "log1p: column 'text' is string; allowed: integer, float, bool"
    assert "'word' is text, which has no mean" in texts[2]
    assert "cross: column 'number' is double" in texts[3]
    assert "date_parts: column 'whole' is int64; allowed: timestamp, date" in texts[4]


def test_the_target_is_no_feature() -> None:
    (text,) = messages({"cross": {"columns": ["text", "word"], "buckets": 4}}, excluded=("word",))
    assert "'word' is the target" in text and "leak" in text


def test_text_left_over_is_told_unless_a_later_step_reads_it() -> None:
    filled = {"impute": {"columns": "text", "strategy": "most_frequent"}}
    cross = {"cross": {"columns": ["text", "word"], "buckets": 4}}
    (problem,) = check_steps(steps_of({"standardize": {"columns": "number"}}, filled), FIELDS)
    assert problem.path == ("features", 1, "impute", "columns")
    assert "'text' is still string" in problem.message and "one_hot" in problem.message
    assert messages(filled, cross) == []
    assert len(messages(cross, filled)) == 1


def test_an_encoded_column_cannot_be_encoded_or_scaled_again() -> None:
    one_hot = {"one_hot": {"columns": "text"}}
    assert (
        "already a vector" in messages(one_hot, {"hashing": {"columns": "text", "buckets": 4}})[0]
    )
    assert "already a vector" in messages(one_hot, {"standardize": {"columns": "text"}})[0]


def test_a_made_column_may_not_take_a_name_that_is_there() -> None:
    ratio = {"ratio": {"columns": ["number", "whole"]}}
    assert "'number_per_whole', which is there already" in messages(ratio, ratio)[0]


def test_problems_keep_their_place_in_the_file_when_other_steps_did_not_parse() -> None:
    steps, problems = parse_steps([{"oops": {}}, {"log1p": {"columns": "text"}}])
    assert len(problems) == 1
    assert check_steps(steps, FIELDS)[0].path == ("features", 1, "log1p", "columns")


def test_features_are_in_order_of_first_mention_and_untouched_ones_are_left_out() -> None:
    steps = steps_of(
        {"impute": {"columns": ["text", "number"], "strategy": "most_frequent", "indicator": True}},
        {"cross": {"columns": ["word", "text"], "buckets": 4}},
        {"standardize": {"columns": ["other", "number"]}},
        {"one_hot": {"columns": "text"}},
        {"date_parts": {"columns": "ts", "parts": ["hour"]}},
    )
    expected = [
        "text",
        "number",
        "text_missing",
        "number_missing",
        "word_x_text",
        "other",
        "ts_hour",
    ]
    assert feature_columns(steps, FIELDS) == expected


def test_embedding_indices_are_named_inputs_beside_the_matrix() -> None:
    batch = batch_of([{"text": "a", "number": 1.0}, {"text": None, "number": 3.0}])
    transforms = fitted(
        [{"embedding_index": {"columns": "text"}}, {"standardize": {"columns": "number"}}], batch
    )
    assert transforms.inputs().features == ("number",) and transforms.inputs().integers == {
        "text": IntegerInput(2)
    }
    tensors = transforms.tensors(batch)
    assert tensors["text"].tolist() == [1, 0] and tensors["features"].tolist() == [[-1.0], [1.0]]
    alone = fitted([{"embedding_index": {"columns": "text"}}], batch)
    assert list(alone.tensors(batch)) == ["text"]


def test_passes_are_as_few_as_the_columns_allow() -> None:
    steps = steps_of(
        {"impute": {"columns": "text", "strategy": "most_frequent"}},
        {"clip": {"columns": "number", "upper": 3}},
        {"standardize": {"columns": ["number", "whole"]}},
        {"one_hot": {"columns": "text"}},
        {"cross": {"columns": ["text", "word"], "buckets": 4}},
        {"ratio": {"columns": ["number", "whole"]}},
        {"robust": {"columns": "number_per_whole"}},
        {"min_max": {"columns": "other"}},
    )
    assert fit_passes(steps) == [[0, 2, 7], [3, 6]]
    assert fit_passes(steps[1:2]) == []


def test_batches_may_come_in_other_arrow_layouts() -> None:
    batch = column_batch("text", ["a", "b", None, "a"])
    transforms = fitted([{"one_hot": {"columns": "text"}}], batch)
    for type_ in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())):
        other = pa.RecordBatch.from_arrays([pa.array(["a", "b", None, "a"], type_)], ["text"])
        assert transforms.matrix(other).tolist() == transforms.matrix(batch).tolist()
    whole = fitted([{"one_hot": {"columns": "whole"}}], column_batch("whole", [1, 2]))
    assert whole.matrix(pa.record_batch({"whole": pa.array([2], pa.int8())})).tolist() == [
        [0.0, 1.0]
    ]


def test_absent_columns_and_values_that_do_not_fit_are_input_errors() -> None:
    transforms = fitted([{"standardize": {"columns": ["number", "whole"]}}], batch_of([]))
    with pytest.raises(InputError, match="column 'whole' is absent; columns there: number"):
        transforms.matrix(column_batch("number", [1.0]))
    with pytest.raises(InputError, match="column 'whole': got string"):
        transforms.matrix(pa.record_batch({"number": [1.0], "whole": ["x"]}))


def test_the_digest_is_that_of_the_fitted_state() -> None:
    raw = [{"standardize": {"columns": "number"}}]
    digests = [
        fitted(raw, column_batch("number", values)).digest()
        for values in ([1.0, 2.0], [1.0, 2.0], [1.0, 2.5])
    ]
    assert digests[0] == digests[1] != digests[2] and len(digests[0]) == 64


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value.update(format=99), "format 99"),
        (lambda value: value["steps"][0].update(version=99), "version 99"),
        (
            lambda value: value["steps"][0].update(step={"gone": {"columns": "number"}}),
            "unknown step 'gone'",
        ),
        (lambda value: value["steps"][0].update(state=None), "not fitted"),
        (lambda value: value["steps"][0].update(state={"other": {}}), "does not fit its step"),
        (lambda value: value["steps"][0].pop("state"), "does not fit its step"),
        (lambda value: value["steps"][0].update(state=[1]), "does not fit its step"),
        (lambda value: value.update(fields=[["number", "string"]]), "does not fit its step"),
        (lambda value: value.update(fields=[["number", "no_type"]]), "does not fit its step"),
    ],
)
def test_a_state_of_another_release_is_a_model_error(change: Any, words: str) -> None:
    value = fitted(
        [{"one_hot": {"columns": "whole"}}, {"log1p": {"columns": "number"}}], batch_of([])
    ).to_json()
    change(value)
    with pytest.raises(ModelError, match=words):
        TransformPipeline.from_json(value)


def test_partial_statistics_of_other_steps_are_not_merged() -> None:
    left, right = (
        {"rows": 0, "steps": {"0": {"step": {name: {"columns": ["a"]}}, "partial": {}}}}
        for name in ("robust", "min_max")
    )
    with pytest.raises(ValueError, match="different steps"):
        merge_pass([left, right])
    with pytest.raises(ValueError, match="no partial statistics"):
        merge_pass([])


def test_steps_and_types_travel_as_json() -> None:
    raw = [
        {"replace": {"columns": ["text"], "pattern": "a", "with": "b"}},
        {"clip": {"columns": ["number"], "upper": 0.1}},
    ]
    assert dump_steps(steps_of(*raw)) == raw
    fields = {
        **FIELDS,
        "price": pa.decimal128(10, 2),
        "local": pa.timestamp("ns"),
        "big": pa.large_string(),
    }
    assert load_fields(dump_fields(fields, list(fields))) == {**fields, "big": pa.string()}


def test_problems_survive_pickling() -> None:
    problem = pickle.loads(pickle.dumps(StepProblem(["one", "two"])))
    assert isinstance(problem, StepProblem) and problem.problems == ("one", "two")


def test_a_column_that_a_later_step_makes_is_told_as_that() -> None:
    late, maker = steps_of(
        {"ratio": {"columns": ["number_per_other", "whole"]}},
        {"ratio": {"columns": ["number", "other"]}},
    )
    (problem,) = check_steps([late, maker], dict(FIELDS))
    assert (
        "no column 'number_per_other' yet: step 2 (ratio) makes it, after this one"
        in problem.message
    )
    # Each of these would need the other's column; neither is there, and no step makes a column of
    # that name.
    ring = steps_of(
        {"ratio": {"columns": ["number", "b"]}}, {"ratio": {"columns": ["other", "number_per_b"]}}
    )
    messages = [problem.message for problem in check_steps(ring, dict(FIELDS))]
    assert len(messages) == 1 and "no column 'b'" in messages[0]


@pytest.mark.parametrize("known", [STEPS, STORED_STEPS, AFTER_STEPS])
def test_each_step_is_listed_by_its_own_name(known: Mapping[str, type[Item]]) -> None:
    assert [step.name for step in known.values()] == list(known)


@pytest.mark.parametrize(
    ("categories", "type_", "got"),
    [
        (["a", 1], pa.string(), "1"),
        (["a", "b\ud800"], pa.string(), r"'b\\ud800'"),
        ([1, "a"], pa.int64(), "'a'"),
        ([1, True], pa.int64(), "True"),
        ([1, 2**31], pa.int32(), "2147483648"),
        ([0, -1], pa.uint8(), "-1"),
        ([True, 1], pa.bool_(), "1"),
    ],
)
def test_a_category_that_is_no_value_of_its_type_is_refused(
    categories: list[Any], type_: pa.DataType, got: str
) -> None:
    """As Arrow refuses to make an array of them."""
    with pytest.raises((pa.ArrowException, UnicodeEncodeError, OverflowError)):
        pa.array(categories, type_)
    with pytest.raises(TypeError, match=f"got the category {got}; allowed: values of {type_}"):
        Lookup(categories, type_)


def test_the_least_and_the_greatest_value_of_a_type_are_categories() -> None:
    assert Lookup([-128, 127], pa.int8()).places(pa.array([127, -128])).tolist() == [1, 0]
