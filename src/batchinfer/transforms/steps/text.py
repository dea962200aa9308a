"""Steps that read words in text, in place: `tokenize` and `tfidf`.

Owns what a word is and how vocabularies are chosen. A word is a run of letters, digits and
underscores (Unicode), in lower case; the rest separates words. Text is read once per distinct
value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from batchinfer.transforms.category_places import Lookup
from batchinfer.transforms.column import TEXT, Coded, Column, coded
from batchinfer.transforms.statistics import ValueCounts, by_frequency
from batchinfer.transforms.step import Json, RowStep, State

_SEPARATORS = r"[^\p{L}\p{N}_]+"


@dataclass(frozen=True)
class Words:
    """The words of some texts, one text after the other: `words`, and where each text's words start
    (texts + 1,).
    """

    words: pa.Array
    starts: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """How many words each text has."""
        return np.diff(self.starts)

    @property
    def texts(self) -> np.ndarray:
        """For each word, the place of its text."""
        return np.repeat(np.arange(len(self.starts) - 1), self.counts)


def words_of(texts: pa.Array) -> Words:
    """The words of each text, in order."""
    spaced = pc.call_function("utf8_lower", [texts])
    spaced = pc.call_function(
        "replace_substring_regex", [spaced], pc.ReplaceSubstringOptions(_SEPARATORS, " ")
    )
    spaced = pc.call_function("utf8_trim", [spaced], pc.TrimOptions(" "))
    lists = pc.call_function("split_pattern", [spaced], pc.SplitPatternOptions(" "))
    # Splitting the empty text gives one empty word.
    words = Words(
        lists.flatten(), lists.offsets.to_numpy().astype(np.int64) - lists.offsets[0].as_py()
    )
    return _kept(words, np.asarray(pc.call_function("not_equal", [words.words, pa.scalar("")])))


def _kept(words: Words, keep: np.ndarray) -> Words:
    if keep.all():
        return words
    upto = np.concatenate([[0], np.cumsum(keep)])
    return Words(words.words.filter(pa.array(keep)), upto[words.starts])


class _Vocabulary(RowStep):
    """A step with a vocabulary, chosen by how many rows a word occurs in (equally frequent ones by
    value).
    """

    accepts: ClassVar[tuple[str, ...]] = TEXT

    @property
    def fitted(self) -> bool:
        return True

    def terms(self, texts: pa.Array) -> Words:
        """The words, or groups of words, that count."""
        return words_of(texts)

    def accumulate(self, columns: Mapping[str, Column]) -> Json:
        return {name: self._counted(coded(columns[name]), name) for name in self.columns}

    def _counted(self, column: Coded, name: str) -> Json:
        rows = np.bincount(column.codes[column.codes >= 0], minlength=len(column.values))
        terms = self.terms(column.values)
        words = coded(terms.words)
        # A word counts once for each row, however often it stands there.
        pairs = np.unique(terms.texts * (len(words.values) + 1) + words.codes)
        texts, places = np.divmod(pairs, len(words.values) + 1)
        counts = np.bincount(places, weights=rows[texts], minlength=len(words.values)).astype(
            np.int64
        )
        occurring = counts > 0
        tally = {
            "values": words.values.filter(pa.array(occurring)).to_pylist(),
            "counts": counts[occurring].tolist(),
            "missing": int((column.codes < 0).sum()),
        }
        # Merging with nothing checks the limit on distinct values.
        return {
            "rows": len(column.codes),
            **ValueCounts.merge(tally, {"values": [], "counts": [], "missing": 0}, name),
        }

    def merge(self, left: Json, right: Json) -> Json:
        return {
            name: {
                "rows": left[name]["rows"] + right[name]["rows"],
                **ValueCounts.merge(left[name], right[name], name),
            }
            for name in self.columns
        }


class Tokenize(_Vocabulary):
    """The first `max_tokens` words as numbers, a named integer input (rows, max_tokens).

    0 fills up short texts; 1 is a word outside the vocabulary; the vocabulary's words follow from
    2, the most frequent first, `vocabulary_size` numbers in all. Missing and empty text are all 0.

    Attributes:
        vocabulary_size: different numbers, 0 and 1 among them.
        max_tokens: words of a text that count.
    """

    name: ClassVar[str] = "tokenize"
    integers: ClassVar[bool] = True

    vocabulary_size: int = Field(10_000, ge=3, le=1_000_000)
    max_tokens: int = Field(ge=1, le=100_000)

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        return pa.list_(pa.int64(), self.max_tokens)

    def integer_shape(self, state: Json) -> tuple[int, int | None]:
        return len(state["words"]) + 2, self.max_tokens

    def conclude(self, partial: Json) -> Json:
        return {"words": [word for word, _ in by_frequency(partial)[: self.vocabulary_size - 2]]}

    def prepare(self, fields: Mapping[str, pa.DataType], state: State) -> Any:
        return {name: Lookup((state or {})[name]["words"], pa.string()) for name in self.columns}

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name, lookup in prepared.items():
            column = coded(frame[name])
            words = self.terms(column.values)
            within = np.arange(len(words.words)) - words.starts[:-1].repeat(words.counts)
            first = within < self.max_tokens
            # The row after the last is that of missing text, which code -1 picks.
            tokens = np.zeros((len(column.values) + 1, self.max_tokens), np.int64)
            distinct = coded(words.words)
            places = np.append(lookup.places(distinct.values), -1)[distinct.codes] + 2
            tokens[words.texts[first], within[first]] = places[first]
            frame[name] = tokens[column.codes]


class Tfidf(_Vocabulary):
    """A vector of `max_features`: how often each term stands in the text, weighted by its rarity,
    of length 1 (Euclid).

    Words of one character are left out; with `ngrams` n, runs of 2 to n words count as terms too.
    The weight of a term is ln((1 + rows) / (1 + rows with it)) + 1, where rows with missing text
    are not counted. The terms of the vocabulary are those in most rows, ordered by value. Missing
    text, and text without known terms, is all zeros.

    Attributes:
        ngrams: most words of a term.
        max_features: terms of the vocabulary.

    Source: scikit-learn's TfidfVectorizer with its defaults, which chooses its vocabulary by total
    counts instead.
    """

    name: ClassVar[str] = "tfidf"

    ngrams: int = Field(1, ge=1, le=3)
    max_features: int = Field(1000, ge=1, le=100_000)

    @field_validator("ngrams", mode="before")
    @classmethod
    def _whole(cls, ngrams: Any) -> Any:
        if isinstance(ngrams, bool):
            raise ValueError("a number from 1 to 3")
        return ngrams

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        return pa.list_(pa.float32(), -1 if state is None else len(state["terms"]))

    def terms(self, texts: pa.Array) -> Words:
        words = words_of(texts)
        lengths = np.asarray(pc.call_function("utf8_length", [words.words]))
        words = _kept(words, lengths > 1)
        runs = [_runs(words, count) for count in range(1, self.ngrams + 1)]
        if len(runs) == 1:
            return words
        texts_of = np.concatenate([run.texts for run in runs])
        order = np.argsort(texts_of, kind="stable")
        together = pa.concat_arrays([run.words for run in runs]).take(pa.array(order))
        return Words(together, np.searchsorted(texts_of[order], np.arange(len(words.starts))))

    def conclude(self, partial: Json) -> Json:
        rows = partial["rows"] - partial["missing"]
        kept = sorted(by_frequency(partial)[: self.max_features])
        weights = [math.log((1 + rows) / (1 + count)) + 1 for _, count in kept]
        return {"terms": [term for term, _ in kept], "weights": weights}

    def prepare(self, fields: Mapping[str, pa.DataType], state: State) -> Any:
        found = state or {}
        return {
            name: (
                Lookup(found[name]["terms"], pa.string()),
                np.array(found[name]["weights"], np.float64),
            )
            for name in self.columns
        }

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name, (lookup, weights) in prepared.items():
            column = coded(frame[name])
            terms = self.terms(column.values)
            distinct = coded(terms.words)
            places = np.append(lookup.places(distinct.values), -1)[distinct.codes]
            known = places >= 0
            texts, width = len(column.values) + 1, len(weights)
            at = terms.texts[known] * width + places[known]
            dense = np.bincount(at, minlength=texts * width).reshape(texts, width) * weights
            norms = np.sqrt(np.square(dense).sum(axis=1, keepdims=True))
            dense /= np.where(norms == 0, 1.0, norms)
            frame[name] = dense.astype(np.float32)[column.codes]

    def vector_names(self, column: str, state: State, width: int, before: list[str]) -> list[str]:
        return [f"{column}:{term}" for term in (state or {})[column]["terms"]]


def _runs(words: Words, count: int) -> Words:
    """Runs of `count` neighbouring words of one text, joined by a space."""
    if count == 1:
        return words
    total = len(words.words)
    first = np.arange(max(total - count + 1, 0))
    texts = words.texts
    whole = first[texts[first] == texts[first + count - 1]] if len(first) else first
    parts = [words.words.take(pa.array(whole + offset)) for offset in range(count)]
    joined = pc.call_function(
        "binary_join_element_wise", [*parts, pa.scalar(" ")], pc.JoinOptions()
    )
    return Words(joined, np.searchsorted(texts[whole], np.arange(len(words.starts))))
