"""What executors hold while a run goes: cores and GPUs, whether they compute or wait. That is what
is paid for.

Knows neither prices nor pipelines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchinfer.config.environment import SparkSettings
from batchinfer.machine import cores, gpu_names, torch_cuda
from batchinfer.spark.capacity import (
    EXECUTOR_GPUS,
    executors,
    is_one_process,
    local_workers,
    master_of,
    most_executors,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_CORES, _EXECUTORS = "spark.executor.cores", "spark.executor.instances"
WHERE_TOLD = f"{_CORES} and {_EXECUTORS} (or spark.dynamicAllocation.maxExecutors)"
"""The settings that say before a run what its executors will hold."""


@dataclass(frozen=True)
class HeldResources:
    """Cores and GPUs of all executors together."""

    cores: int
    gpus: float = 0.0


def held_by_run(
    spark: SparkSession | None, settings: SparkSettings, device: str, used: Iterable[str] = ()
) -> HeldResources:
    """What a run held, as it is at its end. On one machine that is the cores of its master, whether
    or not the rows needed a session.

    Args:
        spark: the run's session; None: it opened none.
        device: that the pipeline asks for: auto, cpu or cuda.
        used: the devices that its tasks tell of.

    Runs on: driver.
    """
    master = spark.sparkContext.master if spark is not None else master_of(settings)
    if is_one_process(master):
        return HeldResources(_own_cores(settings), _own_gpus(device, used))
    if spark is None:
        return HeldResources(0)
    conf = dict(spark.sparkContext.getConf().getAll())
    count = executors(spark)
    each = conf.get(_CORES)
    total = count * int(each) if each else spark.sparkContext.defaultParallelism
    return HeldResources(total, count * float(conf.get(EXECUTOR_GPUS, 0)))


def held_by_settings(settings: SparkSettings, device: str) -> HeldResources | None:
    """What a run will hold, as far as the environment says it; None where only the cluster knows.

    Executors that come and go are counted as the most that there may be.

    Runs on: driver, without Spark.
    """
    if is_one_process(master_of(settings)):
        return HeldResources(_own_cores(settings), _own_gpus(device, ()))
    conf: Mapping[str, str] = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in settings.conf.items()
    }
    count = most_executors(conf) or int(conf.get(_EXECUTORS, 0))
    if not count or _CORES not in conf:
        return None
    return HeldResources(count * int(conf[_CORES]), count * float(conf.get(EXECUTOR_GPUS, 0)))


def _own_cores(settings: SparkSettings) -> int:
    """A master may have more threads than the machine has cores."""
    return min(local_workers(settings), cores())


def _own_gpus(device: str, used: Iterable[str]) -> float:
    """GPUs that a run on this machine has: the first there is, or none."""
    kinds = {"cpu" if name.startswith("cpu") else "other" for name in used}
    if device == "cpu" or kinds == {"cpu"}:
        return 0.0
    try:
        return 1.0 if torch_cuda() and gpu_names() else 0.0
    except OSError:
        # There are devices, and only the tool that names them does not answer.
        return 1.0
