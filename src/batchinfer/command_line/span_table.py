"""What people see of the plan of a backfill: a table on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchinfer.pipeline.planning.span_plan import SpanPlan


def show_span_plan(plan: SpanPlan) -> SpanPlan:
    """The slices that would be scored, with all of them in the last row; what the figures rest on;
    every problem.
    """
    from batchinfer.report.terminal import show_hint, show_table

    rows = [
        [one.slice, one.why, one.rows, _duration(one.estimated_s), _money(one.cost)]
        for one in plan.slices
    ]
    whole = f"{len(plan.slices):,} slices"
    rows.append([whole, "", plan.rows, _duration(plan.seconds), _money(plan.cost)])
    title = f"plan for a backfill of {plan.pipeline}, {plan.start} to {plan.end}"
    show_table(title, ["slice", "why", "rows", "estimate", "cost"], rows)
    facts: list[tuple[str, Any]] = [
        ("up to date", plan.up_to_date),
        ("without data", len(plan.no_data)),
        ("the estimate", plan.estimated_how),
        ("the cost", plan.cost_how),
        *(("warning", text) for text in plan.warnings),
        *(("problem", text) for text in plan.problems),
    ]
    show_table("what it rests on", ["what", "value"], [[name, _told(fact)] for name, fact in facts])
    for hint in plan.hints:
        show_hint(hint)
    return plan


def _duration(seconds: float | None) -> str | None:
    from batchinfer.report.safe_text import duration

    return None if seconds is None else duration(seconds)


def _money(cost: float | None) -> str | None:
    from batchinfer.report.safe_text import money

    return None if cost is None else money(cost)


def _told(fact: int | str) -> str:
    return f"{fact:,}" if isinstance(fact, int) else fact
