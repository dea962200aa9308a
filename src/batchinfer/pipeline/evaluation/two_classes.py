"""Which of two classes an outcome says, by the setting of the pipeline file and by what the bundle
knows.

Owns what counts as positive, as the other class, and as neither. Knows no metrics.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from batchinfer.config.suggestions import listed
from batchinfer.pipeline.definition.published_words import PublishedWords
from batchinfer.pipeline.evaluation.pairs import places_among, text_of

if TYPE_CHECKING:
    from batchinfer.config.pipeline import Target


@dataclass(frozen=True)
class SaidClasses:
    """What some outcomes say.

    Attributes:
        positive: (rows,) 1 or 0, float64.
        unknown: values that are neither of the classes that are known, with their rows; they are
            counted as 0.
        known: how many rows say one of the classes that are known.
    """

    positive: np.ndarray
    unknown: Counter[str]
    known: int


def said_classes(outcome: pa.Array, words: PublishedWords, target: Target | None) -> SaidClasses:
    """Which outcomes are positive. A value is positive where the target of the pipeline file says
    so, or where it names the positive class of the model, by the model's word or by the published
    one.

    Args:
        target: None where it says nothing of this model.

    Runs on: driver.
    """
    from batchinfer.models.class_names import says_positive
    from batchinfer.models.targets import target_array

    text = text_of(outcome)
    values = text.unique().to_pylist()
    codes = places_among(text, values).to_numpy(zero_copy_only=False)
    places = [_place(words, value) for value in values]
    positive = np.array([place == 1 for place in places], dtype=bool)[codes]
    if target is not None and says_positive(target):
        positive |= target_array(outcome, target) > 0.5
    strange = np.array([place is None for place in places], dtype=bool)[codes] & ~positive
    rows = np.bincount(codes[strange], minlength=len(values)).tolist()
    unknown = Counter({value: count for value, count in zip(values, rows, strict=True) if count})
    return SaidClasses(positive.astype(np.float64), unknown, int((~strange).sum()))


def told_classes(words: PublishedWords) -> str:
    """The classes as a sentence lists them, and the words of `label` where these are others."""
    published = [name for name in dict.fromkeys(words.names) if name not in words.labels]
    return listed(words.labels) + (f" (label: {listed(published)})" if published else "")


def _place(words: PublishedWords, value: str) -> int | None:
    return words.place_of(value) if len(words.labels) == 2 else None
