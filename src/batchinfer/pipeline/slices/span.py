"""The slices between two that a user names: those that have landed, and the units of time without
data.
"""

from __future__ import annotations

from dataclasses import dataclass

from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import check_slice, slices_between, span_note
from batchinfer.pipeline.slices.landed import read_landed_slices


@dataclass(frozen=True)
class SliceSpan:
    """What lies between two slices, both included.

    Attributes:
        landed: slices that have landed, in order.
        no_data: hours, days or months that have not.
        note: what is to be said of a span of which not every unit is listed.
    """

    start: str
    end: str
    landed: tuple[str, ...]
    no_data: tuple[str, ...]
    note: str | None


def find_span(context: Context, start: str, end: str) -> SliceSpan:
    """What lies between two slices.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: bounds that are no slices of the pipeline, or in the wrong order.
    """
    rule = context.pipeline.source.slice
    for option, bound in (("--from", start), ("--to", end)):
        check_slice(rule, bound, option)
    landed = read_landed_slices(context)
    wanted = slices_between(rule, landed, start, end)
    return SliceSpan(
        start,
        end,
        tuple(name for name in wanted if name in landed),
        tuple(name for name in wanted if name not in landed),
        span_note(rule, start, end),
    )
