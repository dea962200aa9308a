"""The contract of a Delta source: its columns held against those declared, or against those seen
last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from batchinfer.config.pipeline import Pipeline
from batchinfer.config.schema import schema_fields
from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.config.sources import DeltaSource
from batchinfer.config.suggestions import among, did_you_mean
from batchinfer.config.types import spark_name
from batchinfer.contracts import SLICE
from batchinfer.errors import InputError
from batchinfer.pipeline.definition.feature_steps import check_features
from batchinfer.pipeline.definition.table_steps import check_table_steps, document_of
from batchinfer.pipeline.slices.delta_opened import Opened
from batchinfer.pipeline.slices.delta_register import Register
from batchinfer.predictions_table import LINEAGE

if TYPE_CHECKING:
    import pyarrow as pa


def check_contract(
    pipeline: Pipeline, source: DeltaSource, opened: Opened, known: Register | None
) -> list[str]:
    """Whether the table has the columns that the pipeline expects; what people should know of
    others.

    With a declared schema, the table has exactly its columns, in any order; more with `new:
    ignore`. Without one, it still
    has those that were recorded last, with their types; new ones are told, and recorded.

    Runs on: driver.

    Raises:
        InputError: every difference, and every column that key, slice or features name and the
            table lacks.
    """
    problems: list[str] = []
    have = _types(opened, problems)
    declared = schema_fields(source)
    said: list[str] = []
    hint = None
    if declared is not None:
        wanted = {name: spark_name(type_) for name, type_ in declared.items()}
        problems += _differences(opened.place, have, wanted, "source.schema")
        new = [name for name in have if name not in wanted]
        if new and source.columns.new != "ignore":
            hint = (
                "name them in source.schema, or leave them out with source.columns: {new: ignore} "
                "(--set source.columns.new=ignore)"
            )
            problems += [
                f"{opened.place} has a column {name} ({have[name]}) that source.schema does not"
                f"{did_you_mean(name, [each for each in wanted if each not in have])}; allowed: "
                "the columns of the schema"
                for name in new
            ]
    elif known is not None and known.place == opened.place:
        changed = list(_differences(opened.place, have, known.columns, "the last extract"))
        hint = (
            "to read the table as it is now, declare its columns in source.schema"
            if changed
            else None
        )
        problems += changed
        said = [
            f"{opened.place} has a new column: {name} {have[name]}"
            for name in have
            if name not in known.columns
        ]
    problems += _check_names(pipeline, source, opened)
    if problems:
        raise InputError(list(dict.fromkeys(problems)), hint)
    return said


def _types(opened: Opened, problems: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    problems += [
        f"{opened.place}: column {name} is variant, which cannot be read as values; allowed: its "
        "JSON as text (to_json), or columns of plain types, in a table of their own"
        for name in opened.variants
    ]
    for name, type_ in opened.fields.items():
        try:
            found[name] = spark_name(type_)
        except ValueError as error:
            problems.append(f"{opened.place}: column {name}: {error}")
    return found


def _differences(
    place: str, have: Mapping[str, str], wanted: Mapping[str, str], said_by: str
) -> Iterator[str]:
    new = [name for name in have if name not in wanted]
    for name, type_ in wanted.items():
        if name not in have:
            near = did_you_mean(name, new)
            yield (
                f"{place}: no column {name} {type_}, which {said_by} has{near}; the table has "
                f"{_listed(have)}"
            )
        elif have[name] != type_:
            yield f"{place}: column {name} is {have[name]}; {said_by} says {type_}"


def _listed(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {type_}" for name, type_ in columns.items())


def _check_names(pipeline: Pipeline, source: DeltaSource, opened: Opened) -> Iterator[str]:
    """Columns that the pipeline names: key, slice, features."""
    columns = list(opened.fields)
    for name in source.key:
        if name not in columns:
            yield f"{opened.place}: source.key: no such column: {among(name, columns)}"
        elif name == SLICE or name in LINEAGE:
            yield (
                f"{opened.place}: source.key: got {name}, a column that predictions tables have "
                "anyway; allowed: other columns"
            )
    rule = source.slice
    if isinstance(rule, SliceColumn) and rule.column not in columns:
        yield f"{opened.place}: source.slice: no such column: {among(rule.column, columns)}"
    elif isinstance(rule, SliceColumn):
        try:
            check_slice_type(opened.place, rule, opened.fields[rule.column])
        except InputError as error:
            yield from error.problems
    yield from _check_features(pipeline, opened)


def _check_features(pipeline: Pipeline, opened: Opened) -> Iterable[str]:
    document = document_of(pipeline)
    problems, prepared = check_table_steps(document, opened.fields)
    problems += check_features(document, prepared)
    return [
        f"{opened.place}: {'.'.join(map(str, problem.path))}: {problem.message}"
        for problem in problems
    ]


def check_slice_type(place: str, rule: SliceColumn, type_: pa.DataType) -> None:
    """Whether a column of this type can cut a table that is read in place.

    Raises:
        InputError: fractions, bytes and nested values have no agreed text, so no slice could be
            found again by its name.
    """
    import pyarrow as pa

    kinds = pa.types
    time = kinds.is_date(type_) or kinds.is_timestamp(type_)
    if rule.unit is not None and not time:
        raise InputError(
            f"{place}: source.slice.unit: column {rule.column} is {type_}; allowed with a unit: a "
            "date or a timestamp"
        )
    plain = (
        kinds.is_string(type_)
        or kinds.is_integer(type_)
        or kinds.is_boolean(type_)
        or kinds.is_decimal(type_)
    )
    if not (time or plain):
        raise InputError(
            f"{place}: source.slice: column {rule.column} is {type_}; allowed: text, whole "
            "numbers, decimals, boolean, date, timestamp"
        )
