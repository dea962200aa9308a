"""What stands for a missing value in a model's rows, found by asking the model, where its own state
does not tell.

Owns the trial: a row's value is taken away, and the model is asked with each word. Knows neither
the registry nor the landed table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer.errors import ModelError
from batchinfer.models.elsewhere.as_fitted import AsFitted
from batchinfer.models.elsewhere.missing_word import MissingWord
from batchinfer.models.formats.artifact import Classified

_NAN, _NONE = MissingWord("nan"), MissingWord("none")


def find_words(handler: AsFitted, rows: pa.RecordBatch) -> dict[str, MissingWord]:
    """The word of each column of the model's frame in which pandas knows two, and of which the feed
    says nothing yet.

    None and NaN are both tried. Where the model says the same, or fails with both, NaN stands;
    where it takes one of them only, that one.

    Args:
        rows: a few rows that the model takes.

    Runs on: driver.

    Raises:
        ModelError: the model says one thing of None and another of NaN, in whatever column.
    """
    feed = next((one for one in handler.params["feeds"] if one["type"] == "frame"), None)
    if feed is None or not rows.num_rows:
        return {}
    found: dict[str, MissingWord] = {}
    asked: list[str] = []
    for name in feed["columns"]:
        type_ = rows.schema.field(name).type
        told = name in feed.get("words", {}) or name in feed.get("texts", ())
        if told or not _has_two_words(type_):
            continue
        gone = rows.set_column(
            rows.schema.get_field_index(name), name, pa.nulls(rows.num_rows, type_)
        )
        answers = {word: _answer(handler, feed, name, word, gone) for word in (_NAN, _NONE)}
        known = [word for word, answer in answers.items() if answer is not None]
        if len(known) == 2 and not _same(answers[_NAN], answers[_NONE]):
            asked.append(name)
        found[name] = known[0] if len(known) == 1 else _NAN
    if asked:
        raise ModelError(
            [
                f"column {name}: the model says one thing of a row where it is None and another "
                "where it is NaN, and nothing in the model tells which it was fitted with"
                for name in asked
            ],
            "say what stood for a missing value in the rows that it was fitted on: "
            + " ".join(f"--missing {name}=none" for name in asked)
            + " (pandas.read_parquet gives None, pandas.read_csv NaN: =nan; any other text is that "
            "word)",
        )
    return found


def _has_two_words(type_: pa.DataType) -> bool:
    """True for columns that pandas keeps as objects where a value is missing."""
    types = pa.types
    return (
        types.is_string(type_)
        or types.is_large_string(type_)
        or types.is_boolean(type_)
        or types.is_binary(type_)
        or types.is_decimal(type_)
    )


def _answer(
    handler: AsFitted, feed: Mapping[str, Any], name: str, word: MissingWord, rows: pa.RecordBatch
) -> Any:
    """What the model says of the rows; None where it fails."""
    words = feed.get("words", {}) | {name: word.to_json()}
    feeds = [
        one if one is not feed else {**feed, "words": words} for one in handler.params["feeds"]
    ]
    trial = AsFitted(handler.module, handler.transforms, {"feeds": feeds}, handler.columns)
    try:
        return trial.forward(trial.encode(rows))
    except Exception:  # noqa: BLE001 - a model that does not take this word says so in its own way
        return None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Classified):
        scores = one.scores is None or np.array_equal(one.scores, other.scores, equal_nan=True)
        return scores and one.labels.tolist() == other.labels.tolist()
    if hasattr(one, "columns"):
        return bool(one.equals(other))
    return np.array_equal(
        np.asarray(one, np.float64), np.asarray(other, np.float64), equal_nan=True
    )
