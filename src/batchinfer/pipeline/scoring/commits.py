"""The commits of one attempt: the quarantine, and the slice of the predictions table.

What a commit records of a slice stands here, so that `score` and `replay` record the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchinfer import contracts, predictions_table
from batchinfer.command_reports import RunReport
from batchinfer.config.types import parse_ddl
from batchinfer.contracts import DataFile, StagedFile
from batchinfer.errors import InputError
from batchinfer.hints import Hint
from batchinfer.lake.ledger import (
    MadeOf,
    Publisher,
    model_number,
    precision_transactions,
    publish_transactions,
    replay_transactions,
    rows_id,
    run_number,
    run_transactions,
    slice_id,
)
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.table_steps import rows_number
from batchinfer.pipeline.scoring.published import Published
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedInputs, ResolvedModel
from batchinfer.pipeline.slices.table_columns import TableColumns

if TYPE_CHECKING:
    import pyarrow as pa


def commit_failed_rows(
    context: Context, staged: Sequence[StagedFile], slice_: str, published: bool
) -> None:
    """Puts the rows that failed into the quarantine, in place of those of former attempts.

    Args:
        published: whether the predictions of the other rows are published next.

    Runs on: driver.
    """
    from batchinfer.lake.quarantine import commit_quarantine

    commit_quarantine(
        context.quarantine, staged, slice=slice_, published=published, run_id=context.run_id
    )


def commit_slice(
    inputs: ResolvedInputs,
    staged: Sequence[StagedFile],
    seen: int | None,
    kept: Sequence[DataFile] = (),
) -> int:
    """Replaces the slice with the staged predictions; the table's new version.

    Args:
        kept: files of the slice that stay as they are.
        seen: version by which the slice was published before; None: it was not. The lease is the
            pipeline's own, so where a sink is shared, another one may have published since.

    Runs on: driver.
    """
    from batchinfer.lake.delta import commit

    context, slice_ = inputs.columns.context, inputs.data.slice
    return commit(
        context.predictions,
        staged,
        replace={contracts.SLICE: slice_},
        keep=[file.path for file in kept],
        transactions=lambda version: {
            **_published_at(inputs, version),
            rows_id(slice_): rows_number(context.pipeline),
            **precision_transactions(slice_, inputs.report.precision),
        },
        guard={slice_id(slice_): seen} if context.pipeline.sink.shared else None,
        metadata=_commit_metadata("score", inputs.report),
    )


def commit_joining(
    inputs: ResolvedInputs, staged: Sequence[StagedFile], published: Published, mixed: bool
) -> int:
    """Adds staged predictions to those of the slice; the table's new version.

    Args:
        published: the slice as it is; nobody may have published it since.
        mixed: the slice's rows are of several models then.

    Runs on: driver.
    """
    from batchinfer.lake.delta import commit

    context, slice_ = inputs.columns.context, inputs.data.slice
    publisher = Publisher(run_number(context.run_id), published.publisher.run, mixed)
    return commit(
        context.predictions,
        staged,
        transactions=lambda version: {
            **_published_at(inputs, version),
            **replay_transactions(slice_, publisher),
        },
        guard={slice_id(slice_): published.version},
        metadata=_commit_metadata("replay", inputs.report),
    )


def ensure_predictions(
    columns: TableColumns, model: ResolvedModel, slice_: str, evolve: bool
) -> None:
    """Makes the predictions table where there is none; holds one that is there to its columns.

    Args:
        slice_: that is to be published.
        evolve: add columns that the table lacks.

    Runs on: driver.

    Raises:
        InputError: the table has other columns.
    """
    from batchinfer.lake.delta import ensure_table

    check_predictions(columns, model, slice_, evolve)
    context = columns.context
    key = list(columns.key)
    ensure_table(
        context.predictions,
        _schema(columns, model),
        [contracts.SLICE],
        context.pipeline.description or f"Predictions of pipeline {context.name}.",
        {contracts.KEY_PROPERTY: ",".join(key)},
        stats_columns=[*key, contracts.SLICE],
        # What may not be was refused above.
        evolve=True,
    )


def check_predictions(
    columns: TableColumns, model: ResolvedModel, slice_: str, evolve: bool = False
) -> None:
    """Whether the predictions table, where there is one, takes the columns of the model.

    In a table that has got columns of another model by `--evolve`, each model leaves the columns of
    the others null.

    Runs on: driver, without Spark.

    Raises:
        InputError: the table has other columns, or the same with other types.
    """
    import pyarrow as pa

    from batchinfer.lake.delta import exists, table_schema
    from batchinfer.lake.delta_types import compare_schemas, delta_schema

    place = columns.context.predictions
    if not exists(place):
        return
    have, wanted = table_schema(place), delta_schema(_schema(columns, model))
    lasting, _ = compare_schemas(place, have, wanted, evolve=True)
    if evolve:
        problems = lasting
    elif _is_evolved(have):
        fields = [field for field in have if field.name in wanted.names or not field.nullable]
        problems, _ = compare_schemas(place, pa.schema(fields), wanted, known=have.names)
    else:
        problems, _ = compare_schemas(place, have, wanted)
    if not problems:
        return
    if lasting:
        raise InputError(problems)
    command = columns.context.asked.command("score", "--slice", slice_, "--evolve")
    raise InputError(
        problems,
        Hint(
            command,
            " adds the new columns to the table and leaves those of other models null; earlier "
            "models can score as before",
        ),
    )


def columns_to_be(columns: TableColumns, model: ResolvedModel) -> pa.Schema:
    """The columns that the predictions table has once the model's predictions stand in it: those
    that it has, and those that it lacks.

    Runs on: driver, without Spark.
    """
    import pyarrow as pa

    from batchinfer.lake.delta import exists, table_schema

    place, wanted = columns.context.predictions, _schema(columns, model)
    have = table_schema(place) if exists(place) else pa.schema([])
    return pa.schema([*have, *(field for field in wanted if field.name not in have.names)])


def _is_evolved(table: pa.Schema) -> bool:
    """Whether a predictions table has got columns later: they stand behind those of its lineage."""
    return table.names[-1] not in predictions_table.LINEAGE


def _schema(columns: TableColumns, model: ResolvedModel) -> pa.Schema:
    outputs = {name: parse_ddl(type_) for name, type_ in model.outputs.items()}
    return predictions_table.predictions_schema(columns.key, outputs, columns.carried)


def _published_at(inputs: ResolvedInputs, version: int) -> dict[str, int]:
    """The transactions that say that this run published the slice by the commit of this version,
    and of what.
    """
    context, slice_, ref = inputs.columns.context, inputs.data.slice, inputs.model.ref
    made_of = MadeOf(
        inputs.data.version, model_number(ref.digest), ref.version, context.run_id, inputs.scored_at
    )
    return {
        **publish_transactions(context.name, slice_, version),
        **run_transactions(slice_, run_number(context.run_id)),
        **made_of.transactions(slice_),
    }


def _commit_metadata(command: str, report: RunReport) -> dict[str, str]:
    """What stands beside the commit for people; nothing reads it."""
    tables = {"feature_tables": json.dumps(report.feature_tables)} if report.feature_tables else {}
    return {
        "run_id": report.run_id,
        "command": command,
        "slice": report.slice,
        "model_version": report.model_version,
        "precision": report.precision,
        **tables,
    }
