"""A changed `source.slice` over what has landed: every command refuses it, with the rule that
landed and the rule of the file; tables of earlier builds are judged by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from spark.projects import DAY, SmallProject

from batchinfer.config.shapes.source_columns import SliceColumn, SliceRule
from batchinfer.errors import BatchInferError, ConfigError
from batchinfer.lake.ledger import file_id, mark_transactions, slice_id
from batchinfer.lake.log import read_transactions
from batchinfer.pipeline.plan import plan_slice
from batchinfer.pipeline.slices.landed import find_slice
from batchinfer.pipeline.slices.landed_rule import check_landed_rule, rule_transactions
from batchinfer.pipeline.slices.span import find_span

NEXT = "2026-11-22"
SCHEMA = "{id: int, color: string, size: double, big: string}"
DATED = "{id: int, seen: date, size: double, big: string}"
DAYS, OF_DAYS = "slice: ingest_date", "slice: {column: seen, unit: day}"
ROWS = "id,seen,size,big\n" + "".join(f"{n},2015-01-0{n % 2 + 1},{n}.5,yes\n" for n in range(6))
BY_DAY = SliceColumn(column="seen", unit="day")

Command = Callable[[SmallProject], Any]
COMMANDS: dict[str, Command] = {
    "extract": lambda project: project.extract(None),
    "extract --force": lambda project: project.extract(DAY, force=True),
    "train": lambda project: project.train(),
    "score": lambda project: project.score(DAY),
    "backfill": lambda project: project.backfill(DAY, NEXT),
    "status": lambda project: project.states(),
    "plan --from --to": lambda project: find_span(project.context(), DAY, NEXT),
}


@pytest.fixture
def dated(local: SmallProject) -> SmallProject:
    """Six rows of two days of January 2015."""
    local.edit(SCHEMA, DATED)
    local.edit("  - one_hot: {columns: color}\n", "")
    local.write("in/a.csv", ROWS)
    return local


@pytest.fixture
def landed(dated: SmallProject) -> SmallProject:
    """The rows, landed on two days, and the file says now that their own dates decide."""
    dated.extract(DAY)
    dated.extract(NEXT)
    dated.edit(DAYS, OF_DAYS)
    return dated


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_rule_that_is_not_that_of_what_landed(
    landed: SmallProject, command: str
) -> None:
    before = read_transactions(landed.context().landed)
    with pytest.raises(ConfigError) as caught:
        COMMANDS[command](landed)
    (problem,) = caught.value.problems
    assert problem.startswith(
        f"{landed.context().loaded.file}:6:3 (source.slice): got slice: {{column: seen, unit: "
        f"day}}, but what has landed in {landed.context().landed} (2 slices: {DAY}, {NEXT}) was "
        "cut by slice: ingest_date: "
    )
    assert problem.endswith("; allowed: slice: ingest_date") and caught.value.exit_code == 2
    assert "put the rule back; or" in str(caught.value.hint)
    assert read_transactions(landed.context().landed) == before
    assert landed.table("landed").num_rows == 12, "nothing landed once more"


def test_plan_tells_it_among_the_problems(landed: SmallProject) -> None:
    plan = plan_slice(landed.context(), DAY)
    assert any("was cut by slice: ingest_date" in problem for problem in plan["problems"])
    assert plan.exit_code == 2


def test_the_rule_put_back_goes_on(landed: SmallProject) -> None:
    landed.edit(OF_DAYS, DAYS)
    assert landed.extract(NEXT).status == "unchanged"
    assert set(landed.states()) == {DAY, NEXT}


def test_another_unit_of_the_same_column_is_another_rule(dated: SmallProject) -> None:
    dated.edit(DAYS, OF_DAYS)
    assert dated.extract(None).slices == ["2015-01-01", "2015-01-02"]
    dated.edit("unit: day", "unit: month")
    with pytest.raises(ConfigError, match=r"unit: month}, .*cut by slice: .*unit: day}: "):
        dated.extract(None)


def test_the_same_rule_in_other_words_is_no_change(dated: SmallProject) -> None:
    dated.edit(DAYS, "slice: big")
    dated.extract(None)
    dated.edit("slice: big", "slice: {column: big}")
    assert dated.extract(None).status == "unchanged"
    assert find_slice(dated.context(), "yes").rows == 6


def test_labelled_data_of_their_own_are_no_matter_of_the_rule(dated: SmallProject) -> None:
    dated.edit(DAYS, OF_DAYS)
    dated.edit("train:\n", "train:\n  source: {path: labelled/*.csv}\n")
    dated.write("labelled/b.csv", ROWS)
    dated.extract(None)
    for _ in range(2):
        # Its rows have labels of one class: the data were read.
        with pytest.raises(BatchInferError, match="yes"):
            dated.train()
    assert read_transactions(dated.context().landed_for_training)[slice_id("train")] == 1


def ids(*names: str) -> dict[str, int]:
    return {slice_id(name): 1 for name in names}


def files(scope: str) -> dict[str, int]:
    return {file_id(scope, "a.csv"): 5}


MARKED = mark_transactions({"jdbc:t:id": "7"})
EARLIER: dict[str, tuple[SliceRule, Mapping[str, int], str | None]] = {
    "nothing landed": (BY_DAY, {}, None),
    "days, and files of each day": (BY_DAY, ids(DAY) | files(DAY), "cut by slice: ingest_date"),
    "files of all slices": ("ingest_date", ids(DAY) | files("*"), "cut by a column"),
    "files of all slices, as of a database": ("ingest_date", ids(DAY) | files("*") | MARKED, None),
    "files of all slices and a column": (BY_DAY, ids(DAY) | files("*"), None),
    "files of each day and days of landing": ("ingest_date", ids(DAY) | files(DAY), None),
    "months under days": (BY_DAY, ids(DAY, "2026-10") | files("*"), "of which 2026-10 is a slice"),
    "words under days": ("ingest_date", ids("north"), "of which north is a slice"),
    "a year that no calendar has": (BY_DAY, ids("12026-11-21"), None),
    "days under a plain column": (SliceColumn(column="seen"), ids(DAY) | files("*"), None),
    "words under a plain column": (SliceColumn(column="seen"), ids("north") | files("*"), None),
}


@pytest.mark.parametrize("case", EARLIER)
def test_tables_of_earlier_builds_are_refused_only_where_their_names_are_certain(
    local: SmallProject, case: str
) -> None:
    rule, known, said = EARLIER[case]
    context = local.context()
    source = context.pipeline.source.model_copy(update={"slice": rule})
    pipeline = context.pipeline.model_copy(update={"source": source})
    context = replace(context, loaded=replace(context.loaded, pipeline=pipeline))
    if said is None:
        check_landed_rule(context, known)
        return
    with pytest.raises(ConfigError, match=said):
        check_landed_rule(context, known)
    check_landed_rule(context, {**known, **rule_transactions(rule)})


def test_what_is_recorded_wins_over_names(local: SmallProject) -> None:
    with pytest.raises(ConfigError, match=r"cut by slice: {column: seen, unit: day}: "):
        check_landed_rule(local.context(), ids(DAY) | files(DAY) | rule_transactions(BY_DAY))
