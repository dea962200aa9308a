"""What seconds of executors cost at a pipeline's prices.

Owns the reckoning, and which fields of a report it fills.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from batchinfer.command_reports import RunReport
from batchinfer.config.pipeline import Prices
from batchinfer.pipeline.definition.context import Context

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from batchinfer.spark.held_resources import HeldResources

NO_GPU_PRICE = "prices.gpu_hour is not set, and executors hold a GPU: there is no cost without it"
# Of a cost, so many decimals are kept: a run of a second may cost a hundred-thousandth.
_DECIMALS = 6


def cost_of(
    prices: Prices | None, held: HeldResources | None, seconds: float | None
) -> float | None:
    """The cost of so many seconds, in the currency of the prices; None where something of it is
    not known.
    """
    if prices is None or held is None or seconds is None or lacks_gpu_price(prices, held):
        return None
    an_hour = held.cores * prices.cpu_hour + held.gpus * (prices.gpu_hour or 0.0)
    return round(seconds / 3600 * an_hour, _DECIMALS)


def lacks_gpu_price(prices: Prices, held: HeldResources) -> bool:
    """Whether a GPU is held that has no price."""
    return held.gpus > 0 and prices.gpu_hour is None


def note_held(
    context: Context, report: RunReport, spark: SparkSession | None, used: Iterable[str] = ()
) -> None:
    """Fills in what a run held; its arguments are those of `held_by_run`."""
    from batchinfer.spark.held_resources import held_by_run

    device = context.pipeline.model.device
    held = held_by_run(spark, context.environment.spark, device, used)
    report.cores, report.gpus = held.cores, held.gpus


def tell_cost(prices: Prices | None, report: RunReport) -> None:
    """Fills in the cost of a run, from its seconds and from what it says that it held."""
    report.cost = None
    if prices is None:
        return
    from batchinfer.spark.held_resources import HeldResources

    held = HeldResources(report.cores, report.gpus)
    report.cost = cost_of(prices, held, report.seconds)
    if lacks_gpu_price(prices, held) and NO_GPU_PRICE not in report.warnings:
        report.warnings.append(NO_GPU_PRICE)
