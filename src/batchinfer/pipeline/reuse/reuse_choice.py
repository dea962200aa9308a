"""Whether the rows of published slices are looked up before a slice is scored, and why.

Looking up costs: the published rows are read and sorted, and each row of the slice is searched for.
It saves the model. How long the model takes for a row, earlier runs of the bundle tell; how many
rows have changed, nobody knows before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Seconds of one worker for each published row that is read and sorted, and for each row that is
# looked up and put together (2 cores, docs/benchmarks.md).
_INDEX_S, _LOOKUP_S = 2.5e-7, 3e-7
# What may be saved has to exceed the cost by this factor: the rows that have changed are scored.
_WORTH = 1.5
# The index lies in the page cache of each machine: some 30 bytes a row and the predictions.
MOST_ROWS = 50_000_000
# Where nothing tells how long the model takes, so many published rows are read for a row of the
# slice: the default model takes longer for it.
_UNTOLD = 10
# So many rows are read and looked up in less time than a worker starts in.
_FEW_ROWS = 200_000


@dataclass(frozen=True)
class AnsweredSlice:
    """A published slice whose rows may answer others.

    Attributes:
        version: Delta version of the commit that published it.
        rows: that it has.
        size: bytes of its files.
    """

    slice: str
    version: int
    rows: int
    size: int


@dataclass(frozen=True)
class ReuseChoice:
    """What is looked up: rows of these slices, none of them or some; and why."""

    slices: tuple[AnsweredSlice, ...]
    reason: str


def choose_reuse(
    asked: str,
    answered: Sequence[AnsweredSlice],
    rows: int,
    row_s: float | None,
    *,
    why_none: str = "",
) -> ReuseChoice:
    """Which published rows are looked up.

    Args:
        asked: `model.reuse`: auto, always, never.
        answered: slices with rows of the same bundle and precision, the slice itself first, then
            those before it, the latest first.
        rows: of the slice.
        row_s: seconds of a worker in which the model scores a row; None: no earlier run tells.
        why_none: what keeps all rows from being reused, whatever is asked; empty: nothing.

    Runs on: driver.
    """
    if why_none:
        return ReuseChoice((), why_none)
    if asked == "never":
        return ReuseChoice((), "no: the pipeline file says model.reuse: never")
    if not answered:
        return ReuseChoice((), "no: nothing is published that this model has scored")
    if asked == "always":
        found = _told(answered)
        return ReuseChoice(tuple(answered), f"yes, as model.reuse is always: {found}")
    fitting = _fitting(answered)
    if not fitting:
        return ReuseChoice(
            (),
            f"no: slice {answered[0].slice} has {answered[0].rows:,} published rows, and more than "
            f"{MOST_ROWS:,} are looked up only where model.reuse is always",
        )
    found, known = _told(fitting), sum(each.rows for each in fitting)
    cost_s = known * _INDEX_S + rows * _LOOKUP_S
    if known + rows <= _FEW_ROWS:
        return ReuseChoice(fitting, f"yes: {found}; to look them up costs next to nothing")
    if row_s is None:
        is_worth = known <= _UNTOLD * rows
        return ReuseChoice(
            fitting if is_worth else (),
            f"{'yes' if is_worth else 'no'}: {found}; no earlier run tells how long the model "
            f"takes, and to look them up costs about {cost_s:.1f} s of the workers",
        )
    saved_s = min(rows, known) * row_s
    is_worth = saved_s > _WORTH * cost_s
    return ReuseChoice(
        fitting if is_worth else (),
        f"{'yes' if is_worth else 'no'}: {found}; the model takes up to {saved_s:.1f} s of the "
        f"workers for them, and to look them up costs about {cost_s:.1f} s",
    )


def _fitting(answered: Sequence[AnsweredSlice]) -> tuple[AnsweredSlice, ...]:
    """The first of them, as many as have no more rows than may be looked up."""
    left, fitting = MOST_ROWS, list[AnsweredSlice]()
    for each in answered:
        left -= each.rows
        if left < 0:
            break
        fitting.append(each)
    return tuple(fitting)


def _told(slices: Sequence[AnsweredSlice]) -> str:
    rows = sum(each.rows for each in slices)
    names = sorted(each.slice for each in slices)
    of = f"slice {names[0]}" if len(names) == 1 else f"slices {names[0]} to {names[-1]}"
    return f"{rows:,} published rows of {of}"
