"""Steps and data that the tests of the transforms share: every registered step stands here at least
once.
"""

from __future__ import annotations

import datetime as dt
import io
from functools import cache
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st
from PIL import Image

from batchinfer.contracts import Problem
from batchinfer.transforms import ROW_HASH, TARGET, RowStep, TransformPipeline, fit, parse_steps

FIELDS: dict[str, pa.DataType] = {
    "number": pa.float64(),
    "other": pa.float64(),
    "whole": pa.int64(),
    "flag": pa.bool_(),
    "text": pa.string(),
    "word": pa.string(),
    "ts": pa.timestamp("us", tz="UTC"),
    "day": pa.date32(),
    "picture": pa.binary(),
    TARGET: pa.float64(),
    ROW_HASH: pa.uint64(),
}

CASES: list[list[dict[str, Any]]] = [
    [
        {"trim": {"columns": "text"}},
        {"lower": {"columns": "text"}},
        {"one_hot": {"columns": "text"}},
    ],
    [
        {"replace": {"columns": "text", "pattern": "a+", "with": "b"}},
        {"hashing": {"columns": "text", "buckets": 7}},
    ],
    [
        {"map": {"columns": "text", "values": {"a": "b", "": "empty"}}},
        {"ordinal": {"columns": "text"}},
    ],
    [{"map": {"columns": ["text", "word"], "values": {"a": 1.5, "b": -2}, "default": 9}}],
    [
        {"map": {"columns": "whole", "values": {1: 10, 2: 20}}},
        {"map": {"columns": "flag", "values": {True: 5}}},
    ],
    [
        {"cast": {"columns": "text", "type": "double"}},
        {"cast": {"columns": "number", "type": "int"}},
    ],
    [
        {"cast": {"columns": ["whole", "flag", "number"], "type": "string"}},
        {"frequency": {"columns": ["whole", "flag", "number"]}},
    ],
    [{"cast": {"columns": ["text", "number", "whole"], "type": "boolean"}}],
    [{"impute": {"columns": ["number", "whole"], "strategy": "mean", "indicator": True}}],
    [{"impute": {"columns": ["number", "whole", "flag"], "strategy": "median"}}],
    [
        {
            "impute": {
                "columns": ["number", "whole", "flag", "text", "word"],
                "strategy": "most_frequent",
                "indicator": True,
            }
        },
        {"one_hot": {"columns": ["text", "word", "whole"], "max_categories": 2}},
    ],
    [
        {"impute": {"columns": "text", "strategy": "constant", "value": "none"}},
        {"impute": {"columns": "whole", "strategy": "constant", "value": 3}},
        {"embedding_index": {"columns": ["text", "whole"]}},
    ],
    [{"standardize": {"columns": ["number", "whole", "flag"]}}],
    [{"min_max": {"columns": ["number", "whole"]}}],
    [{"robust": {"columns": ["number", "whole"]}}],
    [
        {"clip": {"columns": ["number", "whole"], "lower": -1, "upper_quantile": 0.8}},
        {"log1p": {"columns": "number"}},
    ],
    [{"one_hot": {"columns": ["text", "whole", "flag"], "min_count": 2}}],
    [{"ordinal": {"columns": ["text", "whole", "flag"]}}],
    [{"hashing": {"columns": ["text", "whole", "flag"], "buckets": 16}}],
    [{"frequency": {"columns": ["text", "whole"]}}],
    [
        {"one_hot": {"columns": "text"}},
        {"cross": {"columns": ["text", "word", "whole"], "buckets": 11}},
    ],
    [{"polynomial": {"columns": ["number", "whole"], "degree": 3}}],
    [{"ratio": {"columns": ["number", "whole"]}}],
    [{"bucketize": {"columns": "number", "edges": [-1, 0, 5]}}, {"one_hot": {"columns": "number"}}],
    [{"bucketize": {"columns": ["number", "whole"], "quantiles": 4}}],
    [{"yeo_johnson": {"columns": ["number", "whole"]}}],
    [{"tokenize": {"columns": ["text", "word"], "vocabulary_size": 4, "max_tokens": 2}}],
    [
        {"tfidf": {"columns": "text", "max_features": 3}},
        {"tfidf": {"columns": "word", "ngrams": 2}},
    ],
    [{"date_parts": {"columns": ["ts", "day"]}}],
    [
        {
            "date_parts": {
                "columns": "ts",
                "parts": ["year", "quarter", "day_of_year", "hour", "minute", "second"],
                "cyclic": True,
            }
        }
    ],
    [
        {"target_encode": {"columns": ["text", "whole", "flag"]}},
        {"standardize": {"columns": "text"}},
    ],
    [{"target_encode": {"columns": ["text", "word"], "smoothing": 2.5, "folds": 3}}],
    [{"image": {"columns": "picture", "size": [2, 3], "mean": 0.5, "std": [0.2, 0.3, 0.4]}}],
    [
        {"one_hot": {"columns": "text"}},
        {"select": {"columns": ["text", "number", "whole"], "method": "variance", "k": 3}},
    ],
    [{"select": {"columns": ["number", "whole", "flag"], "method": "variance"}}],
    [
        {"standardize": {"columns": ["number", "other"]}},
        {"one_hot": {"columns": "text"}},
        {"keep": {"columns": ["whole", "number", "flag", "text"]}},
    ],
    [
        {"hashing": {"columns": "text", "buckets": 5}},
        {"impute": {"columns": "flag", "strategy": "most_frequent"}},
        {"select": {"columns": ["text", "flag"], "method": "chi2", "k": 2}},
    ],
    [
        {"hashing": {"columns": "text", "buckets": 5}},
        {"select": {"columns": ["text", "whole"], "method": "mutual_information", "k": 2}},
    ],
    [
        {"one_hot": {"columns": ["text", "word"]}},
        {"select": {"columns": ["text", "number"], "method": "names"}},
    ],
]


