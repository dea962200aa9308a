"""What a model says here held against what it says at home, row by row.

Owns the two kinds of answers, labels and numbers, and what counts as a difference. Knows neither
where rows come from nor how a model is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from batchinfer.errors import ModelError

_SHOWN = 3


@dataclass(frozen=True)
class Answers:
    """What a model says of some rows.

    Attributes:
        labels: (rows,) objects of text; None: it names no classes.
        numbers: (rows, width) float64: probabilities, or predictions; None: there are none.
        texts: (rows, …) further columns of text, by name.
    """

    labels: np.ndarray | None = None
    numbers: np.ndarray | None = None
    texts: Mapping[str, np.ndarray] = field(default_factory=dict)

    def margins(self) -> np.ndarray | None:
        """(rows,) how far the two likeliest classes are apart; None where there are not both labels
        and numbers.

        One number a row is the probability of one of two classes.
        """
        if self.labels is None or self.numbers is None:
            return None
        if self.numbers.shape[1] == 1:
            return np.abs(2 * self.numbers[:, 0] - 1)
        two = np.partition(self.numbers, -2, axis=1)[:, -2:]
        return two[:, 1] - two[:, 0]

    def taken(self, places: np.ndarray) -> Answers:
        """The answers of some of the rows."""
        return Answers(
            None if self.labels is None else self.labels[places],
            None if self.numbers is None else self.numbers[places],
            {name: values[places] for name, values in self.texts.items()},
        )


@dataclass(frozen=True)
class Comparison:
    """How far the two are apart.

    Attributes:
        against: what answered at home, such as `scikit-learn 1.9.1`.
        rows: how many rows were compared.
        labels_differ: rows with another label.
        numbers_differ: rows with a number beyond the tolerance.
        largest: difference of two numbers, in the units of the prediction.
        tolerance: allowed, relative to 1 + the number's size.
        examples: sentences about the first rows that differ.
    """

    against: str
    rows: int
    labels_differ: int
    numbers_differ: int
    largest: float
    tolerance: float
    examples: Sequence[str] = ()

    @property
    def equal(self) -> bool:
        """Whether no row differs."""
        return not (self.labels_differ or self.numbers_differ)

    def to_json(self) -> dict[str, Any]:
        """For reports and the bundle's facts."""
        return {
            "against": self.against,
            "rows": self.rows,
            "labels_differ": self.labels_differ,
            "numbers_differ": self.numbers_differ,
            "largest_difference": self.largest,
            "tolerance": self.tolerance,
        }

    def told(self) -> str:
        """In one sentence."""
        what = (
            f"{self.labels_differ:,} of {self.rows:,} rows have another label, "
            f"{self.numbers_differ:,} another number (by up to {self.largest:.3g})"
        )
        return f"held against {self.against}: {what}"


def compare(
    ours: Answers,
    home: Answers,
    against: str,
    tolerance: float,
    shown: Sequence[str],
) -> Comparison:
    """How far our answers are from those at home.

    Args:
        tolerance: a difference up to `tolerance` x (1 + |number|) is rounding.
        shown: each row, as an example shows it.

    Runs on: driver.

    Raises:
        ModelError: the two do not answer the same question: labels or numbers on one side only, or
            another number of values a row.
    """
    rows = len(shown)
    wrong_labels = np.zeros(rows, bool)
    wrong_numbers = np.zeros(rows, bool)
    largest = 0.0
    if home.labels is not None and ours.labels is not None:
        wrong_labels = ours.labels != home.labels
    for name, values in home.texts.items():
        if name in ours.texts:
            wrong_labels = wrong_labels | (ours.texts[name] != values)
    if home.numbers is not None and ours.numbers is not None:
        if home.numbers.shape != ours.numbers.shape:
            raise ModelError(
                f"{against} gives {home.numbers.shape[1]} numbers a row; the bundle "
                f"{ours.numbers.shape[1]}"
            )
        both = np.isnan(home.numbers) & np.isnan(ours.numbers)
        apart = np.where(both, 0.0, np.abs(home.numbers - ours.numbers))
        apart = np.where(home.numbers == ours.numbers, 0.0, apart)
        beyond = ~(apart <= tolerance * (1 + np.abs(np.nan_to_num(home.numbers))))
        wrong_numbers = beyond.any(axis=1)
        finite = apart[np.isfinite(apart)]
        largest = float(finite.max(initial=0.0))
    examples = [
        f"row {shown[row]}: {_said(ours, row)} here, {_said(home, row)} by {against}"
        for row in np.flatnonzero(wrong_labels | wrong_numbers)[:_SHOWN].tolist()
    ]
    return Comparison(
        against,
        rows,
        int(wrong_labels.sum()),
        int(wrong_numbers.sum()),
        largest,
        tolerance,
        examples,
    )


def _said(answers: Answers, row: int) -> str:
    parts = [] if answers.labels is None else [f"label {answers.labels[row]!r}"]
    if answers.numbers is not None:
        parts.append(", ".join(f"{number:.9g}" for number in answers.numbers[row][:4]))
    parts += [f"{name} {values[row]!r}" for name, values in answers.texts.items()]
    return " ".join(parts)
