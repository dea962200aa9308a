"""Targets: what is learnt, read from a column as numbers.

Owns the meaning of `positive` and `positive_pattern`, the choice between two classes, several
classes and regression, and the names of the classes. Knows nothing of networks. A row without a
target is NaN here; training leaves it out and counts it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from batchinfer.config.pipeline import Target
from batchinfer.config.suggestions import listed
from batchinfer.errors import ConfigError, InputError
from batchinfer.models.class_names import NUMBER_SPELLING, number_of, same_class, truth_of
from batchinfer.models.parameters import Task, is_text

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

MAX_CLASSES = 10_000
# Values that a sentence tells.
MOST_NAMES = 10
# RE2's own, which Python's re words in the same way; what RE2 lacks (lookahead, backreferences) is
# not for Arrow.
_SPELLING = f"^({NUMBER_SPELLING}|[Tt]rue|TRUE|[Ff]alse|FALSE)$"
_RE2_LACKS = re.compile(r"\(\?[=!<]|\\[1-9]")


def target_array(column: pa.Array, target: Target) -> np.ndarray:
    """Target of two classes or of a regression, (rows,) float64: 1 or 0, or the number; NaN where
    the column is null or not a number.

    With both `positive` and `positive_pattern`, a value is positive if either says so. Those of
    `positive` are matched by value, as `class_names.same_class` has it.
    Runs on: driver and executor.

    Raises:
        ConfigError: the pattern is no regular expression, or the column is not text where a pattern
            is given.
    """
    if not (target.positive or target.positive_pattern):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    masks = []
    if target.positive:
        masks.append(_named(_plain(column), target.positive))
    if target.positive_pattern:
        masks.append(
            pc.fill_null(_matches(_as_text(column), target.positive_pattern), fill_value=False)
        )
    positive = masks[0] if len(masks) == 1 else pc.or_(*masks)
    values = positive.to_numpy(zero_copy_only=False).astype(np.float64)
    values[is_missing(column)] = np.nan
    return values


def is_missing(column: pa.Array) -> np.ndarray:
    """(rows,) bool: rows without a target, which are null, or NaN in a column of numbers.

    Runs on: driver and executor.
    """
    return _plain(column).is_null(nan_is_null=True).to_numpy(zero_copy_only=False)


def _named(column: pa.Array, positive: Sequence[str]) -> Any:
    """Mask of the values that are of one of the named classes."""
    type_ = column.type
    if pa.types.is_boolean(type_):
        return pc.is_in(
            column, value_set=pa.array([*map(truth_of, positive)], pa.bool_()).drop_null()
        )
    if pa.types.is_integer(type_) or pa.types.is_decimal(type_) or pa.types.is_floating(type_):
        values = (
            _floats(positive, type_) if pa.types.is_floating(type_) else _exact(positive, type_)
        )
        return pc.is_in(column, value_set=values)
    text = _as_text(column)
    found = pc.is_in(text, value_set=pa.array(positive, pa.string()))
    if all(number_of(name) is None and truth_of(name) is None for name in positive):
        return found
    spelled = text.filter(pc.match_substring_regex(text, _SPELLING)).unique().to_pylist()
    others = [text for text in spelled if any(same_class(name, text) for name in positive)]
    return pc.or_(found, pc.is_in(text, value_set=pa.array(others, pa.string())))


def _exact(names: Sequence[str], type_: pa.DataType) -> pa.Array:
    """The numbers among the names that a column of whole or decimal numbers can hold."""
    numbers = [number for name in names if (number := number_of(name)) is not None]
    kept = [number for number in numbers if _holds(type_, number)]
    whole = pa.types.is_integer(type_)
    return pa.array([int(number) if whole else number for number in kept], type_)


def _holds(type_: pa.DataType, number: Decimal) -> bool:
    try:
        return pa.scalar(number).cast(type_).as_py() == number
    except pa.ArrowInvalid:
        return False


def _floats(names: Sequence[str], type_: pa.DataType) -> pa.Array:
    """The numbers among the names as floats of a column's type.

    What is spelled with a point or an exponent means the nearest float, as floats are written;
    a whole number means itself, and past 2**53 not each is a float.
    """
    numbers = [name for name in names if number_of(name) is not None]
    with np.errstate(over="ignore"):
        floats = np.array([float(name) for name in numbers]).astype(type_.to_pandas_dtype())
    kept = [
        np.isfinite(found) and (not name.lstrip("-").isdigit() or int(name) == int(found))
        for name, found in zip(numbers, floats, strict=True)
    ]
    floats = floats[np.array(kept, dtype=bool)]
    # Arrow tells 0.0 from -0.0.
    return pa.array(np.concatenate([floats, -floats[floats == 0]]), type_)


def _plain(column: pa.Array) -> pa.Array:
    """The column without a dictionary."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def label_array(column: pa.Array, target: Target, task: Task) -> pa.Array:
    """The target as steps that are fitted on it take it: the class as text where there are several,
    else `target_array`.

    Runs on: executor.
    """
    return _as_text(column) if task == "multiclass" else pa.array(target_array(column, target))


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


class DistinctValues:
    """The first few distinct values of a column, as the names of classes.

    Attributes:
        names: in order of appearance, no more than `MOST_NAMES` + 1.
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    def add(self, column: pa.Array) -> None:
        """Looks at some more rows; at none once there are more values than can be told."""
        if len(self.names) > MOST_NAMES or not len(column):
            return
        values = _plain(column).unique().drop_null()[: MOST_NAMES + 1]
        for name in _as_text(values).to_pylist():
            name = _shortest(name) if pa.types.is_decimal(values.type) else name
            name = "0" if name == "-0" and not is_text(values.type) else name
            if name not in self.names and len(self.names) <= MOST_NAMES:
                self.names.append(name)

    def only(self) -> str | None:
        """The one value that there is; None where there are none or several."""
        return self.names[0] if len(self.names) == 1 else None

    def __str__(self) -> str:
        more = " …" if len(self.names) > MOST_NAMES else ""
        return listed(map(_cut, self.names[:MOST_NAMES])) + more


def _shortest(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number


def _cut(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:39]}…"


def check_classes(column: str, labels: Sequence[str], counts: np.ndarray, reason: str = "") -> None:
    """Refuses a target of which the labelled rows hold only one class.

    Args:
        reason: why that may be, as the end of a sentence.

    Runs on: driver.

    Raises:
        InputError: fewer than two classes have rows.
    """
    found = [
        f"{label} ({int(count)} rows)" for label, count in zip(labels, counts, strict=True) if count
    ]
    if len(found) < 2:
        raise InputError(
            f"train.target.column {column}: got one class only: {', '.join(found)}{reason}; "
            "allowed: at least two"
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
