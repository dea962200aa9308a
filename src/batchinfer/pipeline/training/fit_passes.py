"""Fits the shared transforms by tasks: one pass over the landed files for each dependent stage.

Each task folds its row groups into partial statistics with the same Arrow code that fits locally;
the driver merges them in the order of the tasks, so that the same table version gives the same
state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchinfer.config.pipeline import Target
from batchinfer.config.types import parse_ddl, spark_name
from batchinfer.models.parameters import Task
from batchinfer.pipeline.slices.reading import SliceSplit, read_rows
from batchinfer.pipeline.training.validation import Partial, ValidationRule
from batchinfer.spark.tasks import Work, Workplace, run_tasks
from batchinfer.transforms import (
    ROW_HASH,
    TARGET,
    TransformPipeline,
    accumulate_pass,
    finish_pass,
    fit_passes,
    hidden_columns,
    load_steps,
    merge_pass,
)
from batchinfer.transforms.step import State

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from batchinfer.transforms import RowStep, TransformPipeline


@dataclass(frozen=True)
class Labels:
    """What steps that are fitted on the target need: the target, what is learned of it, the key
    that tells rows apart, and which rows are validated on: their labels are not looked at, or the
    model would be judged on what it knows.
    """

    target: Target
    task: Task
    key: tuple[str, ...]
    validation: ValidationRule


@dataclass(frozen=True)
class PassOf:
    """One pass over one split.

    Attributes:
        fields: Spark SQL types of the columns that the steps read.
        steps: all of them, as `dump_steps` writes them.
        states: of the steps that have been fitted, by place.
        fits: places of the steps that this pass fits.
        labels: where a step is fitted on the target.
    """

    split: SliceSplit
    fields: Mapping[str, str]
    steps: Sequence[Mapping[str, Any]]
    states: Mapping[str, State]
    fits: Sequence[int]
    labels: Labels | None


def accumulate_split(task: PassOf) -> Iterator[Partial]:
    """Partial statistics of one split for the steps of one pass.

    Runs on: executor.
    """
    fields = {name: parse_ddl(type_) for name, type_ in task.fields.items()}
    steps, _ = load_steps(task.steps)
    batches: Iterable[pa.RecordBatch]
    labels = task.labels
    if labels is None:
        batches = read_rows(task.split, list(fields))
    else:
        columns = dict.fromkeys(
            [*fields, labels.target.column, *labels.key, *labels.validation.columns]
        )
        batches = (_with_labels(batch, labels) for batch in read_rows(task.split, list(columns)))
        fields |= _hidden_types(labels.task)
    yield accumulate_pass(steps, task.states, task.fits, batches, fields)


def _hidden_types(task: Task) -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {TARGET: pa.string() if task == "multiclass" else pa.float64(), ROW_HASH: pa.uint64()}


def _with_labels(batch: pa.RecordBatch, labels: Labels) -> pa.RecordBatch:
    import pyarrow as pa
    import pyarrow.compute as pc

    from batchinfer.models.targets import label_array

    target, rule = labels.target, labels.validation
    array = label_array(batch.column(target.column), target, labels.task)
    hashes = key_hashes(batch, labels.key)
    array = pc.call_function(
        "if_else", [pa.array(rule.validated(batch, hashes)), pa.scalar(None, array.type), array]
    )
    return batch.append_column(TARGET, array).append_column(ROW_HASH, pa.array(hashes))


def key_hashes(batch: pa.RecordBatch, key: Sequence[str]) -> np.ndarray:
    """(rows,) uint64 hash of each row's key: decides folds, and which rows a model is validated on.

    Runs on: driver | executor.
    """
    import numpy as np

    from batchinfer.inference.fingerprint import fingerprint

    return np.frombuffer(b"".join(fingerprint(batch, key).to_pylist()), dtype="<u8")[::2]


def fit_transforms(
    workplace: Workplace,
    raw_steps: Sequence[Mapping[str, Any]],
    steps: Sequence[RowStep],
    fields: Mapping[str, pa.DataType],
    splits: Sequence[SliceSplit],
    labels: Labels | None = None,
) -> TransformPipeline:
    """The fitted transforms of a pipeline.

    Args:
        raw_steps: the steps as `dump_steps` writes them; they travel to the executors.
        fields: Arrow types of the columns that the steps read, and no others: the rest is not read.
        splits: row groups of the training table.
        labels: for steps that are fitted on the target; their columns are read only where there are
            such steps.

    Runs on: driver.
    """
    states: dict[str, State] = {}
    named = {name: spark_name(type_) for name, type_ in fields.items()}
    known = dict(fields)
    labelled = labels if labels is not None and hidden_columns(steps) else None
    if labelled is not None:
        known |= _hidden_types(labelled.task)
    passes = fit_passes(steps)
    for number, fits in enumerate(passes, 1):
        tasks = [PassOf(split, named, raw_steps, states, fits, labelled) for split in splits]
        results = run_tasks(
            workplace,
            Work(accumulate_split, PassOf, Partial),
            tasks,
            f"fitting transforms, pass {number} of {len(passes)}",
        )
        merged = merge_pass([partial for [partial] in results])
        states = finish_pass(steps, fits, merged, known, states)
    return TransformPipeline(list(steps), known, states)
