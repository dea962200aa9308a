"""What an estimator was fitted with: what stands for a missing value in each column, and whether it
takes raw texts. Found in its fitted state.

Owns the walk through pipelines, unions and column transformers. Asks the estimator for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from batchinfer.models.elsewhere.missing_word import MissingWord

_MOST_DEPTH = 20


def missing_words(estimator: Any, columns: Sequence[str]) -> dict[str, MissingWord]:
    """Of each column that the estimator was fitted on what stood for a missing value, where its
    fitted state tells: the categories of an encoder, the `missing_values` of an imputer.

    A column that two steps tell different words of is left out.
    """
    found: dict[str, MissingWord | None] = {}
    for column, word in _walk(estimator, {name: name for name in columns}, 0):
        found[column] = word if found.get(column, word) == word else None
    return {column: word for column, word in found.items() if word is not None}


def _walk(
    estimator: Any, columns: Mapping[Any, str], depth: int
) -> Iterator[tuple[str, MissingWord]]:
    """Words by column.

    Args:
        columns: of the columns that the estimator is handed, by its own name or place for each, the
            landed column that it is.
    """
    if depth > _MOST_DEPTH or estimator is None or isinstance(estimator, str):
        return
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list):
        for _, step in steps:
            yield from _walk(step, columns, depth + 1)
            if not _keeps_columns(step):
                return
        return
    transformers = getattr(estimator, "transformers_", None)
    if isinstance(transformers, list):
        for _, part, chosen in transformers:
            yield from _walk(part, _chosen(columns, chosen), depth + 1)
        return
    union = getattr(estimator, "transformer_list", None)
    if isinstance(union, list):
        for _, part in union:
            yield from _walk(part, columns, depth + 1)
        return
    yield from _told(estimator, list(columns.values()))


def _chosen(columns: Mapping[Any, str], chosen: Any) -> dict[Any, str]:
    """The columns that a column transformer hands to one of its parts: named, numbered, sliced or
    masked.
    """
    names = list(columns)
    if isinstance(chosen, slice):
        picked = _sliced(names, chosen)
    else:
        one_by_one = [chosen] if isinstance(chosen, str | int) else list(chosen)
        if one_by_one and all(isinstance(one, bool | np.bool_) for one in one_by_one):
            picked = [name for name, taken in zip(names, one_by_one, strict=False) if taken]
        else:
            picked = [
                one if isinstance(one, str) else names[int(one)]
                for one in one_by_one
                if isinstance(one, str) or -len(names) <= int(one) < len(names)
            ]
    return {name: columns[name] for name in picked if name in columns}


def _sliced(names: Sequence[str], chosen: slice) -> Sequence[str]:
    """By places, or by names of which the last one is included."""
    first, last = chosen.start, chosen.stop
    if not (isinstance(first, str) or isinstance(last, str)):
        return names[chosen]
    if (first or names[0]) not in names or (last or names[-1]) not in names:
        return []
    return names[names.index(first) if first else 0 : names.index(last) + 1 if last else None]


def _keeps_columns(step: Any) -> bool:
    """True for steps that leave missing values and the order of columns as they are: what comes
    after them still meets the landed words.
    """
    if step is None or step == "passthrough":
        return True
    return type(step).__name__ in ("StandardScaler", "MinMaxScaler", "RobustScaler", "MaxAbsScaler")


def _told(step: Any, columns: Sequence[str]) -> Iterator[tuple[str, MissingWord]]:
    if hasattr(step, "statistics_") and hasattr(step, "missing_values"):
        word = _word(step.missing_values)
        if word is not None:
            for column in columns:
                yield column, word
        return
    categories = getattr(step, "categories_", None)
    if not isinstance(categories, list) or len(categories) != len(columns):
        return
    for column, values in zip(columns, categories, strict=True):
        words = [word for value in values if (word := _word(value, only_missing=True)) is not None]
        # With both in it, either was a word for missing: nothing tells which one a null is.
        if len(words) == 1:
            yield column, words[0]
        elif not words and any(isinstance(value, str) and value == "" for value in values):
            yield column, MissingWord("value", "")


def _word(value: Any, only_missing: bool = False) -> MissingWord | None:
    """The word that a value is; None where it is no plain value, or (`only_missing`) stands for
    itself.
    """
    if value is None:
        return MissingWord("none")
    if isinstance(value, float) and math.isnan(value):
        return MissingWord("nan")
    if only_missing:
        return None
    plain: Any = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool) or not isinstance(plain, str | int | float):
        return None
    return MissingWord("value", plain)


def takes_texts(estimator: Any) -> bool:
    """True for an estimator whose first step takes raw texts: a vectorizer of scikit-learn."""
    for _ in range(_MOST_DEPTH):
        steps = getattr(estimator, "steps", None) or getattr(estimator, "transformer_list", None)
        if isinstance(steps, list) and steps:
            estimator = next(
                (step for _, step in steps if step is not None and step != "passthrough"), None
            )
            continue
        # A search, a calibration or a threshold hands its rows to the estimator inside.
        inner = getattr(estimator, "best_estimator_", getattr(estimator, "estimator", None))
        if inner is None:
            break
        estimator = inner
    return hasattr(estimator, "build_analyzer") and hasattr(estimator, "decode_error")