@cache
def picture(mode: str = "RGB", size: tuple[int, int] = (4, 3), kind: str = "PNG") -> bytes:
    """A small picture, encoded."""
    data = io.BytesIO()
    Image.effect_noise(size, 50).convert(mode).save(data, kind)
    return data.getvalue()


TEXTS = st.sampled_from(
    ["a", "b", "", " A ", "aab", "1", "2.5", "-3", "1e400", "true", "é", "cat, the cat", "the dog"]
)
TIMES = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))


def rows(
    min_size: int = 0, max_size: int = 30, infinite: bool = True, several: bool = False
) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows of the columns above, with nulls everywhere and NaN, and infinities where wanted, among
    the numbers.
    """
    special = st.sampled_from(
        [0.0, 1.0, float("nan"), *([float("inf"), -float("inf")] if infinite else [])]
    )
    number = st.floats(-1e6, 1e6) | special
    row = {
        "number": number,
        "other": number,
        "whole": st.integers(-5, 5) | st.sampled_from([2**40, -(2**53)]),
        "flag": st.booleans(),
        "text": TEXTS,
        "word": TEXTS,
        "ts": TIMES,
        "day": TIMES.map(lambda time: time.date()),
        "picture": st.sampled_from(["RGB", "L", "P"]).map(picture),
        TARGET: st.sampled_from([0.0, 1.0, 2.5]) if several else st.sampled_from([0.0, 1.0]),
    }
    hashes = st.integers(0, 2**64 - 1)
    return st.lists(
        st.fixed_dictionaries(
            {name: st.none() | values for name, values in row.items()} | {ROW_HASH: hashes}
        ),
        min_size=min_size,
        max_size=max_size,
    )


def batch_of(data: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(data, schema=pa.schema(list(FIELDS.items())))


def column_batch(name: str, values: list[Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, FIELDS[name])], [name])


def steps_of(*raw: dict[str, Any]) -> list[RowStep]:
    steps, problems = parse_steps(raw)
    assert problems == []
    return steps


def problems_of(*raw: Any) -> list[Problem]:
    return parse_steps(raw)[1]


def fitted(raw: list[dict[str, Any]], *batches: pa.RecordBatch) -> TransformPipeline:
    return fit(steps_of(*raw), FIELDS, lambda: list(batches))


def applied(
    raw: dict[str, Any], name: str, values: list[Any], fit_on: list[Any] | None = None
) -> list[Any]:
    """Values of a column after one step that was fitted on `fit_on`, or on the values
    themselves.
    """
    transforms = fitted([raw], column_batch(name, values if fit_on is None else fit_on))
    return transforms.apply(column_batch(name, values))[name].to_pylist()
