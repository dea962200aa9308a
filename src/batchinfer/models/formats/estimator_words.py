"""What an estimator was fitted with: what stands for a missing value in each column, and whether it
takes raw texts. Found in its fitted state.

Owns the walk through pipelines, unions and column transformers. Asks the estimator for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from batchinfer.models.elsewhere.missing_word import MissingWord

_MOST_DEPTH = 20


@dataclass(frozen=True)
class _Met:
    """A step, and what it meets.

    Attributes:
        columns: the landed columns that it is handed, in its own order.
        filled: of those in which an imputer before it has put something in place of NaN, what;
            `_GUESSED` where it took it from the rows. None is no NaN to an imputer: it passes.
    """

    step: Any
    columns: Sequence[str]
    filled: Mapping[str, Any]


_GUESSED = object()


def missing_words(estimator: Any, columns: Sequence[str]) -> dict[str, MissingWord]:
    """Of each column that the estimator was fitted on what stood for a missing value, where its
    fitted state tells: the categories of an encoder, the `missing_values` of an imputer.

    A column that two steps tell different words of is left out.
    """
    found: dict[str, MissingWord | None] = {}
    for met in _steps(estimator, columns):
        for column, word in _told(met):
            found[column] = word if found.get(column, word) == word else None
    return {column: word for column, word in found.items() if word is not None}


def category_texts(estimator: Any, columns: Sequence[str]) -> dict[str, set[str]]:
    """The texts among the categories that encoders know of each column."""
    found: dict[str, set[str]] = {}
    for met in _steps(estimator, columns):
        for column, values in _categories(met):
            found.setdefault(column, set()).update(one for one in values if isinstance(one, str))
    return found


def nan_fills(estimator: Any, columns: Sequence[str]) -> dict[str, str]:
    """Of a column the text that an imputer puts in place of NaN, where an encoder behind it knows
    that text, and no None: NaN came, or the rows had that text of their own.
    """
    found: dict[str, str] = {}
    for met in _steps(estimator, columns):
        for column, values in _categories(met):
            fill = met.filled.get(column)
            if isinstance(fill, str) and fill in values and None not in values:
                found[column] = fill
    return found


def _steps(estimator: Any, columns: Sequence[str]) -> Iterator[_Met]:
    """The steps that meet the columns that the estimator was fitted on."""
    return _walk(estimator, {name: name for name in columns}, {}, 0)


def _walk(
    estimator: Any, columns: Mapping[Any, str], filled: Mapping[str, Any], depth: int
) -> Iterator[_Met]:
    """The steps that meet landed columns, as far as these can be followed.

    Args:
        columns: of the columns that the estimator is handed, by its own name or place for each, the
            landed column that it is.
    """
    if depth > _MOST_DEPTH or estimator is None or isinstance(estimator, str):
        return
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list):
        for _, step in steps:
            yield from _walk(step, columns, filled, depth + 1)
            if not _keeps_columns(step, len(columns)):
                return
            filled = {**filled, **_fills(step, list(columns.values()))}
        return
    transformers = getattr(estimator, "transformers_", None)
    if isinstance(transformers, list):
        for _, part, chosen in transformers:
            yield from _walk(part, _chosen(columns, chosen), filled, depth + 1)
        return
    union = getattr(estimator, "transformer_list", None)
    if isinstance(union, list):
        for _, part in union:
            yield from _walk(part, columns, filled, depth + 1)
        return
    yield _Met(estimator, list(columns.values()), filled)


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


def _keeps_columns(step: Any, width: int) -> bool:
    """True for steps that leave the order of columns as it is, and None where it stands: what comes
    after them still meets the landed words.
    """
    if step is None or step == "passthrough":
        return True
    if _is_imputer(step):
        lost = [one for one in step.statistics_ if isinstance(one, float) and math.isnan(one)]
        return (
            not getattr(step, "add_indicator", False)
            and len(step.statistics_) == width
            and not lost
        )
    return type(step).__name__ in ("StandardScaler", "MinMaxScaler", "RobustScaler", "MaxAbsScaler")


def _is_imputer(step: Any) -> bool:
    return hasattr(step, "statistics_") and hasattr(step, "missing_values")


def _fills(step: Any, columns: Sequence[str]) -> dict[str, Any]:
    """What stands behind an imputer of NaN in its place, by column."""
    if not _is_imputer(step) or _word(step.missing_values) != MissingWord("nan"):
        return {}
    is_known = getattr(step, "strategy", None) == "constant"
    values = step.statistics_ if is_known else [_GUESSED] * len(columns)
    return dict(zip(columns, values, strict=False))


def _told(met: _Met) -> Iterator[tuple[str, MissingWord]]:
    if _is_imputer(met.step):
        word = _word(met.step.missing_values)
        # NaN is what an imputer looks for where nobody said anything: it proves nothing of texts.
        if word is not None and word.kind != "nan":
            for column in met.columns:
                yield column, word
        return
    for column, values in _categories(met):
        words = [word for value in values if (word := _word(value, only_missing=True)) is not None]
        # With both in it, either was a word for missing: nothing tells which one a null is.
        if len(words) == 1:
            yield column, words[0]
        elif not words and column not in met.filled and "" in values:
            yield column, MissingWord("value", "")


def _categories(met: _Met) -> Iterator[tuple[str, list[Any]]]:
    categories = getattr(met.step, "categories_", None)
    if isinstance(categories, list) and len(categories) == len(met.columns):
        for column, values in zip(met.columns, categories, strict=True):
            yield column, list(values)


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
