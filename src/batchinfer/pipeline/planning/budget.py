"""`backfill --max-cost`: what the slices of a span may cost together, held before each of them.

Owns when a further slice may begin. What was spent is measured: the seconds since the backfill
began, of the cores and GPUs that its executors hold; slices at the same time share these.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field

from batchinfer.command_reports import RunReport
from batchinfer.errors import BatchInferError, BudgetReached, ConfigError
from batchinfer.hinted_commands import Asked
from batchinfer.hints import CommandLine, Hint
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.costs import NO_GPU_PRICE, cost_of, lacks_gpu_price
from batchinfer.pipeline.planning.estimate import PRICES
from batchinfer.pipeline.planning.span_plan import PlannedSlice, SpanPlan, plan_span
from batchinfer.pipeline.slices.span import SliceSpan
from batchinfer.spark.held_resources import HeldResources


@dataclass
class Budget:
    """What a backfill may cost, and what it has cost so far; asked by the threads that score.

    Attributes:
        most: what all may cost, in the currency of the prices.
        planned: the slices that the backfill would score.
        left: those that it did not begin.
        needed: what the backfill would have cost with the first of these.
        force: published slices are scored again too.
    """

    context: Context
    most: float
    planned: dict[str, PlannedSlice]
    held: HeldResources
    force: bool = False
    left: list[str] = field(default_factory=list)
    needed: float = 0.0
    _began: float = field(init=False)
    _lacks_price: bool = False
    _at_work: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._began = self.now()

    def now(self) -> float:
        """Seconds of a clock that only goes on."""
        return time.monotonic()

    def admits(self, slice_: str) -> bool:
        """Whether a slice may begin: what was spent, what those at work still need, and the slice
        itself stay within what all may cost. After the first that may not, none may.
        """
        with self._lock:
            planned = self.planned.get(slice_)
            needs = (planned.cost or 0.0) if planned else 0.0
            now = self.now()
            still = sum(
                max(0.0, (self.planned[name].cost or 0.0) - self._cost(now - began))
                for name, began in self._at_work.items()
            )
            needed = self._cost(now - self._began) + still + needs
            if self.left or (planned and (needed > self.most or self._lacks_price)):
                if planned:
                    self.needed = self.needed or needed
                    self.left.append(slice_)
                return False
            if planned:
                self._at_work[slice_] = now
            return True

    def ended(self, slice_: str, outcome: RunReport | BatchInferError) -> None:
        """Takes note of a slice that is done; a run tells what its executors really hold."""
        with self._lock:
            self._at_work.pop(slice_, None)
            if isinstance(outcome, RunReport) and outcome.cores:
                self.held = HeldResources(outcome.cores, outcome.gpus)
                prices = self.context.pipeline.prices
                self._lacks_price = prices is not None and lacks_gpu_price(prices, self.held)

    def reached(self, end: str) -> BudgetReached | None:
        """What is told where slices were left; None where none was.

        Args:
            end: the last slice of the span.
        """
        if not self.left:
            return None
        first, count = min(self.left), len(self.left)
        slices = f"{count:,} slice{'s' * (count > 1)} from {first} on"
        why = (
            NO_GPU_PRICE
            if self._lacks_price
            else f"with slice {first} the backfill would have cost about {self.needed:.4g}"
        )
        on = self.context.asked.command(
            "backfill",
            "--from",
            first,
            "--to",
            end,
            *(["--force"] if self.force else []),
        )
        return BudgetReached(
            f"--max-cost: got {self.most:g}; {why}, so it left {slices}. What was scored is "
            "published",
            Hint(_limited(on, self.most), " goes on, for as much again"),
        )

    def _cost(self, seconds: float) -> float:
        return cost_of(self.context.pipeline.prices, self.held, seconds) or 0.0


def open_budget(context: Context, span: SliceSpan, force: bool, most: float) -> Budget:
    """Estimates a backfill, and holds the estimate against what it may cost.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: the estimate is above it, or there is none; it is no amount.
        BatchInferError: a problem of all slices keeps the model from being known, as `score` would
            tell it.
    """
    if not (math.isfinite(most) and most >= 0):
        # NaN is above nothing, so that it would allow everything.
        raise ConfigError(f"--max-cost: got {most:g}; allowed: a finite amount of 0 or more")
    plan = plan_span(context, span, force)
    if plan.cost is None or plan.cores is None:
        raise _without_estimate(context, plan)
    if plan.cost > most:
        raise _above(context.asked, plan, force, most)
    planned = {one.slice: one for one in plan.slices}
    return Budget(context, most, planned, HeldResources(plan.cores, plan.gpus or 0.0), force)


def _limited(command: str, most: float) -> CommandLine:
    return CommandLine(f"{command} --max-cost {most:g}")


def _without_estimate(context: Context, plan: SpanPlan) -> BatchInferError:
    if context.pipeline.prices is None:
        return ConfigError(
            "--max-cost: nothing tells what a run costs: the pipeline file has no prices; allowed: "
            f"--max-cost with a pipeline file that has them, such as {PRICES}",
            f"write into {context.loaded.file}: {PRICES}, with what an hour of a core and of a GPU "
            "costs",
        )
    if plan.problems:
        error = BatchInferError(plan.problems, plan.hints[0] if plan.hints else None)
        error.exit_code = plan.exit_code
        return error
    why = plan.estimated_how if plan.seconds is None else plan.cost_how
    return ConfigError(
        f"--max-cost: the cost of the backfill is {why}; allowed: --max-cost where it is known",
        plan.hints[-1] if plan.hints else None,
    )


def _above(asked: Asked, plan: SpanPlan, force: bool, most: float) -> ConfigError:
    """The estimate is above what is allowed: what would do as much as fits."""
    total, fitting = 0.0, list[PlannedSlice]()
    for one in plan.slices:
        total += one.cost or 0.0
        if total > most:
            break
        fitting.append(one)
    if fitting:
        command = asked.command(
            "backfill",
            "--from",
            plan.start,
            "--to",
            fitting[-1].slice,
            *(["--force"] if force else []),
        )
        count = f"{len(fitting):,} of {len(plan.slices):,} slices"
        hint = Hint(_limited(command, most), f" scores {count}, which fit")
    else:
        hint = f"the first slice alone is estimated at {plan.slices[0].cost:.4g}"
    return ConfigError(
        f"--max-cost: got {most:g}; the backfill is estimated at {plan.cost:.4g}, for "
        f"{len(plan.slices):,} slices of {plan.rows:,} rows in {plan.seconds:,.0f} s; allowed: at "
        "least the estimate. Nothing was scored",
        hint,
    )
