"""The `prepare` steps of a pipeline file: held against the columns before anything runs, and what
they mean for slices.

Knows the file only: neither tables nor Spark.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from batchinfer.config.pipeline import Pipeline
from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE, Problem
from batchinfer.lake.ledger import fingerprint63

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.prepare.table_step import TableStep

_TIMES = ("date", "timestamp")


def check_table_steps(
    document: Mapping[str, Any], fields: Mapping[str, pa.DataType]
) -> tuple[list[Problem], dict[str, pa.DataType]]:
    """Every problem of the `prepare` of a pipeline document, and the columns that its features get.

    Args:
        fields: columns of the source; none where they are not known yet.

    Returns:
        The columns after the steps; where a step has a problem, those that features name besides
        are of unknown type, so that
        one mistake is told once.
    """
    raw = document.get("prepare")
    if not isinstance(raw, list) or not raw:
        return [], dict(fields)
    # Most pipelines have no such steps, and then nothing of them is loaded.
    from batchinfer.prepare.parse_prepare import check_prepare
    from batchinfer.transforms import derived_names, read_columns

    source, train, derive = (
        _part(document, "source"),
        _part(document, "train"),
        document.get("derive"),
    )
    target, key = _part(train, "target").get("column"), source.get("key")
    place = {} if source.get("kind") == "delta" or not fields else _place_fields()
    found = check_prepare(
        raw,
        {**fields, **place},
        target if isinstance(target, str) else None,
        [key] if isinstance(key, str) else key if isinstance(key, list) else [],
    )
    problems = found.problems + _slice_problems(found.steps, document, fields)
    after = {name: type_ for name, type_ in found.fields.items() if name not in place}
    if found.problems and fields:
        after |= {
            name: _unknown()
            for name in (*read_columns(derive), *_named_columns(document.get("features")))
            if name not in after and name not in derived_names(derive)
        }
    return [_told_of_derived(problem, derived_names(derive)) for problem in problems], after


def _told_of_derived(problem: Problem, derived: Sequence[str]) -> Problem:
    """The problem with the reason, where a step of `prepare` names a column that `derive` makes."""
    named = next((name for name in derived if f"'{name}'" in problem.message), None)
    if named is None or "no such column" not in problem.message:
        return problem
    why = f"; derive makes {named} after all steps of prepare, of one row's own columns"
    return Problem(problem.path, problem.message + why)


def _place_fields() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {SOURCE_FILE: pa.string(), SOURCE_LINE: pa.int64()}


def _unknown() -> pa.DataType:
    import pyarrow as pa

    return pa.null()


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = document.get(name)
    return part if isinstance(part, Mapping) else {}


def _named_columns(features: Any) -> list[str]:
    return [
        name
        for item in (features if isinstance(features, list) else ())
        for name in columns_of(item)
    ]


def columns_of(item: Any) -> list[str]:
    """The columns that an item of `features` names, as far as it is one."""
    found: list[str] = []
    for parameters in item.values() if isinstance(item, dict) else ():
        columns = parameters.get("columns") if isinstance(parameters, dict) else None
        named = (
            [columns] if isinstance(columns, str) else columns if isinstance(columns, list) else []
        )
        found += [name for name in named if isinstance(name, str)]
    return found


def _slice_problems(
    steps: Sequence[TableStep], document: Mapping[str, Any], fields: Mapping[str, pa.DataType]
) -> list[Problem]:
    """Steps that ask of slices what those of this source cannot tell."""
    from batchinfer.prepare.join import Join

    source = _part(document, "source")
    days = source.get("slice", "ingest_date") == "ingest_date"
    changes = {**_part(source, "options"), **source}.get("changes_since")
    problems: list[Problem] = []
    for step in steps:
        path = ("prepare", step.position, step.step)
        if step.looks_back and source.get("kind") == "delta" and days and changes:
            message = (
                f"got {step.step}, which looks at the slices before, but with changes_since a "
                "slice is what came that day, of whatever time; allowed: source.slice as a column, "
                "or no changes_since"
            )
            problems.append(Problem(path, message))
        if not (isinstance(step, Join) and step.by_slice):
            continue
        as_of = (*path, "as_of")
        if days and _part(document, "train").get("source") is not None:
            message = (
                "column is missing: labelled data with a source of its own has no slice of "
                "a day; allowed: a column of time"
            )
            problems.append(Problem(as_of, message))
        elif days and source.get("kind") == "delta" and changes:
            message = (
                "column is missing: with changes_since rows of several days are learned "
                "from at once; allowed: a column"
            )
            problems.append(Problem(as_of, message))
        elif not (days or _of_time(source.get("slice"), fields)):
            message = (
                "column is missing: slices of this source are no times; allowed: a column "
                f"of time ({_listed_times(fields)})"
            )
            problems.append(Problem(as_of, message))
    return problems


def _of_time(rule: Any, fields: Mapping[str, pa.DataType]) -> bool:
    """Whether slices that a column names are moments; true where the column's type is not known
    yet.
    """
    from batchinfer.prepare.table_step import type_family

    column: Any = rule.get("column") if isinstance(rule, Mapping) else rule
    if isinstance(rule, Mapping) and rule.get("unit"):
        return True
    return column not in fields or type_family(fields[column]) in (*_TIMES, "unknown")


def _listed_times(fields: Mapping[str, pa.DataType]) -> str:
    from batchinfer.prepare.table_step import type_family

    return (
        ", ".join(name for name, type_ in fields.items() if type_family(type_) in _TIMES)
        or "there is none"
    )


def document_of(pipeline: Pipeline) -> dict[str, Any]:
    """A loaded pipeline as the document that it was read from."""
    document = pipeline.model_dump(mode="json", by_alias=True, exclude_unset=True)
    # YAML reads the word `on` as true, and JSON has no such key.
    return document | {"prepare": [dict(item) for item in pipeline.prepare]}


def table_steps(pipeline: Pipeline) -> list[TableStep]:
    """The steps of a pipeline that has been loaded, and therefore checked."""
    if not pipeline.prepare:
        return []
    from batchinfer.prepare.parse_prepare import parse_table_steps

    steps, problems = parse_table_steps(list(pipeline.prepare))
    if problems:
        raise ValueError("\n".join(problem.message for problem in problems))
    return steps


def dumped(steps: Sequence[TableStep]) -> list[dict[str, Any]]:
    """The steps that make or change columns, JSON-able, as a bundle remembers them; where a table
    lies is not among it.
    """
    return _said([step for step in steps if not step.removes])


def _said(steps: Sequence[TableStep]) -> list[dict[str, Any]]:
    return [
        {step.step: step.model_dump(mode="json", exclude_defaults=True, exclude={"table"})}
        for step in steps
    ]


def rows_number(pipeline: Pipeline) -> int:
    """63 bits of what decides, besides data and model, how a published slice looks: the steps that
    say which rows are scored (all of them where one removes rows), and the columns that are carried
    along; 0 where no step removes rows and none is carried.
    """
    steps = table_steps(pipeline)
    removal = _said(steps) if any(step.removes for step in steps) else []
    carried = sorted(pipeline.sink.carry)
    if not removal and not carried:
        return 0
    said = {"removal": removal, "carry": carried} if carried else removal
    return fingerprint63(hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest())


def differences(learned: Sequence[Mapping[str, Any]], steps: Sequence[TableStep]) -> list[str]:
    """What a model learned from that its pipeline no longer makes in the same way; steps that only
    make more columns may come.
    """
    kept = [step for step in steps if not step.removes]
    now = dumped(kept)
    found = [
        f"{_shown(item)}, which it was trained with, is missing or changed"
        for item in learned
        if item not in now
    ]
    if learned:
        filling = [
            item
            for step, item in zip(kept, now, strict=True)
            if step.changes() and item not in learned
        ]
        found += [f"{_shown(item)} changes columns, but it was trained without" for item in filling]
    if not found and [item for item in now if item in learned] != list(learned):
        found.append("its steps of prepare stand in another order than when it was trained")
    return found


def _shown(item: Mapping[str, Any]) -> str:
    return json.dumps(item, ensure_ascii=False).replace('"', "")


def reads_history(pipeline: Pipeline) -> bool:
    """Whether a slice's rows depend on the slices before it. A slice that is a whole table holds
    its own history.
    """
    whole = pipeline.source.is_in_place and pipeline.source.slice == "ingest_date"
    return not whole and any(step.looks_back for step in table_steps(pipeline))


def mends_keys(pipeline: Pipeline) -> bool:
    """Whether a step leaves one row a key in each slice, so that keys may repeat in what landed."""
    from batchinfer.prepare.removal import Deduplicate

    return any(
        isinstance(step, Deduplicate) and step.mends(tuple(pipeline.source.key))
        for step in table_steps(pipeline)
    )
