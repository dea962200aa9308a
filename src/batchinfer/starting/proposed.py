"""What is proposed for a pipeline of the sampled data: its key, its target, its features.

Owns the rules by which a column is a key, a category, a number, a date, or is left out. Must not
know how a pipeline file is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import compute

from batchinfer.contracts import SLICE
from batchinfer.errors import InputError
from batchinfer.predictions_table import LINEAGE
from batchinfer.starting.proposed_target import ProposedTarget, is_numeric
from batchinfer.starting.sample import DataSample, SampledColumn
from batchinfer.starting.telling_columns import tells_target
from batchinfer.starting.untyped_columns import untyped_note
from batchinfer.starting.written_amounts import decimal_of, may_have_thousands, reads_either_way

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

PLACE_KEY = ("source_file", "source_line")
_ID_NAME = re.compile(r"(?i:(?:^|_)(?:id|key|uuid|guid|pk|no|nr))$|[a-z](?:Id|ID|Key)$")
# What predictions tables have besides the key.
_NO_KEYS = {SLICE, "score", "scores", "label", "prediction", *LINEAGE}
_FEW_CATEGORIES = 50
# Kinds of columns of amounts: with points before their decimals, and with commas.
_AMOUNTS = ("signed", "commas")
_MOST_BUCKETS = 256
# Distinct values a record, from which a text is no category any more.
_NEARLY_ALL = 0.5
_WORDS_OF_PROSE = 4.0
_MOST_TERMS = 500
_FEW_RECORDS = 20
# Records an id, on average, from which on there is something to learn of each one.
_RECORDS_AN_ID = 5
# The share of the values on either side that is taken in, where some are infinite.
_CLIPPED = 0.01
# Of so many columns, pairs are tried for a key.
_MOST_IN_PAIRS = 12
# What keeps amounts from being numbers, by what stands before their decimals.
_UNSIGNED = {"pattern": "[^0-9.+-]", "with": ""}
_UNSIGNED_COMMAS = {"pattern": "[^0-9,+-]", "with": ""}
_WITH_POINT = {"pattern": ",", "with": "."}


@dataclass(frozen=True)
class ProposedKey:
    """The key's columns, and why."""

    columns: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class ProposedStep:
    """A step of `features` with its columns and other parameters, and why."""

    name: str
    columns: tuple[str, ...]
    parameters: tuple[tuple[str, Any], ...]
    reason: str


@dataclass(frozen=True)
class LeftOut:
    """A column that is no feature, and why."""

    column: str
    reason: str


@dataclass(frozen=True)
class Proposal:
    """What the pipeline file is made of, besides its source; `notes` are for whoever asked."""

    key: ProposedKey
    times: tuple[str, ...]
    steps: tuple[ProposedStep, ...]
    left_out: tuple[LeftOut, ...]
    target: ProposedTarget | None
    notes: tuple[str, ...] = ()


def is_id_name(name: str) -> bool:
    """Whether a column is named as those are that name records."""
    return _ID_NAME.search(name) is not None


def propose(sample: DataSample, target: ProposedTarget | None) -> Proposal:
    """Proposes key and features.

    Runs on: driver.

    Raises:
        InputError: a Delta table of which no column tells its rows apart.
    """
    others = [one for one in sample.columns if target is None or one.name != target.column]
    key = _propose_key(sample, others)
    left, kinds, notes = list[LeftOut](), dict[str, list[SampledColumn]](), list[str]()
    for column in others:
        kind, why = _kind_of(column, key.columns, sample)
        if target is not None:
            kind, why = _beside_target(kind, why, column, target, sample)
        if kind == "out":
            left.append(LeftOut(column.name, why))
        else:
            kinds.setdefault(kind, []).append(column)
        notes += _notes_of(column, kind, column.name in key.columns)
    times = tuple(one.name for one in sample.columns if pa.types.is_temporal(one.values.type))
    return Proposal(key, times, tuple(_steps(kinds)), tuple(left), target, tuple(notes))


def _notes_of(column: SampledColumn, kind: str, is_key: bool) -> list[str]:
    """What is to be said of a column of text whose values are like numbers or times."""
    if column.type != "string" or is_key or is_id_name(column.name):
        return []
    if kind not in _AMOUNTS:
        note = untyped_note(column, kind == "out") if kind in ("out", "few", "many") else None
        return [note] if note else []
    # Of points between thousands it was said where the type was found.
    if may_have_thousands(column.values) or not reads_either_way(column.values):
        return []
    sign = "point" if kind == "signed" else "comma"
    return [
        f"Column {column.name} has amounts that may be read in two ways; a {sign} is taken for "
        "what stands before decimals; if that is not so, change its replace step"
    ]


