"""What a backfill of a span would do: which slices it would score and why, their rows, seconds and
cost, and every problem that can be foreseen. Scores nothing, starts no JVM.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from batchinfer.hints import Hint, commands_of
from batchinfer.pipeline.damaged_files import remedies
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.planning.estimate import Estimate
from batchinfer.pipeline.planning.foresight import Foresight
from batchinfer.pipeline.scoring.published import (
    choose_answered,
    has_to_be_scored,
    read_published,
    unpublished_state,
)
from batchinfer.pipeline.slices.landed import read_landed
from batchinfer.pipeline.slices.span import SliceSpan
from batchinfer.report.terminal import step
from batchinfer.spark.jvm import is_running

# So many slices are named in one warning.
_NAMED = 5


@dataclass(frozen=True)
class PlannedSlice:
    """A slice that would be scored.

    Attributes:
        why: missing, stale, failed, or forced where it is up to date.
        rows: that have landed.
        estimated_s: seconds, with the start of Spark in that of the slice that starts it.
        cost: at the pipeline's prices.
        reuse: whether published rows would be looked up, and why, as the tables are now.
    """

    slice: str
    why: str
    rows: int
    estimated_s: float | None
    cost: float | None
    reuse: str = ""


@dataclass(frozen=True)
class SpanPlan:
    """What a backfill would do.

    Attributes:
        slices: those that it would score, in order.
        up_to_date: how many landed slices it would leave as they are.
        rows, seconds, cost: of all slices together; None where one of them is not known.
        estimated_how, cost_how: what these rest on, or why they are not known.
        cores, gpus: that the cost counts; None: not known.
        exit_code: of the first problem, as `score` would end with it.
    """

    pipeline: str
    start: str
    end: str
    status: str
    slices: tuple[PlannedSlice, ...]
    up_to_date: int
    no_data: tuple[str, ...]
    rows: int
    seconds: float | None
    cost: float | None
    estimated_how: str
    cost_how: str
    cores: int | None
    gpus: float | None
    warnings: tuple[str, ...]
    problems: tuple[str, ...]
    hints: tuple[str, ...]
    exit_code: int

    def to_json(self) -> dict[str, Any]:
        body = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }
        del body["exit_code"], body["start"], body["end"]
        found = {"pipeline": body.pop("pipeline"), "from": self.start, "to": self.end} | body
        found["next"] = [one for hint in self.hints for one in commands_of(hint)]
        return found | ({"errors": list(self.problems)} if self.problems else {})


def plan_span(context: Context, span: SliceSpan, force: bool = False) -> SpanPlan:
    """What `backfill` of the span would do with these slices, and every problem found.

    Args:
        force: published slices are scored again too.

    Runs on: driver, without Spark.

    Raises:
        DamagedFile: the tables do not tell what is published.
    """
    from batchinfer.lake.runs import latest_runs

    foresight = Foresight(context)
    with step(f"looking at {len(span.landed):,} slices"):
        data = {name: foresight.find_slice(name) for name in span.landed}
    with step(f"looking up the model {context.pipeline.model.uri}"):
        foresight.look_at_places()
    model = foresight.model
    with remedies(context):
        published, landed = read_published(context), read_landed(context)
    last = latest_runs(context.runs, context.name, "score")
    digest = model.ref.digest if model is not None else None

    def is_due(name: str, force: bool) -> bool:
        seen = data[name] or landed[name]
        return digest is None or has_to_be_scored(published.get(name), seen, digest, force)

    chosen = [name for name in span.landed if is_due(name, force)]
    whys = {
        name: unpublished_state(published.get(name), last.get(name))
        if is_due(name, force=False)
        else "forced"
        for name in chosen
    }
    estimate = Estimate.of(context, foresight.earlier)
    is_open, slices = is_running(), list[PlannedSlice]()
    warnings = [*(model.warnings if model else ())]
    for name in chosen:
        seen = foresight.look_at_slice(name, data[name], published.get(name))
        warnings += seen.notes
        opens = not is_open and seen.opens_session
        is_open = is_open or opens
        rows = landed[name].rows
        seconds = estimate.seconds(rows, opens)
        reuse, found = "", data[name]
        if found is not None and digest is not None:
            runs = foresight.earlier
            reuse = choose_answered(context, found, published, digest, runs, force=force).reason
        slices.append(
            PlannedSlice(name, whys[name], rows, seconds, estimate.cost(seconds), reuse),
        )
    foresight.look_at_machine()
    seconds = _sum(one.estimated_s for one in slices)
    problems = tuple(foresight.problems)
    held = estimate.held
    return SpanPlan(
        pipeline=context.name,
        start=span.start,
        end=span.end,
        status="problems" if problems else "ready" if slices else "nothing",
        slices=tuple(slices),
        up_to_date=len(span.landed) - len(slices),
        no_data=span.no_data,
        rows=sum(one.rows for one in slices),
        seconds=seconds,
        cost=_sum((one.cost for one in slices), 6),
        estimated_how=estimate.how_long(),
        cost_how=estimate.how_dear(),
        cores=held.cores if held else None,
        gpus=held.gpus if held else None,
        warnings=(*warnings, *_far(estimate, slices), *([span.note] if span.note else [])),
        problems=problems,
        hints=(*foresight.hints, *_how_to_know(context, estimate, chosen)),
        exit_code=foresight.exit_code,
    )


def _sum(values: Iterable[float | None], decimals: int = 1) -> float | None:
    """None where one of them is not known; nothing is 0."""
    known = list(values)
    if None in known:
        return None
    return round(sum(value for value in known if value is not None), decimals)


def _how_to_know(context: Context, estimate: Estimate, chosen: Sequence[str]) -> list[str]:
    """The run that would be measured, where none was."""
    if estimate.earlier or not chosen:
        return []
    score = context.asked.command("score", "--slice", chosen[0])
    return [Hint(score, " is measured: plans then have an estimate")]


def _far(estimate: Estimate, slices: Iterable[PlannedSlice]) -> list[str]:
    far = [one.slice for one in slices if estimate.far_beyond(one.rows)]
    if not far:
        return []
    more = f" and {len(far) - _NAMED:,} more" if len(far) > _NAMED else ""
    return [
        f"slices {', '.join(far[:_NAMED])}{more} have more than ten times the rows of any run that "
        "was measured: how long they take is less sure"
    ]
