"""Whether equal rows of a whole run are brought together and scored once: judged from a sample of
the rows, and from how fast earlier runs of the bundle were.

Owns the decision and its reason. How it is done is `scoring/once.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from batchinfer.errors import ConfigError
from batchinfer.inference.exchange import estimated_distinct
from batchinfer.inference.fingerprint import fingerprint, first_words
from batchinfer.pipeline.slices.reading import SliceSplit, read_rows
from batchinfer.report.terminal import step

# Seconds of one worker for each row that is shared out, and for each byte of inputs (2 cores,
# docs/benchmarks.md).
_ROW_S, _BYTE_S = 3e-6, 1e-8
# The model must be expected to take so many seconds of all workers before a sample is taken.
_LEAST_S = 20.0
# It has to save this share of the time: the sample and the rates are estimates.
_WORTH = 0.2
_SAMPLES, _SAMPLE_ROWS, _SAMPLED_AT_ONCE = 8, 16_384, 4
# Rows that differ in a few columns are different rows: of a wide table no more is read where these
# tell.
_FIRST_INPUTS = 4


@dataclass(frozen=True)
class Decision:
    """Whether equal rows of the whole run are brought together, and why."""

    exchange: bool
    reason: str


def decide(
    splits: list[SliceSplit],
    inputs: Sequence[str],
    fastest: float | None,
    asked: str,
    senders: int,
    place: str | None,
    looks_up: bool = False,
) -> Decision:
    """Judges from a sample, unless the pipeline file says it.

    Args:
        inputs: columns that make rows equal.
        fastest: rows/s of the model on one worker, as earlier runs of the bundle had them; None:
            there were none.
        asked: `model.deduplicate`: auto, always, never.
        senders: tasks that would share the rows out; each sends the inputs of its distinct rows.
        place: where rows can meet; None: there is no folder that workers see.
        looks_up: published rows are looked up, so that the model gets few of these.

    Runs on: driver, which reads a sample where the model takes long enough.

    Raises:
        ConfigError: it is asked for, and rows can meet nowhere.
    """
    if place is None and asked != "never":
        why = "workers cannot open the environment's `staging` folder without Spark"
        if asked == "always":
            raise ConfigError(f"model.deduplicate: got always, but {why}; allowed: auto, never")
        return Decision(False, f"only inside batches: {why}")
    if asked != "auto":
        return Decision(asked == "always", f"the pipeline file says model.deduplicate: {asked}")
    if looks_up:
        return Decision(
            False, "only inside batches: published rows are looked up, so few are left to score"
        )
    rows = sum(each.split.rows for each in splits)
    if fastest is None:
        return Decision(False, "only inside batches: no earlier run tells how long the model takes")
    model_s = rows / fastest
    if model_s < _LEAST_S:
        return Decision(
            False,
            f"only inside batches: the model takes about {model_s:.0f} s of the workers for all "
            "rows",
        )
    if len(inputs) > 2 * _FIRST_INPUTS:
        few, _ = _sample(splits, inputs[:_FIRST_INPUTS])
        if len(np.unique(few)) == len(few):
            return Decision(
                False, f"only inside batches: no two of a sample of {len(few):,} rows are equal"
            )
    sample, row_bytes = _sample(splits, inputs)
    distinct = estimated_distinct(sample, rows)
    saved_s = model_s * (1 - distinct / rows)
    cost_s = rows * _ROW_S + min(rows, distinct * senders) * row_bytes * _BYTE_S
    seen = f"a sample of {len(sample):,} rows lets expect {distinct:,} distinct rows of {rows:,}"
    return Decision(
        saved_s - cost_s > _WORTH * model_s,
        f"{seen}; scoring each once saves about {saved_s:.0f} s of the workers and costs "
        f"{cost_s:.0f} s",
    )


def _sample(splits: list[SliceSplit], inputs: Sequence[str]) -> tuple[np.ndarray, float]:
    """Hashes of rows from several places of the table by these inputs, and the bytes that they take
    of a row.
    """
    # One file of a split, from splits that lie far apart.
    chosen = splits[:: max(1, len(splits) // _SAMPLES)][:_SAMPLES]
    with (
        step("looking for equal rows"),
        ThreadPoolExecutor(_SAMPLED_AT_ONCE, thread_name_prefix="samples") as pool,
    ):
        found = list(pool.map(lambda each: _first_rows(each, inputs), chosen))
    hashes = [hashed for hashed, _ in found]
    rows = max(1, sum(map(len, hashes)))
    return np.concatenate([*hashes, np.empty(0, "<u8")]), sum(bytes_ for _, bytes_ in found) / rows


def _first_rows(of: SliceSplit, inputs: Sequence[str]) -> tuple[np.ndarray, int]:
    """Hashes of the first rows of a split, `(rows,) <u8`, and the bytes that they take in
    memory.
    """
    first = replace(of, split=replace(of.split, parts=of.split.parts[:1]))
    rows = next(iter(read_rows(first, inputs, _SAMPLE_ROWS)), None)
    if rows is None:
        return np.empty(0, "<u8"), 0
    return first_words(fingerprint(rows, inputs)), rows.nbytes