def _beside_target(
    kind: str, why: str, column: SampledColumn, target: ProposedTarget, sample: DataSample
) -> tuple[str, str]:
    """The kind of a column where something is to be learned: ids that come again say something of
    it, and what says all of it is no feature.
    """
    again = kind == "out" and _comes_again(column)
    if kind not in ("number", "flag", "few", "many") and not again:
        return kind, why
    learned = next(one for one in sample.columns if one.name == target.column)
    told = tells_target(column, learned, target.model == "mlp_classifier")
    if told is not None:
        return "out", (
            f"{told}, so it may be the target in other words; make it one, if it is known where "
            f"{target.column} is not yet"
        )
    return ("id", "") if again else (kind, why)


def _comes_again(column: SampledColumn) -> bool:
    """Whether a column named like an id has each value in so many records that they say something
    of it.
    """
    values = column.values
    able = pa.types.is_integer(values.type) or column.type == "string"
    if not able or not is_id_name(column.name):
        return False
    distinct = _distinct(values)
    return distinct > 1 and distinct * _RECORDS_AN_ID <= len(values) - values.null_count


def is_unique(column: SampledColumn) -> bool:
    """Whether each record has a value, and no two the same."""
    values = column.values
    return len(values) > 0 and not values.null_count and _distinct(values) == len(values)


def _distinct(values: pa.Array) -> int:
    return pc.count_distinct(values, mode="only_valid").as_py()


def _propose_key(sample: DataSample, columns: Sequence[SampledColumn]) -> ProposedKey:
    able = [
        one
        for one in columns
        if (pa.types.is_integer(one.values.type) or one.type == "string")
        and one.name.lower() not in _NO_KEYS
    ]
    unique = [one.name for one in able if is_unique(one)]
    named = [name for name in unique if is_id_name(name)]
    if not _has_places(sample):
        if not unique:
            return _propose_pair(sample, able)
        name = (named or unique)[0]
        return ProposedKey(
            (name,), f"Column {name} is unique and never null in the rows that were read"
        )
    if named and sample.is_whole:
        return ProposedKey(
            (named[0],),
            f"Column {named[0]} is unique and never null in all {sample.records:,} records, and "
            "named like an id",
        )
    if named:
        why = (
            f"Column {named[0]} is unique in what was read, but more was not read; key: "
            f"{named[0]}, if it is unique in all"
        )
    elif unique:
        why = f"Column {unique[0]} is unique, but not named like an id; key: {unique[0]}, if it is"
    else:
        why = "No column is unique and never null, so a record is known by its place"
    return ProposedKey(PLACE_KEY, why)


def _propose_pair(sample: DataSample, able: Sequence[SampledColumn]) -> ProposedKey:
    """Two columns that are unique together, of records that nothing else tells apart."""
    dates = [one for one in sample.columns if pa.types.is_temporal(one.values.type)]
    named = [one for one in able if is_id_name(one.name)]
    order = [*named, *dates, *(one for one in able if one not in named)][:_MOST_IN_PAIRS]
    for place, one in enumerate(order):
        for other in order[place + 1 :]:
            if one.values.null_count or other.values.null_count:
                continue
            pairs = pa.table({"one": one.values, "other": other.values})
            if pairs.group_by(["one", "other"]).aggregate([]).num_rows == pairs.num_rows:
                return ProposedKey(
                    (one.name, other.name),
                    f"No column is unique alone; {one.name} and {other.name} are so together, and "
                    "never null, in the rows that were read",
                )
    raise InputError(
        f"{sample.path}: no column of whole numbers or text is unique and never null in the "
        f"{sample.records:,} records that were read, nor are two together, and such records have "
        "no other key; allowed: data with such columns"
    )


def _has_places(sample: DataSample) -> bool:
    """Whether file and line tell records apart: not in tables, nor in one list of JSON."""
    is_list = sample.kind == "json" and any(one.name == "array" for one in sample.options)
    return sample.kind != "delta" and not is_list


def _kind_of(column: SampledColumn, key: Sequence[str], sample: DataSample) -> tuple[str, str]:
    """number, signed, commas, flag, few, many, prose, time, or out with the reason."""
    values, rows, columns = column.values, len(column.values), sample.columns
    if pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
        return "out", f"no step was chosen for {column.type}"
    distinct = _distinct(values)
    if column.name in key:
        return "out", "it is the key"
    if column.name in PLACE_KEY:
        return "out", "it is the place of a record, not what is in it"
    if values.null_count == rows:
        return "out", "no record that was read has a value"
    if distinct == 1 and not values.null_count:
        return "out", "it has one value only"
    if is_id_name(column.name):
        again = (
            "" if distinct == rows else "; target_encode or embedding_index learn ids that repeat"
        )
        return "out", f"it is named like an id, which names and does not describe{again}"
    if pa.types.is_date(values.type) or pa.types.is_timestamp(values.type):
        return ("time", "") if _has_room(column, columns) else ("out", "its parts' names are taken")
    if column.type == "boolean":
        return "flag", ""
    if column.type != "string":
        if not is_numeric(values.type):
            return "out", f"no step was chosen for {column.type}"
        if _counts(column, columns[0] is column):
            return "out", "it counts the records"
        return "number", ""
    return _kind_of_text(values, distinct, sample.commas)


