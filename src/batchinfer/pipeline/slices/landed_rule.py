"""By which rule the slices of a landed table were cut, and whether the pipeline file still says so.

Each landing records its rule as a mark of the table, in the same commit as the rows. Tables of
earlier builds have none: there the scopes of their source files and the names of their slices tell
the rule, where they can. Owns the name of the mark. Reads nothing: whoever has read the table's
transactions hands them in. No JVM.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pydantic import TypeAdapter

from batchinfer.config.shapes.source_columns import SliceColumn, SliceRule
from batchinfer.contracts import Problem
from batchinfer.errors import ConfigError
from batchinfer.lake.ledger import has_marks, mark_of, mark_transactions, scopes_of, slices_of
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import names_slice, unit_of

_RULE = "slice_rule"
_DAYS: SliceRule = "ingest_date"
_UNITS = ("hour", "day", "month")
# So many slices are named in the message.
_NAMED = 5


def rule_transactions(rule: SliceRule) -> dict[str, int]:
    """The transactions that record by which rule slices were cut."""
    text = rule if isinstance(rule, str) else rule.model_dump()
    return mark_transactions({_RULE: json.dumps(text, sort_keys=True)})


def check_landed_rule(context: Context, known: Mapping[str, int]) -> None:
    """Holds what has landed against `source.slice` of the pipeline file.

    The register of a table that is read in place is no matter of this: `extract` records all slices
    of such a table anew where its rule is another.

    Args:
        known: the application transactions of the pipeline's landed table; none: nothing landed.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: the slices that have landed were cut by another rule.
    """
    source = context.pipeline.source
    if source.is_in_place:
        return
    names = sorted(name for name in slices_of(known) if name is not None)
    before = _other_rule(known, names, source.slice)
    if before is None:
        return
    told, allowed = before
    some = f"{', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''}"
    count = f"{len(names):,} slice{'' if len(names) == 1 else 's'}"
    raise ConfigError(
        context.loaded.places.sentence(
            Problem(
                ("source", "slice"),
                f"got {_told(source.slice)}, but what has landed in {context.landed} ({count}: "
                f"{some}) was cut by {told}: a record could stand in two slices, and be learned "
                f"from and scored twice; allowed: {allowed}",
            )
        ),
        "put the rule back; or, to cut by the new one, give the pipeline another name and "
        "sink.table another table, or move the folder of the landed table aside and extract again "
        "(predictions of the former slices stay published until their table is moved, too)",
    )


def _other_rule(
    known: Mapping[str, int], names: Iterable[str], rule: SliceRule
) -> tuple[str, str] | None:
    """The rule by which slices were cut, and what is allowed; None where it is that of the file, or
    where nothing tells it for certain.
    """
    text = mark_of(known, _RULE)
    if text is not None:
        recorded: SliceRule = TypeAdapter[SliceRule](SliceRule).validate_python(json.loads(text))
        told = _told(recorded)
        return None if recorded == rule else (told, told)
    scopes = scopes_of(known)
    if isinstance(rule, SliceColumn):
        if any(names_slice(_DAYS, scope) for scope in scopes):
            return _told(_DAYS), _told(_DAYS)
    elif "*" in scopes and not has_marks(known):
        # With a position, files of days of landing are counted for all slices, too.
        return "a column", "the column, and its unit, by which it was cut"
    if strange := [name for name in names if _is_foreign(rule, name)]:
        return (
            f"another rule, of which {strange[0]} is a slice",
            "the rule by which it was cut",
        )
    return None


def _is_foreign(rule: SliceRule, name: str) -> bool:
    """Whether the rule never gave a slice of this name. Years that no calendar has are left alone:
    earlier builds may have landed them.
    """
    unit = unit_of(rule)
    if unit is None or names_slice(rule, name):
        return False
    others = (SliceColumn(column="any", unit=other) for other in _UNITS if other != unit)
    return any(names_slice(other, name) for other in others) or name[:1].isalpha()


def _told(rule: SliceRule) -> str:
    """A rule as a pipeline file has it."""
    if isinstance(rule, str):
        return f"slice: {rule}"
    unit = f", unit: {rule.unit}" if rule.unit else ""
    return f"slice: {{column: {rule.column}{unit}}}"
