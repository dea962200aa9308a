"""The public functions: one call each, with a pipeline's name or path. Heavy imports happen inside
the calls.

Each takes `project`, a folder in place of the working folder: names are then those of its
`conf/pipelines`, paths start there, and state is its own. A slice that is a day may be given as a
date.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from batchinfer import errors
from batchinfer.command_reports import (
    ExtractReport,
    InitReport,
    RegisterReport,
    RunReport,
    TrainReport,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

    from batchinfer.pipeline.definition.context import Context

# Settings by their path, such as {"model.road": "arrow"} or ["model.road=arrow"].
Overrides = Mapping[str, Any] | Sequence[str] | None
Folder: TypeAlias = "str | Path | None"


def slice_name(given: str | dt.date | None) -> str | None:
    """The slice that is asked for: a day may be given as a date. Whether the pipeline can have such
    a slice is told where it is looked for.
    """
    return None if given is None else str(given)


# What the workers of a run that scores import, whatever the model: PyTorch takes most of the time,
# pandas, which PyArrow asks for, a fifth of it.
_SCORING = (
    "torch",
    "pandas",
    "safetensors.torch",
    "batchinfer.inference.engine",
    "batchinfer.inference.watchdog",
    "batchinfer.lake.quarantine",
    "batchinfer.lake.staging",
    "batchinfer.models.bundle",
    "batchinfer.models.foreign",
    "batchinfer.models.handler",
    "batchinfer.pipeline.scoring.scoring_task",
)


def session_of(context: Context, scores: bool = False) -> Callable[[], SparkSession]:
    """A function that opens the pipeline's session when it is first needed.

    Args:
        scores: its workers will run the model.
    """

    # Most runs never open one, and then nothing of Spark's is loaded.
    @cache
    def opener() -> Callable[[], SparkSession]:
        from batchinfer.spark.session import session_opener

        imports = _SCORING if scores else ()
        return session_opener(context.environment, context.name, context.packed, imports)

    return lambda: opener()()


def open_context(
    pipeline: str, env: str, overrides: Overrides, project: Folder, reads_source: bool = False
) -> Context:
    """The pipeline that a public function is asked for, ready to run."""
    from batchinfer.pipeline.definition.context import Context

    return Context.open(pipeline, env, overrides or {}, reads_source, project)


def init(
    name: str | None = None,
    data: str | None = None,
    target: str | None = None,
    folder: str | Path = ".",
    out: str | None = None,
) -> InitReport:
    """Makes a project where there is none, and of data a pipeline file with a comment behind each
    choice; nothing that is there is overwritten.

    Args:
        name: of the pipeline.
        data: a CSV file or pattern, JSON lines, a Parquet file or folder, a Delta table's folder;
            None: the project alone.
        target: the column to learn.
        folder: the project is the nearest at or above it, or made in it.
        out: a file to write in place of one below `conf/pipelines`; no project is made then.

    Raises:
        ConfigError: a name that no pipeline can have, or whose file is there already; a target that
            is no column.
        InputError: no such data, or data that nothing can be made of.
        StorageError: a file cannot be written.

    Example:
        >>> import batchinfer
        >>> report = batchinfer.init("blooms", data="blooms.csv", target="kind")
        >>> report.records_read, report.created[-1]
        (40, 'conf/pipelines/blooms.yaml')
        >>> report.next[0]
        'batchinfer train -p blooms'
    """
    from batchinfer.pipeline.init import init_project

    return init_project(name, data, target, Path(folder), out)


def extract(
    pipeline: str,
    slice: str | dt.date | None = None,
    env: str = "local",
    overrides: Overrides = None,
    force: bool = False,
    project: Folder = None,
) -> ExtractReport:
    """Lands what is new in a pipeline's source; bad records go to its quarantine table.

    Args:
        slice: where slices are ingest dates, the one that is landed.
        force: lands `slice` anew in place of what it holds; also where the data decides on slices.
        project: a folder in place of the working folder.

    Raises:
        ConfigError: the pipeline file, its environment, or variables that the source names.
        InputError: the source is missing, or breaks its contract.
        TooManyQuarantined: more bad records than `checks.max_quarantine_rate` allows; nothing
            lands.
        SliceHeld: another run lands this slice.
        StorageError: the lake cannot be written, or the source does not answer.

    Example:
        >>> import batchinfer
        >>> report = batchinfer.extract("churn", slice="2026-11-21")
        >>> report.status, report.rows_in, report.rows_landed, report.rows_quarantined
        ('landed', 41, 40, 1)
        >>> batchinfer.extract("churn", slice="2026-11-21").status
        'unchanged'
    """
    from batchinfer.pipeline.extract import extract_source

    context = open_context(pipeline, env, overrides, project, reads_source=True)
    return extract_source(context, slice_name(slice), session_of(context), force)


def train(
    pipeline: str,
    slices: str | dt.date | Sequence[str | dt.date] = (),
    alias: str = "champion",
    env: str = "local",
    overrides: Overrides = None,
    start: str | dt.date | None = None,
    end: str | dt.date | None = None,
    project: Folder = None,
) -> TrainReport:
    """Fits the transforms, trains the model, registers the bundle, and points the alias at it.
    Where nothing has landed yet, the source lands first.

    Args:
        slices: those to learn from, or the one; none: all that have landed, of `ingest_date` slices
            one row a key, the newest.
        start, end: in place of `slices`: the first and the last one to learn from.
        project: a folder in place of the working folder.

    Raises:
        ConfigError: the pipeline file has no `train`, or is wrong.
        InputError: no slice has landed, or its rows do not fit what is to be learned.
        ModelError: a model class that cannot be built, or that gives what cannot be used.
        StorageError: the lake or the registry does not answer.

    Example:
        >>> import batchinfer
        >>> report = batchinfer.train("churn")
        >>> report.model_name, report.model_version, report.alias
        ('churn', '1', 'champion')
        >>> report.rows_train + report.rows_validation
        40
    """
    from batchinfer.pipeline.train import lacks_rows, train_pipeline
    from batchinfer.pipeline.training.training_data import slices_to_learn_from

    context = open_context(pipeline, env, overrides, project)
    open_session, landed = session_of(context), None
    named = [slices] if isinstance(slices, str | dt.date) else slices
    if not slices and start is None and end is None and lacks_rows(context, alias):
        landing = open_context(pipeline, env, overrides, project, reads_source=True)
        landed = _land_first(landing, open_session)
    chosen = slices_to_learn_from(
        context, [str(one) for one in named], slice_name(start), slice_name(end)
    )
    return train_pipeline(context, chosen, open_session, alias, landed)


def _land_first(context: Context, open_session: Callable[[], SparkSession]) -> ExtractReport:
    """Lands the source before it is learned from: slices of ingest dates as of today, in UTC."""
    from batchinfer.pipeline.extract import extract_source
    from batchinfer.report.terminal import show_line

    by_day = context.pipeline.source.slice == "ingest_date"
    day = dt.datetime.now(dt.timezone.utc).date().isoformat() if by_day else None
    show_line(
        f"batchinfer: nothing of pipeline {context.name} has landed; it lands first"
        + (f", as slice {day} (today, in UTC)" if day else "")
    )
    return extract_source(context, day, open_session)


def register(
    pipeline: str,
    artifact: str,
    alias: str | None = None,
    env: str = "local",
    overrides: Overrides = None,
    missing: Mapping[str, str] | None = None,
    allow_difference: bool = False,
    reference: str | None = None,
    project: Folder = None,
) -> RegisterReport:
    """Makes a bundle of a model trained elsewhere, and registers it as the next version of the
    pipeline's model.

    Args:
        artifact: a path, or the URI of an MLflow model.
        alias: to give to the version; None gives the pipeline's own alias, if no version has it
            yet.
        missing: of columns what stood for a missing value in the rows that the model was fitted on,
            where the model does not tell: `none`, `nan`, or the word itself; quotes make a text of
            these two.
        allow_difference: registers a model that says here something else than at home.
        reference: path of the model that this one was converted from, to be held against it.
        project: a folder in place of the working folder.

    Raises:
        ConfigError: the pipeline file, or the alias, is wrong.
        InputError: no such artifact.
        ModelError: a format that is not known or not trusted, a signature that does not fit, or a
            model that says here something else than at home.
        StorageError: the registry does not answer.

    Example:
        >>> import batchinfer
        >>> report = batchinfer.register("flowers", "net.pt2")
        >>> report.format, report.model_version, report.alias
        ('torch.export', '1', 'champion')
        >>> report.inputs, report.outputs
        ({'width': 'double', 'length': 'double'}, {'prediction': 'double'})
    """
    from batchinfer.pipeline.register import RegisterOptions, register_model

    context = open_context(pipeline, env, overrides, project)
    options = RegisterOptions(missing or {}, allow_difference, reference)
    return register_model(context, artifact, alias, options)


def score(
    pipeline: str,
    slice: str | dt.date | None = None,
    force: bool = False,
    evolve: bool = False,
    env: str = "local",
    overrides: Overrides = None,
    project: Folder = None,
) -> RunReport:
    """Scores one landed slice and publishes its predictions by one atomic commit.

    Args:
        slice: None: where slices are ingest dates, the newest that has landed.
        force: also where the slice is published from today's data by today's model.
        evolve: add prediction columns, and columns of `sink.carry`, that the table lacks.
        project: a folder in place of the working folder.

    Raises:
        ConfigError: the pipeline file or its environment is wrong.
        InputError: the slice has not landed, is damaged, or breaks its contract.
        ChecksFailed: the predictions broke their expectations; nothing is published.
        TooManyQuarantined: more bad rows than `checks.max_quarantine_rate` allows; nothing is
            published.
        SliceHeld: another run scores this slice.
        ModelError: the model is missing or does not fit.
        StorageError: the lake or the registry does not answer.

    Example:
        >>> import batchinfer
        >>> report = batchinfer.score("churn", slice="2026-11-21")
        >>> report.status, report.rows_in, report.rows_scored, report.rows_quarantined
        ('published', 40, 40, 0)
        >>> batchinfer.score("churn", slice="2026-11-21").status
        'unchanged'
    """
    from batchinfer.pipeline.score import newest_slice, score_slice
    from batchinfer.report.terminal import show_line

    context = open_context(pipeline, env, overrides, project)
    named = slice_name(slice)
    if named is None:
        named = newest_slice(context)
        show_line(f"batchinfer: takes slice {named}, the newest that has landed")
    return score_slice(context, named, session_of(context, scores=True), force, evolve)


def backfill(
    pipeline: str,
    start: str | dt.date,
    end: str | dt.date,
    force: bool = False,
    parallel: int = 1,
    env: str = "local",
    overrides: Overrides = None,
    project: Folder = None,
    max_cost: float | None = None,
) -> list[RunReport]:
    """Scores every landed slice from start to end that is missing, stale or failed; one report a
    slice.

    Raises:
        ConfigError: the pipeline file, its environment, or the bounds are wrong; an estimate above
            `max_cost`, or none.
        BatchInferError: after all slices were tried, the problems of those that failed, with the
            smallest exit code; 9 where slices were left because of `max_cost`.

    Args:
        project: a folder in place of the working folder.
        max_cost: no slice is begun with which all would cost more, at the pipeline's `prices`.

    Example:
        >>> import batchinfer
        >>> runs = batchinfer.backfill("churn", start="2026-11-20", end="2026-11-22")
        >>> [(run.slice, run.status) for run in runs]
        [('2026-11-21', 'unchanged')]
    """
    from batchinfer.pipeline.backfill import backfill_slices

    context = open_context(pipeline, env, overrides, project)
    report = backfill_slices(
        context,
        str(start),
        str(end),
        session_of(context, scores=True),
        force,
        parallel,
        max_cost=max_cost,
    )
    if report.exit_code:
        error = errors.BatchInferError(report.errors, report.hint)
        error.exit_code = report.exit_code
        raise error
    return report.runs


def replay(
    pipeline: str,
    slice: str | dt.date,
    env: str = "local",
    overrides: Overrides = None,
    project: Folder = None,
) -> RunReport:
    """Scores the quarantined rows of a published slice again; those that pass now join it by one
    atomic commit.

    Args:
        project: a folder in place of the working folder.

    Raises:
        ConfigError: the pipeline file or its environment is wrong.
        InputError: the slice is not published, or was made of other data.
        ChecksFailed: the slice as it would be broke its expectations.
        SliceHeld: another run works on this slice.
        ModelError: the model is missing or does not fit.
        StorageError: the lake or the registry does not answer.

    Example:
        >>> import batchinfer
        >>> report = batchinfer.replay("churn", slice="2026-11-21")
        >>> report.status, report.rows_in, report.rows_scored
        ('unchanged', 0, 0)
    """
    from batchinfer.pipeline.replay import replay_slice

    context = open_context(pipeline, env, overrides, project)
    return replay_slice(context, str(slice), session_of(context, scores=True))
