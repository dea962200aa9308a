"""The commits of one attempt: the quarantine, and the slice of the predictions table.

What a commit records of a slice stands here, so that `score` and `replay` record the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from batchinfer import contracts, predictions_table
from batchinfer.command_reports import RunReport
from batchinfer.contracts import StagedFile
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.table_steps import removal
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedModel
from batchinfer.pipeline.slices.table_columns import TableColumns


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
    context: Context, staged: Sequence[StagedFile], report: RunReport, seen: int | None
) -> int:
    """Replaces the slice of the report with the staged predictions; the table's new version.

    Args:
        seen: version by which the slice was published before; None: it was not. The lease is the
            pipeline's own, so where a sink is shared, another one may have published since.

    Runs on: driver.
    """
    from batchinfer.lake.delta import commit
    from batchinfer.lake.ledger import precision_transactions, rows_id, slice_id

    slice_ = report.slice
    return commit(
        context.predictions,
        staged,
        replace={contracts.SLICE: slice_},
        transactions=lambda version: {
            **published_at(context, slice_, version),
            rows_id(slice_): removal(context.pipeline),
            **precision_transactions(slice_, report.precision),
        },
        guard={slice_id(slice_): seen} if context.pipeline.sink.shared else None,
        metadata=commit_metadata("score", report),
    )


def ensure_predictions(columns: TableColumns, model: ResolvedModel, evolve: bool) -> None:
    """Makes the predictions table where there is none; holds one that is there to its columns.

    Args:
        evolve: add columns that the table lacks.

    Runs on: driver.

    Raises:
        InputError: the table has other columns.
    """
    from batchinfer.config.types import parse_ddl
    from batchinfer.lake.delta import ensure_table

    context = columns.context
    outputs = {name: parse_ddl(type_) for name, type_ in model.outputs.items()}
    key = list(columns.key)
    ensure_table(
        context.predictions,
        predictions_table.predictions_schema(columns.key, outputs),
        [contracts.SLICE],
        context.pipeline.description or f"Predictions of pipeline {context.name}.",
        {contracts.KEY_PROPERTY: ",".join(key)},
        stats_columns=[*key, contracts.SLICE],
        evolve=evolve,
    )


def published_at(context: Context, slice_: str, version: int) -> dict[str, int]:
    """The transactions that say that this run published the slice by the commit of this version."""
    from batchinfer.lake.ledger import publish_transactions, run_number, run_transactions

    return {
        **publish_transactions(context.name, slice_, version),
        **run_transactions(slice_, run_number(context.run_id)),
    }


def commit_metadata(command: str, report: RunReport) -> dict[str, str]:
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
