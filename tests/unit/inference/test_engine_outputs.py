"""What a model gives: the declared columns and types, or an error that says what it gave."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fake_handlers import Doubling, stream_of

from batchinfer.errors import InputError, ModelError
from batchinfer.inference.engine import BatchScorer


class Deciding(Doubling):
    def __init__(self, columns: Any, output: dict[str, str] | None = None) -> None:
        super().__init__()
        self.columns = columns
        self.output = output or self.output

    def decode(self, output: Any) -> dict[str, pa.Array]:
        return self.columns(output) if callable(self.columns) else self.columns


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"score": pa.array([1.0, 2.0])}, "gave no column 'label'"),
        (
            {"score": pa.array([1.0, 2.0]), "label": pa.array(["a"])},
            "1 values of 'label' for 2 rows",
        ),
        (
            {"score": pa.array([1.0, 2.0]), "label": pa.array([1, 2])},
            "gave int64 for the column 'label'; .* declares string",
        ),
        (
            {"score": pa.array(["1", "2"]), "label": pa.array(["a", "b"])},
            "gave string for the column 'score'; .* declares double",
        ),
        (
            {"score": np.zeros(2), "label": pa.array(["a", "b"])},
            "type ndarray for the column 'score'; allowed: a pyarrow.Array",
        ),
        (
            {"score": pa.nulls(2), "label": pa.nulls(2), "x": pa.nulls(2)},
            "the column 'x', which the handler's output does not",
        ),
        (None, "decode gave an object of type NoneType"),
    ],
)
def test_a_model_that_gives_what_it_did_not_declare_ends_the_run(
    columns: Any, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        list(BatchScorer(Deciding(columns)).score(stream_of([1, 2], [])))


def test_outputs_get_the_declared_types() -> None:
    ddl = {
        "score": "double",
        "label": "string",
        "best": "array<struct<item: string, score: double>>",
        "scores": "map<string,double>",
        "rank": "int",
        "vector": "array<double>",
    }
    given_ = {
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(4, dtype=np.float32)), 2),
        "score": pa.chunked_array([pa.array([0.5], pa.float32()), pa.array([None], pa.float32())]),
        "label": pa.array(["a", "b"]).dictionary_encode(),
        "best": pa.array(
            [[{"item": "x", "score": 1.0}], []],
            pa.large_list(pa.struct([("item", pa.string()), ("score", pa.float32())])),
        ),
        "scores": pa.array([[("a", 1.0)], []], pa.map_(pa.string(), pa.float32())),
        "rank": pa.array([1, 2], pa.int64()),
    }
    (scored,) = BatchScorer(Deciding(given_, ddl)).score(stream_of([1, 2], []))
    assert list(scored.predictions) == list(ddl)
    found = {name: str(array.type) for name, array in scored.predictions.items()}
    assert found["score"] == "double"
    assert found["rank"] == "int32"
    assert found["label"] == "string"
    assert scored.predictions["best"].type == pa.list_(
        pa.struct([("item", pa.string()), ("score", pa.float64())])
    )
    assert scored.predictions["scores"].to_pylist() == [[("a", 1.0)], []]
    assert scored.predictions["vector"].to_pylist() == [[0.0, 1.0], [2.0, 3.0]]


@pytest.mark.parametrize(
    ("ddl", "values"),
    [
        ("array<double>", [[1.0], None, [], [2.0, math.nan]]),
        ("map<string,double>", [[("a", 1.0)], None, [], [("a", math.inf), ("b", 1.0)]]),
        (
            "array<struct<item: string, score: double>>",
            [[{"item": "a", "score": 1.0}], None, [], [{"item": "b", "score": math.nan}]],
        ),
        (
            "struct<a: double, b: int>",
            [{"a": 1.0, "b": 1}, None, {"a": None, "b": 2}, {"a": -math.inf, "b": 1}],
        ),
    ],
)
def test_not_finite_is_found_inside_nested_outputs(ddl: str, values: list[Any]) -> None:
    from batchinfer.config.types import parse_ddl

    columns = {"score": pa.array(values, parse_ddl(ddl))}
    (scored,) = BatchScorer(Deciding(columns, {"score": ddl})).score(stream_of([1, 2, 3, 4], []))
    assert scored.predictions["score"].to_pylist() == values[:3]
    assert [(record.source_line, record.reason) for record in scored.failed] == [(4, "not_finite")]
    assert "the model gave score = " in scored.failed[0].message


def test_a_value_that_the_type_cannot_hold_fails_its_row() -> None:
    def columns(x: np.ndarray) -> dict[str, pa.Array]:
        return {"score": pa.array(np.where(x == 2, 0.5, x.astype(float)))}

    (scored,) = BatchScorer(Deciding(columns, {"score": "int"})).score(stream_of([1, 2, 3], []))
    assert scored.predictions["score"].to_pylist() == [1, 3]
    assert [(record.source_line, record.reason) for record in scored.failed] == [
        (2, "decode_error")
    ]


def test_a_batch_of_failures_only_still_has_its_columns() -> None:
    (scored,) = BatchScorer(Doubling([1])).score(stream_of([1, 1], []))
    assert scored.rows.num_rows == 0
    assert {name: array.type for name, array in scored.predictions.items()} == {
        "score": pa.float64(),
        "label": pa.string(),
    }


def test_says_what_is_missing() -> None:
    with pytest.raises(InputError, match="none called y"):
        list(BatchScorer(Doubling(), columns_for_fingerprint=["y"]).score(stream_of([1], [])))
    with pytest.raises(ModelError, match=r"Deciding.output\['score'\]: .*flaot"):
        BatchScorer(Deciding({}, {"score": "flaot"}))
