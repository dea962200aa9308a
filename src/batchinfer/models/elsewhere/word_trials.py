"""What stands for a missing value in a model's rows, found by asking the model, where its own state
does not tell.

Owns the trial: a row's value is taken away, and the model is asked with each word. Knows neither
the registry nor the landed table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from batchinfer.errors import ModelError, UnfitRows
from batchinfer.models.elsewhere.as_fitted import AsFitted
from batchinfer.models.elsewhere.missing_word import MissingWord
from batchinfer.models.formats.artifact import Classified

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

# Of a model that takes no row of nulls so many columns are tried one by one.
_MOST_COLUMNS = 300
_NAN, _NONE = MissingWord("nan"), MissingWord("none")


def find_words(
    handler: AsFitted, rows: pa.RecordBatch, met_nan: Collection[str] = ()
) -> dict[str, MissingWord]:
    """The word of each column of the model's frame in which pandas knows two, and of which the feed
    says nothing yet.

    None and NaN are both tried. Where the model says the same, or fails with both, NaN stands;
    where it takes one of them only, that one.

    Args:
        rows: a few rows that the model takes.
        met_nan: columns of which other evidence says that NaN came at fitting, and None did not.

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
        if name in met_nan:
            found[name] = _NAN
            continue
        gone = _gaps(rows, [name])
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


def find_required(handler: AsFitted, rows: pa.RecordBatch) -> list[str]:
    """The columns in which the model takes no missing value: it fails on the rows without theirs.

    Rows that lack one can then be named before the model is asked.

    Args:
        rows: a few rows that the model takes, without nulls.

    Runs on: driver.
    """
    fed = [name for feed in handler.params["feeds"] for name in feed.get("columns", ())]
    taken = [
        name
        for name in dict.fromkeys(fed)
        if not pa.types.is_list(rows.schema.field(name).type)
        and not pa.types.is_fixed_size_list(rows.schema.field(name).type)
    ]
    if not rows.num_rows or not taken or _takes_gaps(handler, rows, taken):
        return []
    return [name for name in taken[:_MOST_COLUMNS] if not _takes_gaps(handler, rows, [name])]


def _takes_gaps(handler: AsFitted, rows: pa.RecordBatch, names: Sequence[str]) -> bool:
    """True where the model takes rows that lack these values beside whole ones, or one alone."""
    gaps = _gaps(rows, names)
    return _takes(handler, gaps) or _takes(handler, gaps.slice(0, 1))


def _gaps(rows: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    """The rows, of which every other one, from the first on, has nothing in these columns."""
    lost = pa.array(np.arange(rows.num_rows) % 2 == 0)
    for name in names:
        place, field = rows.schema.get_field_index(name), rows.schema.field(name)
        nothing = pa.nulls(rows.num_rows, field.type)
        kept = pc.if_else(lost, nothing, rows.column(place))
        rows = rows.set_column(place, field.with_nullable(True), kept)
    return rows


def _takes(handler: AsFitted, rows: pa.RecordBatch) -> bool:
    try:
        handler.forward(handler.encode(rows))
    except UnfitRows:  # named by themselves already
        return True
    except Exception:  # noqa: BLE001 - a model that does not take nulls says so in its own way
        return False
    return True


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
