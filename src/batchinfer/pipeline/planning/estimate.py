"""What runs with a bundle will take and cost: from what earlier runs with it took, and from what
their executors held. Where nothing was measured there is no figure, and the reason is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.costs import NO_GPU_PRICE, cost_of, lacks_gpu_price
from batchinfer.pipeline.scoring.earlier_runs import (
    estimated_seconds,
    held_before,
    reckoned_shares,
)
from batchinfer.spark.held_resources import WHERE_TOLD, HeldResources, held_by_settings

if TYPE_CHECKING:
    from batchinfer.lake.runs import LatestRun

PRICES = "prices: {cpu_hour: 0.05, gpu_hour: 2.5}"
"""The line of a pipeline file that gives plans and runs a cost."""
# Beyond so many times the rows of the largest run nothing was measured that is near.
_FAR = 10


@dataclass(frozen=True)
class Estimate:
    """What is known of the cost of runs before they begin.

    Attributes:
        earlier: the runs that it rests on, with the bundle that would score.
        held: what executors will hold; None where nothing tells.
    """

    context: Context
    earlier: Sequence[LatestRun]
    held: HeldResources | None

    @classmethod
    def of(cls, context: Context, earlier: Sequence[LatestRun]) -> Estimate:
        settings, device = context.environment.spark, context.pipeline.model.device
        return cls(context, earlier, held_before(earlier) or held_by_settings(settings, device))

    def seconds(self, rows: int, starts_spark: bool) -> float | None:
        """Seconds of one run; None where no run with this bundle was measured."""
        return estimated_seconds(self.earlier, rows, starts_spark)

    def cost(self, seconds: float | None) -> float | None:
        """What these seconds cost; None without prices, or where something is not known."""
        return cost_of(self.context.pipeline.prices, self.held, seconds)

    def how_long(self) -> str:
        """What the seconds rest on, and how sure they are, in words."""
        if not self.earlier:
            return "not known: no earlier run of this model"
        rows = [run.rows_in or 0 for run in self.earlier]
        told = f"{len(rows)} earlier run{'s' * (len(rows) > 1)} of this model"
        spread = f", of {min(rows):,} to {max(rows):,} rows" if len(set(rows)) > 1 else ""
        if len(rows) == 1:
            return f"{told}, of {rows[0]:,} rows: one run tells nothing of how sure it is"
        if shares := reckoned_shares(self.earlier):
            spread += (
                f"; without Spark's start the latest took {shares[0]:.2g} to {shares[1]:.2g} times "
                "what is reckoned of their rows"
            )
        return told + spread

    def how_dear(self) -> str:
        """What the cost rests on, in words; or why there is none, and what gives it."""
        prices, held = self.context.pipeline.prices, self.held
        if prices is None:
            return f"not known: the pipeline file has no prices, such as {PRICES}"
        if held is None:
            return (
                "not known: no earlier run tells what executors hold, and the environment does "
                f"not say it: {WHERE_TOLD}"
            )
        if lacks_gpu_price(prices, held):
            return f"not known: {NO_GPU_PRICE}"
        if not self.earlier:
            return "not known: nothing tells how long it takes"
        gpus = f" and {held.gpus:g} GPU{'s' * (held.gpus != 1)}" if held.gpus else ""
        cores = f"{held.cores} core{'s' * (held.cores != 1)}"
        return f"the seconds of {cores}{gpus}, at the prices of the pipeline file"

    def far_beyond(self, rows: int) -> bool:
        """Whether so many rows are far more than any run had that was measured."""
        most = max((run.rows_in or 0 for run in self.earlier), default=0)
        return 0 < most * _FAR < rows
