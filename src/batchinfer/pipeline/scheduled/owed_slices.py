"""Which slices a night owes besides the days of its window: what landed since the last night, and
what that night could not score.

All of it is decided from the logs of the tables and from the rows that nights leave in the runs
table, so a night that was killed is made good by the next one. Reads no file of data; starts no
JVM.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchinfer.pipeline.damaged_files import remedies
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.scheduled.night_rows import newest_nights
from batchinfer.pipeline.scoring.published import Published, read_published
from batchinfer.pipeline.slices.landed import read_landed
from batchinfer.pipeline.slices.slice_data import LandedSlice

if TYPE_CHECKING:
    from batchinfer.lake.runs import LatestRun

# So many rows of nights are read at first; more where none of them says how far a night has come.
_LOOKS_BACK = (20, 400, 8_000)
_SEEN_TO, _FAILED, _LEFT = "seen_to", "failed", "left"


@dataclass(frozen=True)
class Owed:
    """What a night has to score besides its window.

    Attributes:
        slices: the newest first; those that an earlier night could not score come last.
        seen_to: how far the landed table was looked at: the next night owes what changes later.
        is_first: no night of this pipeline has come to its end yet.
    """

    slices: tuple[str, ...]
    seen_to: int
    is_first: bool

    def settled(self, failed: Collection[str], left: Collection[str]) -> dict[str, object]:
        """What the night's row tells the next night.

        A first night owes no more of what it leaves: that is history which nobody asked for.

        Args:
            failed: slices that could not be scored, in the window too.
            left: slices that were not tried.
        """
        kept = [] if self.is_first else list(left)
        return {_SEEN_TO: self.seen_to, _FAILED: list(failed), _LEFT: kept}


def unscored_slices(context: Context, landed: Mapping[str, LandedSlice]) -> dict[str, LandedSlice]:
    """Those of the landed slices that are not published from today's data, by name. Another model
    makes none of them: `backfill` scores what a model has made stale.

    Runs on: driver, without Spark.
    """
    with remedies(context):
        published = read_published(context)
    return {
        name: slice_
        for name, slice_ in landed.items()
        if _is_unscored(slice_, published.get(name), context.pipeline.sink.shared)
    }


def find_owed(context: Context, first: str, last: str) -> Owed:
    """What a night owes besides the slices from first to last, which it scores anyway.

    After the first night that came to its end, these are slices that changed since the last one,
    or that it has failed to score or left. Before it, they are all that are not scored.

    Runs on: driver, without Spark.
    """
    landed = read_landed(context)
    newest = max((moment_of(slice_) for slice_ in landed.values()), default=-1)
    told = None
    for count in _LOOKS_BACK:
        nights = newest_nights(context, count)
        told = next((night for night in nights if _SEEN_TO in night.report), None)
        if told is not None or len(nights) < count:
            break
    # A landed table that was made anew counts from the beginning.
    known = told is not None and told.report[_SEEN_TO] <= newest
    failed, left, seen_to = _told(told) if told is not None and known else (set(), set(), -1)
    outside = [
        name
        for name, slice_ in unscored_slices(context, landed).items()
        if not first <= name <= last
        and (moment_of(slice_) > seen_to or name in failed or name in left)
    ]
    order = sorted(sorted(outside, reverse=True), key=lambda name: name in failed)
    return Owed(tuple(order), newest, not known)


def _told(night: LatestRun) -> tuple[set[str], set[str], int]:
    report = night.report
    return set(report[_FAILED]), set(report[_LEFT]), int(report[_SEEN_TO])


def moment_of(slice_: LandedSlice) -> int:
    """When a slice changed, as a number that only grows: the landed table's version, or the
    microsecond at which a change of a table that is read in place was recorded.
    """
    if slice_.recorded_at is None:
        return slice_.changed_at
    return int(slice_.recorded_at.timestamp() * 1_000_000)


def _is_unscored(slice_: LandedSlice, published: Published | None, is_shared: bool) -> bool:
    if published is None or (published.other is not None and is_shared):
        return True
    return published.is_cut_off or published.is_of_other_data(slice_)
