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

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

PLACE_KEY = ("source_file", "source_line")
_ID_NAME = re.compile(r"(?i:(?:^|_)(?:id|key|uuid|guid|pk|no|nr))$|[a-z](?:Id|ID|Key)$")
# What predictions tables have besides the key.
_NO_KEYS = {SLICE, "score", "scores", "label", "prediction", *LINEAGE}
_FEW_CATEGORIES = 50
_MOST_BUCKETS = 256
# Distinct values a record, from which a text is no category any more.
_NEARLY_ALL = 0.5
_WORDS_OF_PROSE = 4.0
_FEW_RECORDS = 20


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
    """What the pipeline file is made of, besides its source."""

    key: ProposedKey
    times: tuple[str, ...]
    steps: tuple[ProposedStep, ...]
    left_out: tuple[LeftOut, ...]
    target: ProposedTarget | None


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
    left, kinds = list[LeftOut](), dict[str, list[SampledColumn]]()
    for column in others:
        kind, why = _kind_of(column, key.columns, sample.columns)
        if kind == "out":
            left.append(LeftOut(column.name, why))
        else:
            kinds.setdefault(kind, []).append(column)
    times = tuple(one.name for one in sample.columns if pa.types.is_temporal(one.values.type))
    return Proposal(key, times, tuple(_steps(kinds)), tuple(left), target)


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
            raise InputError(
                f"{sample.path}: no column of whole numbers or text is unique and never null in "
                f"the {sample.records:,} records that were read, and such records have no other "
                "key; allowed: data with such a column"
            )
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


def _has_places(sample: DataSample) -> bool:
    """Whether file and line tell records apart: not in tables, nor in one list of JSON."""
    is_list = sample.kind == "json" and any(one.name == "array" for one in sample.options)
    return sample.kind != "delta" and not is_list


def _kind_of(
    column: SampledColumn, key: Sequence[str], columns: Sequence[SampledColumn]
) -> tuple[str, str]:
    """number, flag, few, many, time, or out with the reason."""
    values, rows = column.values, len(column.values)
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
        if _counts(column, columns[0] is column, distinct):
            return "out", "it counts the records"
        return "number", ""
    return _kind_of_text(values, distinct)


def _kind_of_text(values: pa.Array, distinct: int) -> tuple[str, str]:
    given = len(values) - values.null_count
    words = pc.mean(pc.add(pc.count_substring(values, " "), 1)).as_py()
    if words >= _WORDS_OF_PROSE and distinct > _FEW_CATEGORIES // 5:
        return "out", f"it is text of {words:.0f} words; tokenize or tfidf make features of such"
    if distinct > _NEARLY_ALL * given and (distinct > _FEW_CATEGORIES or given > _FEW_RECORDS):
        return "out", f"{distinct:,} different texts in {given:,} records describe none of them"
    return ("few" if distinct <= _FEW_CATEGORIES else "many"), ""


def _counts(column: SampledColumn, is_first: bool, distinct: int) -> bool:
    """A first column that numbers the records, as data frames write their index."""
    values = column.values
    if not is_first or len(values) < _FEW_RECORDS or not pa.types.is_integer(values.type):
        return False
    if values.null_count or distinct != len(values):
        return False
    ends = pc.min_max(values).as_py()
    return ends["max"] - ends["min"] == len(values) - 1 and ends["min"] in (0, 1)


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
    flags = kinds.get("flag", [])
    add("impute", _lacking(numbers), "numbers that were missing in some records", strategy="median")
    add(
        "impute",
        _lacking([*few, *flags]),
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
    for column in kinds.get("time", []):
        add(
            "date_parts",
            [column],
            "what comes round again; the year is left out, because new records have later ones",
            parts=_parts_of(column),
            cyclic=True,
        )
    return steps


def _lacking(columns: Sequence[SampledColumn]) -> list[SampledColumn]:
    return [
        one
        for one in columns
        if one.values.null_count
        or (pa.types.is_floating(one.values.type) and pc.any(pc.is_nan(one.values)).as_py())
    ]
