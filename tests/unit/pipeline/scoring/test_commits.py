"""What the commits of an attempt record, and what of the tables they leave alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from spark.projects import DAY, SmallProject

from batchinfer import contracts, predictions_table
from batchinfer.contracts import BadRecord, StagedFile
from batchinfer.errors import InputError
from batchinfer.lake import delta
from batchinfer.lake.ledger import precision_of, precision_transactions, publisher_of, run_number
from batchinfer.lake.log import read_transactions
from batchinfer.lake.quarantine import write_quarantine
from batchinfer.pipeline.plan import Plan, plan_slice
from batchinfer.pipeline.scoring.commits import (
    commit_failed_rows,
    commit_slice,
    ensure_predictions,
)
from batchinfer.pipeline.scoring.published import read_published
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedModel, resolve_inputs, resolve_model
from batchinfer.pipeline.slices.table_columns import TableColumns

NEXT = "2026-11-22"


@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16", "int8"])
def test_what_a_slice_was_computed_in_is_told_by_its_commit(precision: str) -> None:
    known = precision_transactions(DAY, precision)
    assert precision_of(known, DAY) == precision
    assert precision_of(known, NEXT) == "float32"


def test_a_published_slice_is_recorded_with_its_rows(ready: SmallProject) -> None:
    ready.extract(NEXT)
    first = ready.score(DAY, "model.precision=bf16")
    second = ready.score(NEXT)
    known = read_transactions(first.table)
    for report, precision in ((first, "bf16"), (second, "float32")):
        assert known[f"slice:{report.slice}"] == report.version
        assert known[f"publish:small:{report.slice}"] == report.version
        assert publisher_of(known, report.slice).run == run_number(report.run_id)
        assert precision_of(known, report.slice) == precision
    assert (first.version, second.version) == (1, 2)
    entry = DeltaTable(first.table).history(1)[0]
    assert {name: entry[name] for name in ("run_id", "command", "slice", "model_version")} == {
        "run_id": second.run_id, "command": "score", "slice": NEXT, "model_version": "1",
    }  # fmt: skip


def test_the_steps_that_removed_rows_are_recorded_with_what_is_left(ready: SmallProject) -> None:
    ready.overrides = ()
    filtered = "prepare=[{filter: {rule: 'size > 1', name: large}}]"
    inputs = resolve_inputs(ready.context(filtered), DAY)
    ensure_predictions(inputs.columns, inputs.model, DAY, evolve=False)
    commit_slice(inputs, [], None)
    assert read_published(ready.context(filtered), DAY)[DAY].same_rows
    assert not read_published(ready.context(), DAY)[DAY].same_rows


def test_a_slice_is_replaced_and_no_other(ready: SmallProject) -> None:
    ready.extract(NEXT)
    table = ready.score().table
    ready.score(NEXT)
    kept = delta.snapshot_files(table, {"slice": NEXT})
    ready.score(force=True)
    assert delta.snapshot_files(table, {"slice": NEXT}) == kept
    assert sum(file.known_rows for file in delta.snapshot_files(table, {"slice": DAY})) == 40


def failed(project: SmallProject, line: int, run_id: str) -> list[StagedFile]:
    record = BadRecord("a.csv", line, b"{}", "model_error", "no", key=f'{{"source_line":{line}}}')
    return write_quarantine(
        project.context().quarantine, [record], pipeline="small", stage="score",
        run_id=run_id, published=True, slice=DAY,
    )  # fmt: skip


def test_rows_of_a_refused_attempt_do_not_replace_those_of_a_published_one(
    local: SmallProject,
) -> None:
    def lines() -> list[tuple[int, bool]]:
        rows = local.table("quarantine").to_pylist()
        return sorted((row["source_line"], row["published"]) for row in rows)

    def commit(line: int, published: bool) -> None:
        context = local.context()
        commit_failed_rows(context, failed(local, line, context.run_id), DAY, published)

    commit(2, published=True)
    commit(3, published=False)
    assert lines() == [(2, True), (3, False)]
    commit(4, published=False)
    assert lines() == [(2, True), (4, False)], "only the last refused attempt is kept"
    commit(5, published=True)
    assert lines() == [(5, True)], "what is published now has these, and no other"


def test_the_table_of_predictions_says_its_key_and_what_its_columns_are(
    ready: SmallProject,
) -> None:
    columns = TableColumns(ready.context())
    model: Any = resolve_model(columns)
    table = ready.context().predictions
    ensure_predictions(columns, model, DAY, evolve=False)
    made = DeltaTable(table)
    assert made.metadata().partition_columns == [contracts.SLICE]
    assert made.metadata().configuration[contracts.KEY_PROPERTY] == "source_file,source_line"
    schema = delta.table_schema(table)
    assert schema.field("score").type == pa.float64()
    assert all(schema.field(name).metadata for name in predictions_table.LINEAGE)
    version = delta.table_version(table)
    ensure_predictions(columns, model, DAY, evolve=False)
    assert delta.table_version(table) == version
    ready.edit("source:\n", "source:\n  key: id\n")
    with pytest.raises(InputError, match="key is source_file,source_line"):
        ensure_predictions(TableColumns(ready.context()), model, DAY, evolve=True)


def test_an_earlier_model_scores_into_a_table_that_got_columns_of_a_later_one(
    ready: SmallProject,
) -> None:
    columns = TableColumns(ready.context())
    model = resolve_model(columns)
    later = with_outputs(model, {**model.outputs, "reason": "string"})
    ensure_predictions(columns, model, DAY, evolve=False)
    with pytest.raises(InputError, match="has no column reason") as caught:
        ensure_predictions(columns, later, DAY, evolve=False)
    command = f"batchinfer score {ready.named} --slice {DAY} --evolve"
    assert str(caught.value.hint).startswith(f"{command} adds")
    plan = plan_with(ready, later)
    assert plan["problems"] == list(caught.value.problems) and plan["hints"] == [caught.value.hint]
    assert plan.exit_code == 3
    ensure_predictions(columns, later, DAY, evolve=True)
    ensure_predictions(columns, later, DAY, evolve=False)
    ensure_predictions(columns, model, DAY, evolve=False)
    third = with_outputs(model, {**model.outputs, "more": "double"})
    with pytest.raises(InputError, match=r"no column more .* its columns are .*reason"):
        ensure_predictions(columns, third, DAY, evolve=False)
    assert plan_with(ready, model)["hints"] == []


def test_a_model_that_lost_a_column_is_refused_and_told_how_it_could_publish(
    ready: SmallProject,
) -> None:
    columns = TableColumns(ready.context())
    model = resolve_model(columns)
    ensure_predictions(columns, model, DAY, evolve=False)
    fewer = with_outputs(model, {"score": "double"})
    with pytest.raises(InputError, match=r"label .* is missing from what is to be") as caught:
        ensure_predictions(columns, fewer, DAY, evolve=False)
    assert "--evolve" in str(caught.value.hint)
    other = with_outputs(model, {**model.outputs, "score": "string"})
    with pytest.raises(InputError, match="column score is double") as caught:
        ensure_predictions(columns, other, DAY, evolve=True)
    assert caught.value.hint is None, "nothing makes one type of another"


def with_outputs(model: ResolvedModel, outputs: dict[str, str]) -> ResolvedModel:
    told = [{"name": name, "type": type_} for name, type_ in outputs.items()]
    return replace(model, signature={**model.signature, "outputs": told})


def plan_with(project: SmallProject, model: ResolvedModel) -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batchinfer.pipeline.planning.foresight.resolve_model", lambda _: model)
        return plan_slice(project.context(), DAY)
