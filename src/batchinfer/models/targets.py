"""Targets: what is learnt, read from a column as numbers.

Owns the meaning of `positive` and `positive_pattern`, the choice between two classes, several
classes and regression, and the names of the classes. Knows nothing of networks. A row without a
target is NaN here; training leaves it out and counts it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from batchinfer.config.pipeline import Target
from batchinfer.errors import ConfigError, InputError
from batchinfer.models.parameters import MODELS, Task

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

POSITIVE = "positive"
OTHER = "other"
MAX_CLASSES = 10_000
# RE2's own, which Python's re words in the same way; what RE2 lacks (lookahead, backreferences) is
# not for Arrow.
_RE2_LACKS = re.compile(r"\(\?[=!<]|\\[1-9]")


def task_of(target: Target, type_: pa.DataType, model: Any) -> Task:
    """What a model is to learn from a column: `positive`… means two classes; without it, text and
    an explicit classifier mean several classes, and a number means regression.

    Runs on: driver.

    Raises:
        ConfigError: the model cannot learn that, or the column is neither text nor a number.
    """
    allowed = (
        MODELS[model].tasks if isinstance(model, str) else ("binary", "multiclass", "regression")
    )
    discrete = pa.types.is_integer(type_) or pa.types.is_boolean(type_)
    if target.positive or target.positive_pattern:
        task: Task = "binary"
    elif (
        _is_text(type_) or (discrete and "regression" not in allowed) or pa.types.is_boolean(type_)
    ):
        task = "multiclass"
    elif discrete or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        task = "regression"
    else:
        raise ConfigError(
            f"train.target.column {target.column}: got {type_}; allowed: text, boolean or a number"
        )
    if task not in allowed:
        fitting = ", ".join(name for name, known in MODELS.items() if task in known.tasks)
        raise ConfigError(
            f"got {model}, but target {target.column} ({type_}) asks for {task}; "
            f"allowed: {fitting}",
            "train.target.positive or positive_pattern makes two classes; train.model "
            "mlp_regressor learns a number",
        )
    return task


def target_array(column: pa.Array, target: Target) -> np.ndarray:
    """Target of two classes or of a regression, (rows,) float64: 1 or 0, or the number; NaN where
    the column is null.

    With both `positive` and `positive_pattern`, a value is positive if either says so.
    Runs on: driver and executor.

    Raises:
        ConfigError: the pattern is no regular expression, or the column is not text where a pattern
            is given.
    """
    if not (target.positive or target.positive_pattern):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    masks = []
    if target.positive:
        masks.append(pc.is_in(_as_text(column), value_set=pa.array(target.positive, pa.string())))
    if target.positive_pattern:
        masks.append(
            pc.fill_null(_matches(_as_text(column), target.positive_pattern), fill_value=False)
        )
    positive = masks[0] if len(masks) == 1 else pc.or_(*masks)
    values = positive.to_numpy(zero_copy_only=False).astype(np.float64)
    values[column.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return values


def label_array(column: pa.Array, target: Target, task: Task) -> pa.Array:
    """The target as steps that are fitted on it take it: the class as text where there are several,
    else `target_array`.

    Runs on: executor.
    """
    return _as_text(column) if task == "multiclass" else pa.array(target_array(column, target))


def positive_label(target: Target) -> str:
    """Label of the positive class: the first of `positive`, else `positive`.

    Runs on: driver.
    """
    return target.positive[0] if target.positive else POSITIVE


class Classes:
    """Codes for the values of a column, in order of appearance; their sorted order is known only at
    the end.

    Attributes:
        labels: the distinct values as text, in order of appearance.
    """

    def __init__(self, column: str) -> None:
        self.column = column
        self.labels: list[str] = []
        self._codes: dict[str, int] = {}
        self._counts = np.zeros(0, dtype=np.int64)

    def codes(self, column: pa.Array) -> np.ndarray:
        """(rows,) float64 codes, NaN where the column is null.

        Raises:
            InputError: more than 10,000 distinct values, which is no set of classes.
        """
        encoded = _as_text(column).dictionary_encode()
        table = np.empty(len(encoded.dictionary) + 1, dtype=np.float64)
        for place, label in enumerate(encoded.dictionary.to_pylist()):
            table[place] = self._codes.setdefault(label, len(self._codes))
        table[-1] = np.nan
        self.labels = list(self._codes)
        if len(self.labels) > MAX_CLASSES:
            raise InputError(
                f"train.target.column {self.column}: got more than {MAX_CLASSES} distinct values; "
                "allowed: fewer classes"
            )
        codes = table[encoded.indices.fill_null(len(table) - 1).to_numpy(zero_copy_only=False)]
        counts = np.bincount(codes[~np.isnan(codes)].astype(np.int64), minlength=len(self.labels))
        counts[: len(self._counts)] += self._counts
        self._counts = counts
        return codes

    def order(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Sorted labels, the place among them of each code, and the rows of each label, both
        (classes,) int64.

        The labels do not depend on the order in which the rows came.
        """
        places = sorted(range(len(self.labels)), key=lambda code: _numbers_first(self.labels[code]))
        return [self.labels[code] for code in places], np.argsort(places), self._counts[places]


def _numbers_first(label: str) -> tuple[int, float, str]:
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label


def check_classes(column: str, labels: Sequence[str], counts: np.ndarray) -> None:
    """Refuses a target of which the labelled rows hold only one class.

    Runs on: driver.

    Raises:
        InputError: fewer than two classes have rows.
    """
    found = [
        f"{label} ({int(count)} rows)" for label, count in zip(labels, counts, strict=True) if count
    ]
    if len(found) < 2:
        raise InputError(
            f"train.target.column {column}: got one class only: {', '.join(found)}; allowed: at "
            "least two"
        )


def _is_text(type_: pa.DataType) -> bool:
    value = type_.value_type if isinstance(type_, pa.DictionaryType) else type_
    return (
        pa.types.is_string(value)
        or pa.types.is_large_string(value)
        or pa.types.is_string_view(value)
    )


def _as_text(column: pa.Array) -> pa.Array:
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def _matches(text: pa.Array, pattern: str) -> Any:
    """Mask of the values in which the pattern is found; null for null."""
    try:
        compiled = re.compile(pattern)
        if _RE2_LACKS.search(pattern):
            return pa.array(
                [
                    None if value is None else bool(compiled.search(value))
                    for value in text.to_pylist()
                ],
                pa.bool_(),
            )
        return pc.match_substring_regex(text, pattern)
    except (re.error, pa.ArrowInvalid) as error:
        raise ConfigError(
            f"train.target.positive_pattern: got {pattern!r}: {error}; allowed: a regular "
            "expression"
        ) from error
