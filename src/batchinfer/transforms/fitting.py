"""Fitting the steps: which pass over the data fits which steps, and partial statistics of parts of
the data.

Owns passes, and the order in which partial statistics are merged. Knows no Spark: executors call
`accumulate_pass` on their part of the data, the driver merges the parts in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer.errors import UnfitRows
from batchinfer.transforms.check import source_columns, types_before
from batchinfer.transforms.column import unencoded
from batchinfer.transforms.fitted import TransformPipeline, frame_of
from batchinfer.transforms.parse import dump_steps, load_steps
from batchinfer.transforms.step import Fields, Json, RowStep, State, StepProblem
from batchinfer.transforms.supervised import HIDDEN, ROW_HASH


def fit_passes(steps: Sequence[RowStep]) -> list[list[int]]:
    """Places of the steps to fit in each pass over the data.

    A step waits for a later pass only if it fits on a column that an earlier fitted step changed or
    made, directly or through other steps. No fitted step: no pass.
    """
    ready: dict[str, int] = {}
    passes: dict[int, list[int]] = {}
    for place, step in enumerate(steps):
        reads = step.reads(ready)
        when = max((ready.get(name, 0) for name in reads), default=0)
        if step.fitted:
            passes.setdefault(when, []).append(place)
        after = when + step.fitted
        if step.encodes:
            ready.update({unencoded(name): ready.get(name, 0) for name in step.columns})
        ready.update(
            dict.fromkeys([*(step.columns if step.in_place else ()), *step.makes()], after)
        )
    return [passes[when] for when in sorted(passes)]


def accumulate_pass(
    steps: Sequence[RowStep],
    states: Mapping[str, State],
    pass_steps: Sequence[int],
    batches: Iterable[pa.RecordBatch],
    fields: Fields,
) -> Json:
    """Partial statistics of one pass over one part of the data, JSON-able.

    `states` has the state of each step fitted so far, by its place ("0", "1" …, as JSON has no
    other keys). Rows that a step names as those that it fails on are left out, in every pass.
    Batches need only the `source_columns` of the steps, and the hidden columns that
    `hidden_columns` names; none at all is fine. The same batches give the same bits. Runs on:
    executor.

    Raises:
        InputError: a column is absent or of another type, or has too many categories.
        StepProblem: a step is fitted on the target, which `fields` does not have.
    """
    wanted = _wanted(steps, pass_steps)
    types = types_before(steps, fields, states)
    prepared = {
        place: steps[place].prepare(types[place], states.get(str(place)))
        for place in wanted
        if place not in pass_steps
    }
    needed = source_columns([steps[place] for place in wanted], types[0])
    sources = {name: types[0][name] for name in needed} | _hidden(
        steps, pass_steps, wanted, types[0]
    )
    tree = _MergeTree()
    tree.add(_partial(steps, pass_steps, wanted, prepared, _empty(sources), sources))
    for batch in batches:
        tree.add(_partial(steps, pass_steps, wanted, prepared, batch, sources))
    return tree.result()


def merge_pass(partials: Sequence[Json]) -> Json:
    """Partial statistics of all parts of one pass, given in a fixed order: the same order gives the
    same bits.

    Runs on: driver.

    Raises:
        InputError: too many categories together.
        ValueError: no partials.
    """
    if not partials:
        raise ValueError("no partial statistics to merge; a part without rows has some too")
    tree = _MergeTree()
    for partial in partials:
        tree.add(partial)
    return tree.result()


def finish_pass(
    steps: Sequence[RowStep],
    pass_steps: Sequence[int],
    partial: Json,
    fields: Fields,
    states: Mapping[str, State],
) -> dict[str, State]:
    """The states so far with those of this pass, by place. Runs on: driver.

    Raises:
        StepProblem: the steps do not fit the columns.
    """
    result = {
        **states,
        **{
            str(place): steps[place].finish(partial["steps"][str(place)]["partial"])
            for place in pass_steps
        },
    }
    types_before(steps, fields, result)
    return result


def fit(
    steps: Sequence[RowStep],
    fields: Fields,
    batches_factory: Callable[[], Iterable[pa.RecordBatch]],
) -> TransformPipeline:
    """Fits the steps in this process; the factory is called once for each pass over the data.

    Raises:
        StepProblem: the steps do not fit the columns (see `check_steps`).
        InputError: as in `accumulate_pass`.
    """
    states: dict[str, State] = {}
    for pass_steps in fit_passes(steps):
        partial = accumulate_pass(steps, states, pass_steps, batches_factory(), fields)
        states = finish_pass(steps, pass_steps, merge_pass([partial]), fields, states)
    return TransformPipeline(steps, fields, states)


def fit_rows(batch: pa.RecordBatch, unfit: UnfitRows) -> pa.RecordBatch:
    """The rows of a batch without those that were named.

    Runs on: driver | executor.
    """
    return batch.take(pa.array(np.delete(np.arange(batch.num_rows), list(unfit.rows))))


def hidden_columns(steps: Sequence[RowStep]) -> set[str]:
    """The hidden columns of `supervised` that a fit of the steps reads."""
    return {name for step in steps for name in step.learns_from()}


def _wanted(steps: Sequence[RowStep], pass_steps: Sequence[int]) -> list[int]:
    """The steps of the pass, those before them that their columns go through, and those that name
    rows to leave out: every pass learns from the same rows.
    """
    needed: set[str] = set()
    wanted = []
    for place in reversed(range(max(pass_steps, default=-1) + 1)):
        step = steps[place]
        writes = {*(step.columns if step.in_place else ()), *step.makes()}
        hidden = {unencoded(name) for name in step.columns} if step.encodes else set()
        if place in pass_steps or step.tells_rows or needed & (writes | hidden):
            wanted.append(place)
            needed |= {
                *step.columns,
                *(unencoded(name) for name in step.columns if not step.in_place),
            }
    return sorted(wanted)


def _hidden(
    steps: Sequence[RowStep], pass_steps: Sequence[int], wanted: Sequence[int], fields: Fields
) -> Fields:
    """The hidden columns that the pass reads: those its steps learn from, and the hash that steps
    fitted before look at.
    """
    problems = [
        f"{steps[place].name} is fitted on the hidden column {name}, which the rows do not have"
        for place in pass_steps
        for name in steps[place].learns_from()
        if name not in fields
    ]
    if problems:
        raise StepProblem(problems)
    read = {name for place in pass_steps for name in steps[place].learns_from()}
    looked_at = {
        ROW_HASH for place in wanted if ROW_HASH in steps[place].learns_from()
    } & fields.keys()
    return {name: fields[name] for name in HIDDEN if name in read | looked_at}


def _partial(
    steps: Sequence[RowStep],
    pass_steps: Sequence[int],
    wanted: Sequence[int],
    prepared: dict[int, Any],
    batch: pa.RecordBatch,
    sources: Fields,
) -> Json:
    """Partial statistics of one batch; rows that a step names as those that it fails on are left
    out.
    """
    try:
        return _gathered(steps, pass_steps, wanted, prepared, batch, sources)
    except UnfitRows as unfit:
        batch = fit_rows(batch, unfit)
        return _gathered(steps, pass_steps, wanted, prepared, batch, sources)


def _gathered(
    steps: Sequence[RowStep],
    pass_steps: Sequence[int],
    wanted: Sequence[int],
    prepared: dict[int, Any],
    batch: pa.RecordBatch,
    sources: Fields,
) -> Json:
    frame = frame_of(batch, sources)
    gathered = {}
    for place in wanted:
        if place in pass_steps:
            gathered[str(place)] = {
                "step": dump_steps([steps[place]])[0],
                "partial": steps[place].accumulate(frame),
            }
        else:
            steps[place].transform(frame, prepared[place])
    return {"rows": batch.num_rows, "steps": gathered}


def _empty(sources: Fields) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=pa.schema(list(sources.items())))


class _MergeTree:
    """Merges parts as they come in a balanced tree, earlier before later, holding one partial for
    each level.
    """

    def __init__(self) -> None:
        self._levels: list[Json | None] = []

    def add(self, partial: Json) -> None:
        for level, earlier in enumerate(self._levels):
            if earlier is None:
                self._levels[level] = partial
                return
            partial = _merged(earlier, partial)
            self._levels[level] = None
        self._levels.append(partial)

    def result(self) -> Json:
        result, *earlier = (partial for partial in self._levels if partial is not None)
        for partial in earlier:
            result = _merged(partial, result)
        return result


def _merged(left: Json, right: Json) -> Json:
    """Partials say which steps they are of, so that merging needs nothing else."""
    items = {place: part["step"] for place, part in left["steps"].items()}
    if items != {place: part["step"] for place, part in right["steps"].items()}:
        raise ValueError("partial statistics of different steps cannot be merged")
    steps, _ = load_steps(list(items.values()))
    merged = {
        place: {
            "step": item,
            "partial": step.merge(
                left["steps"][place]["partial"], right["steps"][place]["partial"]
            ),
        }
        for step, (place, item) in zip(steps, items.items(), strict=True)
    }
    return {"rows": left["rows"] + right["rows"], "steps": merged}
