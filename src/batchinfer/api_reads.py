"""The public functions that change no table: predictions by key, how good they were, what is in
quarantine, the state of slices. The others are in `api`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from batchinfer.api import Folder, Overrides, open_context, session_of, slice_name
from batchinfer.errors import ConfigError

if TYPE_CHECKING:
    from batchinfer.command_reports import EvaluateReport, LoadReport
    from batchinfer.pipeline.quarantined_records import QuarantineReport


def lookup(
    pipeline: str,
    key: Mapping[str, Any],
    as_of: str | dt.date | None = None,
    env: str = "local",
    overrides: Overrides = None,
    project: Folder = None,
) -> dict[str, Any] | None:
    """The served prediction of one key, or None.

    Args:
        key: every key column and its value.
        as_of: only slices up to and including this one.
        project: a folder in place of the working folder.

    Raises:
        ConfigError: the pipeline file is wrong, or the key is no mapping.
        InputError: no such table, or a key that is not one of its keys.

    Example:
        >>> import batchinfer
        >>> found = batchinfer.lookup("churn", {"id": 8})
        >>> found["label"], found["slice"], found["model_version"]
        ('yes', '2026-11-21', '1')
        >>> batchinfer.lookup("churn", {"id": 7000}) is None
        True
    """
    if not isinstance(key, Mapping):
        raise ConfigError(
            f"lookup: got a {type(key).__name__}; allowed: one key, as a mapping of column to value"
        )
    from batchinfer.pipeline.lookup import lookup_keys

    return lookup_keys(
        open_context(pipeline, env, overrides, project),
        [key],
        slice_name(as_of),
    )[0]


def evaluate(
    pipeline: str,
    slice: str | dt.date | None = None,
    start: str | dt.date | None = None,
    end: str | dt.date | None = None,
    as_of: str | dt.date | None = None,
    env: str = "local",
    overrides: Overrides = None,
    project: Folder = None,
) -> EvaluateReport:
    """How good published predictions were, by what came true: the pipeline's `outcomes`.

    Args:
        slice: one slice; or else all published ones from `start` to `end`.
        as_of: only outcomes known by the end of this day or slice, or at this time; None: all.
        project: a folder in place of the working folder.

    Raises:
        ConfigError: the pipeline has no `outcomes`, or names columns that are not there.
        InputMissing: no such slice is published, or there is no table of outcomes.
        InputError: no prediction has an outcome, or outcomes of one key differ.
        StorageError: the lake does not answer.

    Example:
        >>> import batchinfer
        >>> found = batchinfer.evaluate("churn", slice="2026-11-21")
        >>> found.rows_with_outcome, round(found.metrics["accuracy"], 2)
        (40, 1.0)
    """
    from batchinfer.pipeline.evaluate import evaluate_predictions

    return evaluate_predictions(
        open_context(pipeline, env, overrides, project),
        slice_name(slice),
        slice_name(start),
        slice_name(end),
        slice_name(as_of),
    )


def quarantine(
    pipeline: str,
    slice: str | dt.date | None = None,
    env: str = "local",
    overrides: Overrides = None,
    project: Folder = None,
) -> QuarantineReport:
    """What stands in a pipeline's quarantine, by reason, with the first records of each.

    Args:
        slice: None: all slices.
        project: a folder in place of the working folder.

    Raises:
        ConfigError: the pipeline file or its environment is wrong.
        StorageError: the lake does not answer.

    Example:
        >>> import batchinfer
        >>> found = batchinfer.quarantine("churn")
        >>> [(one.slice, one.reason, one.records) for one in found.reasons]
        [('2026-11-21', 'field_count', 1)]
    """
    from batchinfer.pipeline.quarantined_records import show_quarantined

    return show_quarantined(open_context(pipeline, env, overrides, project), slice_name(slice))


def plan(
    pipeline: str,
    slice: str | dt.date | None = None,
    start: str | dt.date | None = None,
    end: str | dt.date | None = None,
    force: bool = False,
    env: str = "local",
    overrides: Overrides = None,
    project: Folder = None,
) -> dict[str, Any]:
    """What a run of a slice, or a backfill from start to end, would do and cost, with every problem
    that can be foreseen in `problems`; scores nothing.

    Args:
        slice: one slice, as `score` would take it.
        start, end: in place of `slice`: the first and the last slice of a backfill.
        force: of a backfill: published slices are scored again too.
        project: a folder in place of the working folder.

    Returns:
        The fields of the JSON line of `plan`. `cost` is None without `prices` in the pipeline file,
        and `seconds` where no run of the model was measured; `cost_how` and `estimated_how` say so.

    Raises:
        ConfigError: the pipeline file or its environment is wrong; other arguments than `slice`, or
            `start` and `end`.
        StorageError: the lake does not answer.

    Example:
        >>> import batchinfer
        >>> found = batchinfer.plan("churn", start="2026-11-20", end="2026-11-22", force=True)
        >>> [(one["slice"], one["why"], one["rows"]) for one in found["slices"]], found["no_data"]
        ([('2026-11-21', 'forced', 40)], ['2026-11-20', '2026-11-22'])
    """
    if (start is None) != (end is None) or (slice is None) == (start is None):
        raise ConfigError("plan: got neither or both; allowed: slice, or start and end")
    from batchinfer.pipeline.plan import plan_backfill, plan_slice

    context = open_context(pipeline, env, overrides, project)
    if slice is not None:
        return plan_slice(context, str(slice))
    return plan_backfill(context, str(start), str(end), force).to_json()


def status(
    pipeline: str,
    env: str = "local",
    overrides: Overrides = None,
    start: str | dt.date | None = None,
    end: str | dt.date | None = None,
    project: Folder = None,
    check: bool = False,
) -> dict[str, Any]:
    """State of every slice of a pipeline.

    Args:
        start, end: the first and the last slice that are told.
        project: a folder in place of the working folder.
        check: judge too whether the predictions are as fresh as they should be (`check`, and what
            is late in `errors`).

    Raises:
        ConfigError: the pipeline file or its environment is wrong.
        StorageError: the lake or the registry does not answer.

    Example:
        >>> import batchinfer
        >>> found = batchinfer.status("churn")
        >>> [(one["slice"], one["status"], one["rows_published"]) for one in found["slices"]]
        [('2026-11-21', 'published', 40)]
    """
    from batchinfer.pipeline.status import pipeline_status

    context = open_context(pipeline, env, overrides, project)
    return pipeline_status(context, slice_name(start), slice_name(end), check)


def load(
    pipeline: str,
    slice: str | None = None,
    to: str | None = None,
    full: bool = False,
    verify: bool = False,
    rollback: bool = False,
    env: str = "local",
    overrides: Overrides = None,
    project: Folder = None,
) -> LoadReport:
    """Copies the newest served row of each key into the pipeline's online stores, as one
    generation: readers see the former one until the new one is whole.

    Args:
        slice: the greatest slice that counts; None: all.
        to: the kind of the one store; None: all that the pipeline names, else the embedded one.
        full: writes all rows, not only those that have changed.
        verify: holds the store against the table afterwards, row by row.
        rollback: sets the stores back to the generation before, and loads nothing.
        project: a folder in place of the working folder.

    Raises:
        ConfigError: the pipeline file, or options that exclude each other.
        InputMissing: nothing has been published, or there is no generation to go back to.
        SliceHeld: another load of the same store runs.
        StorageError: the store does not answer, is full, or is not what the table is.

    Example:
        >>> import batchinfer
        >>> report = batchinfer.load("churn")
        >>> report.store, report.status, report.rows, report.slice
        ('embedded', 'loaded', 40, '2026-11-21')
    """
    from batchinfer.pipeline.load import load_stores

    context = open_context(pipeline, env, overrides, project)
    return load_stores(context, session_of(context), slice, to, full, verify, rollback)