def _kind_of_text(values: pa.Array, distinct: int, commas: bool) -> tuple[str, str]:
    given = len(values) - values.null_count
    words = pc.mean(pc.add(pc.count_substring(values, " "), 1)).as_py()
    if words >= _WORDS_OF_PROSE and distinct > _FEW_CATEGORIES // 5:
        return "prose", ""
    if distinct > 2 and (decimal := decimal_of(values, commas)):
        return _AMOUNTS[decimal == ","], ""
    if distinct > _NEARLY_ALL * given and (distinct > _FEW_CATEGORIES or given > _FEW_RECORDS):
        return "out", f"{distinct:,} different texts in {given:,} records describe none of them"
    return ("few" if distinct <= _FEW_CATEGORIES else "many"), ""


def _counts(column: SampledColumn, is_first: bool) -> bool:
    """A column that numbers the records: in their order from any number on, or, as data frames
    write their index, a first one with each number from 0 or 1 on.
    """
    values = column.values
    if len(values) < _FEW_RECORDS or not pa.types.is_integer(values.type) or values.null_count:
        return False
    steps = pc.subtract(values[1:].cast(pa.int64()), values[:-1].cast(pa.int64()))
    if pc.all(pc.equal(steps, 1)).as_py():
        return True
    ends = pc.min_max(values).as_py()
    from_first = ends["max"] - ends["min"] == len(values) - 1 and ends["min"] in (0, 1)
    return is_first and from_first and _distinct(values) == len(values)


def _parts_of(column: SampledColumn) -> tuple[str, ...]:
    return ("month", "weekday") if column.type == "date" else ("month", "weekday", "hour")


def _has_room(column: SampledColumn, columns: Sequence[SampledColumn]) -> bool:
    made = {
        f"{column.name}_{part}_{end}".lower()
        for part in _parts_of(column)
        for end in ("sin", "cos")
    }
    return not made & {one.name.lower() for one in columns}


def _steps(kinds: dict[str, list[SampledColumn]]) -> list[ProposedStep]:
    steps: list[ProposedStep] = []

    def add(name: str, columns: Sequence[SampledColumn], reason: str, **parameters: Any) -> None:
        if columns:
            names = tuple(one.name for one in columns)
            steps.append(ProposedStep(name, names, tuple(parameters.items()), reason))

    numbers, few, many = (kinds.get(kind, []) for kind in ("number", "few", "many"))
    flags, signed, commas = (kinds.get(kind, []) for kind in ("flag", *_AMOUNTS))
    add("replace", signed, "signs that keep amounts from being numbers", **_UNSIGNED)
    add("replace", commas, "signs, and points between thousands", **_UNSIGNED_COMMAS)
    add("replace", commas, "commas before decimals, to points", **_WITH_POINT)
    add("cast", [*signed, *commas], "amounts, now without signs", type="double")
    numbers = [*numbers, *signed, *commas]
    add(
        "clip",
        [one for one in numbers if _has_infinite(one)],
        "infinite values, which nothing can be learned of, to the bounds of the others",
        lower_quantile=_CLIPPED,
        upper_quantile=1 - _CLIPPED,
    )
    add("impute", _lacking(numbers), "numbers that were missing in some records", strategy="median")
    add(
        "impute",
        # Of a single value, that it is missing is all that a record says.
        [one for one in _lacking([*few, *flags]) if _distinct(one.values) > 1],
        "categories that were missing in some records",
        strategy="most_frequent",
    )
    add("standardize", numbers, "numbers, to mean 0 and deviation 1")
    add("one_hot", [*few, *flags], f"categories of up to {_FEW_CATEGORIES} values")
    for column in many:
        distinct = _distinct(column.values)
        buckets = min(_MOST_BUCKETS, 1 << (distinct - 1).bit_length())
        add(
            "hashing",
            [column],
            f"{distinct:,} values are too many for a place each",
            buckets=buckets,
        )
    for column in kinds.get("id", []):
        add(
            "target_encode",
            [column],
            "an id that comes again: the mean of the target over its records; a new one has the "
            "mean of all",
        )
    for column in kinds.get("prose", []):
        add(
            "tfidf",
            [column],
            "text of several words: a weight for each of the most frequent; tokenize keeps their "
            "order",
            max_features=_MOST_TERMS,
        )
    for column in kinds.get("time", []):
        add(
            "date_parts",
            [column],
            "what comes round again; the year is left out, because new records have later ones",
            parts=_parts_of(column),
            cyclic=True,
        )
    return steps


def _has_infinite(column: SampledColumn) -> bool:
    values = column.values
    return pa.types.is_floating(values.type) and bool(pc.any(pc.is_inf(values)).as_py())


def _lacking(columns: Sequence[SampledColumn]) -> list[SampledColumn]:
    return [
        one
        for one in columns
        if one.values.null_count
        or (pa.types.is_floating(one.values.type) and pc.any(pc.is_nan(one.values)).as_py())
    ]
