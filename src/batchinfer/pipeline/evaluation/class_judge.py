"""Labels, and shares of classes, against the class that came true.

Owns how an outcome is read as one of several classes. In memory are 17 bytes a row that has an
outcome, and 8 more a class, up to a bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from batchinfer.config.suggestions import listed
from batchinfer.errors import InputError
from batchinfer.pipeline.definition.published_words import PublishedWords
from batchinfer.pipeline.evaluation.joined_rows import OUTCOME
from batchinfer.pipeline.evaluation.pairs import (
    PairJudge,
    array_of,
    places_among,
    some_values,
    text_of,
)

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

LABEL, SCORES = "label", "scores"
# Shares of all classes are kept for `auc` up to here.
_SHARES_BYTES = 512 * 2**20


@dataclass
class ClassJudge(PairJudge):
    """`label`, and `scores` where the table has them, against several classes.

    Attributes:
        counts: rows of each class that came true.
        unknown: those of them whose class is none of the model's.
        said: what `label` says.
        classes: those that `scores` has shares of.
        why_no_auc: why the shares of all classes were not kept.
    """

    counts: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    said: set[str] = field(default_factory=set)
    classes: tuple[str, ...] = ()
    why_no_auc: str = ""

    task = "multiclass"

    def merge(self, other: PairJudge) -> None:
        super().merge(other)
        if isinstance(other, ClassJudge):
            if other.classes and self.classes not in ((), other.classes):
                self.why_no_auc = "the models have different classes"
            self.classes = self.classes or other.classes
            self.counts += other.counts
            self.unknown += other.unknown
            self.said |= other.said
            self.why_no_auc = self.why_no_auc or other.why_no_auc

    def add(self, rows: pa.Table) -> None:
        labels = array_of(rows[LABEL]).cast(pa.string())
        rows = rows.filter(labels.is_valid())
        self.unread += len(labels) - rows.num_rows
        if not rows.num_rows:
            return
        labels, outcome = array_of(rows[LABEL]).cast(pa.string()), text_of(array_of(rows[OUTCOME]))
        self.said.update(labels.unique().to_pylist())
        came = self._named(outcome)
        self.counts.update(_counted(came))
        right = pc.equal(came, labels).to_numpy(zero_copy_only=False)
        self.keep(target=right)
        if SCORES in rows.column_names and self.words.shares == self.words.names:
            self._keep_shares(array_of(rows[SCORES]), came)

    def _named(self, outcome: pa.Array) -> pa.Array:
        """Each outcome as predictions call its class; one that is no class stays as it is."""
        values = outcome.unique().to_pylist()
        known = self.words if self.words.names else PublishedWords(names=tuple(sorted(self.said)))
        places = [known.place_of(value) for value in values]
        names = [
            value if place is None else known.names[place]
            for value, place in zip(values, places, strict=True)
        ]
        strange = {value for value, place in zip(values, places, strict=True) if place is None}
        self.unknown.update({name: n for name, n in _counted(outcome).items() if name in strange})
        return pa.array(names, pa.string()).take(places_among(outcome, values))

    def _keep_shares(self, scores: pa.Array, came: pa.Array) -> None:
        names = self.words.names or tuple(scores.keys.unique().to_pylist())
        self.classes = tuple(dict.fromkeys(names))
        shares = _shares(scores, self.classes)
        at = places_among(came, self.classes).fill_null(-1).to_numpy(zero_copy_only=False)
        given = shares[np.arange(len(at)), np.maximum(at, 0)]
        self.keep(share=np.where(at >= 0, given, 0.0), place=at)
        kept = sum(one.nbytes for one in self.kept.get("shares", ()))
        if self.why_no_auc or kept + shares.nbytes > _SHARES_BYTES:
            self.kept.pop("shares", None)
            self.why_no_auc = f"the shares of {len(self.classes):,} classes take too much memory"
        else:
            self.keep(shares=shares)

    def metrics(self) -> tuple[dict[str, float], list[str]]:
        from batchinfer.models.metrics import label_metrics, mean_auc

        # A label may have been said after the first outcome of its class was seen.
        self.unknown = Counter({n: rows for n, rows in self.unknown.items() if n not in self.said})
        if not self.counts.keys() - self.unknown.keys():
            raise InputError(
                f"outcomes.value: column {self.column} has no value that the predictions know: "
                f"{some_values(self.counts)}; allowed: "
                f"{listed(map(repr, self.words.labels[:10] or sorted(self.said)[:10]))}"
            )
        right, counts = self.all("target"), np.array(list(self.counts.values()))
        shared = "share" in self.kept
        found = label_metrics(right, counts, self.all("share") if shared else None)
        warnings = []
        if self.unknown:
            classes = self.words.labels[:10] or sorted(self.said)[:10]
            warnings.append(
                "outcomes that are no class of the model count as wrong: "
                f"{some_values(self.unknown)}; "
                f"its classes are {listed(classes)}"
            )
        if not shared:
            return found, [*warnings, "log_loss and auc are not told: there are no scores to judge"]
        area: dict[str, float] = {}
        if not self.why_no_auc:
            area = mean_auc(self.all("place"), self.all("shares"))
        if not area:
            why = self.why_no_auc or f"all {len(right):,} outcomes are of one class"
            warnings.append(f"auc is not told: {why}")
        return found | area, warnings


def _counted(texts: pa.Array) -> dict[str, int]:
    return {one["values"]: one["counts"] for one in texts.value_counts().to_pylist()}


def _shares(scores: pa.Array, classes: Sequence[str]) -> np.ndarray:
    """(rows, classes) float64 of a column of maps; a class that a row does not have is 0."""
    offsets = scores.offsets.to_numpy()
    inside = slice(offsets[0], offsets[-1])
    at = places_among(scores.keys[inside].cast(pa.string()), classes)
    known = at.is_valid().to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(scores)), np.diff(offsets))
    numbers = scores.items[inside].cast(pa.float64()).to_numpy(zero_copy_only=False)
    found = np.zeros((len(scores), len(classes)))
    found[rows[known], at.fill_null(0).to_numpy(zero_copy_only=False)[known]] = numbers[known]
    return found
