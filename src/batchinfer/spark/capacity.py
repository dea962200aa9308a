"""What a task that runs the model takes of an executor, how many such tasks fit, and whether one
would ever be scheduled.

Tasks of other stages take one core: a stage that reads files needs no GPU. Spark schedules the
model's stage by a resource profile of its own where the environment says more (`spark.model_task`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from batchinfer.config.environment import SparkSettings
from batchinfer.errors import ConfigError, StorageError
from batchinfer.inference.workers import threads_per_worker
from batchinfer.machine import cores
from batchinfer.report.terminal import show_line
from batchinfer.spark.shipping import is_local
from batchinfer.spark.tasks import ThisProcess

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.resource import ResourceProfile
    from pyspark.sql import SparkSession

    from batchinfer.config.environment import ModelTask
    from batchinfer.spark.tasks import Workplace


GPU = "gpu"
EXECUTOR_GPUS = "spark.executor.resource.gpu.amount"

# A cluster that is full for longer than this is told as a fault worth a retry; a scheduler then
# knows, and tries again.
PATIENCE_S = 600.0
_FIRST_WORD_S = 20.0
_EACH_WORD_S = 60.0
_POLL_S = 0.2


def problems_of(conf: Mapping[str, str], task: ModelTask) -> list[str]:
    """Why no executor with these settings could ever run a task of the model; empty where one
    can.
    """
    found: list[str] = []
    gpus = float(conf.get(EXECUTOR_GPUS, 0))
    if task.gpus and not gpus:
        found.append(
            f"spark.model_task.gpus: got {task.gpus:g}, and executors have no GPU: "
            f"{EXECUTOR_GPUS} is not set; allowed: 0, or executors with GPUs "
            "(conf/environments/gpu.yaml)"
        )
    elif task.gpus > gpus:
        found.append(
            f"spark.model_task.gpus: got {task.gpus:g}; allowed: up to {gpus:g}, which is "
            f"{EXECUTOR_GPUS}"
        )
    has = conf.get("spark.executor.cores")
    if has is not None and task.cpus > int(has):
        found.append(
            f"spark.model_task.cpus: got {task.cpus}; allowed: up to {has}, which is "
            "spark.executor.cores"
        )
    return found


def profile_of(spark: SparkSession, task: ModelTask) -> ResourceProfile | None:
    """The resource profile of the model's stage; None where its tasks take what all tasks take, or
    where there are no executors.

    Runs on: driver.
    """
    if not _has_own(spark, task):
        return None
    from pyspark.resource import ResourceProfileBuilder, TaskResourceRequests

    requests = TaskResourceRequests().cpus(task.cpus)
    if task.gpus:
        requests = requests.resource(GPU, task.gpus)
    return ResourceProfileBuilder().require(requests).build


def workers(workplace: Workplace) -> int:
    """Tasks that take what all tasks take and run at the same time, in all executors together; at
    least one. One in this process.
    """
    if isinstance(workplace, ThisProcess):
        return 1
    spark = workplace
    conf = _conf(spark)
    most, each = most_executors(conf), int(conf.get("spark.executor.cores", "1"))
    return max(
        1,
        max(spark.sparkContext.defaultParallelism, most * each)
        // int(conf.get("spark.task.cpus", "1")),
    )


def task_threads(spark: SparkSession, task: ModelTask) -> int:
    """Threads of a forward pass on the CPU: the cores of the task; on one machine, its share of all
    cores.
    """
    if is_local(spark.sparkContext.master):
        return threads_per_worker(cores(), model_workers(spark, task))
    return task.cpus if _has_own(spark, task) else int(_conf(spark).get("spark.task.cpus", "1"))


def model_workers(spark: SparkSession, task: ModelTask) -> int:
    """Tasks of the model that run at the same time, in all executors together; at least one."""
    if not _has_own(spark, task):
        return workers(spark)
    conf, count = _conf(spark), executors(spark)
    each = max(1, spark.sparkContext.defaultParallelism // count) // task.cpus
    if task.gpus:
        each = min(each, int(float(conf.get(EXECUTOR_GPUS, 0)) / task.gpus + 1e-9))
    return max(1, max(count, most_executors(conf)) * each)


def is_one_process(master: str | None) -> bool:
    """Whether driver and executor are one process, `local[…]`: it has cores, and neither GPUs nor
    resource profiles.
    """
    return master is not None and re.match(r"local($|\[)", master) is not None


def _has_own(spark: SparkSession, task: ModelTask) -> bool:
    """Whether tasks of the model take more than others."""
    return not is_one_process(spark.sparkContext.master) and (task.cpus > 1 or task.gpus > 0)


def executors(spark: SparkSession) -> int:
    """How many executors there are now; at least one."""
    return max(1, _registered(spark))


def most_executors(conf: Mapping[str, str]) -> int:
    """How many executors Spark adds at most where there is work for them; 0 where it adds none, or
    without a limit.

    Work is cut for as many: Spark asks for an executor only where tasks wait for one.
    """
    adds = conf.get("spark.dynamicAllocation.enabled") == "true"
    return int(conf.get("spark.dynamicAllocation.maxExecutors", "0")) if adds else 0


def check_capacity(spark: SparkSession, task: ModelTask) -> None:
    """Waits for the first executor, and says what it waits for.

    Runs on: driver.

    Raises:
        ConfigError: no executor could ever run the model.
        StorageError: none has come in ten minutes; worth a retry.
    """
    if is_one_process(spark.sparkContext.master):
        return
    conf = _conf(spark)
    if problems := problems_of(conf, task):
        raise ConfigError(problems)
    started, next_word = time.monotonic(), _FIRST_WORD_S
    while not _registered(spark):
        waited = time.monotonic() - started
        if _may_start_without(conf):
            return
        if waited > PATIENCE_S:
            hint = _LOOK.format(page=spark.sparkContext.uiWebUrl or "not shown")
            raise StorageError(f"no executor in {waited:.0f} s: {_asked(spark)}", hint)
        if waited > next_word:
            show_line(f"batchinfer: no executor after {waited:.0f} s, waiting: {_asked(spark)}")
            next_word += _EACH_WORD_S
        time.sleep(_POLL_S)


_LOOK = (
    "is the cluster full, or does no machine of it have as much? The cluster manager's page "
    "tells; Spark's own: {page}"
)


def _may_start_without(conf: Mapping[str, str]) -> bool:
    """Whether Spark asks for executors only when there is work."""
    at_first = conf.get(
        "spark.dynamicAllocation.initialExecutors",
        conf.get("spark.dynamicAllocation.minExecutors", "0"),
    )
    return conf.get("spark.dynamicAllocation.enabled") == "true" and int(at_first) == 0


def _asked(spark: SparkSession) -> str:
    """What an executor was asked for, in words."""
    conf = _conf(spark)
    parts = [
        f"{conf.get('spark.executor.cores', 'all')} cores of a machine",
        f"{conf.get('spark.executor.memory', '1g')} of memory",
        *([f"{conf[EXECUTOR_GPUS]} GPU"] if EXECUTOR_GPUS in conf else []),
    ]
    return f"each executor asks {spark.sparkContext.master} for {', '.join(parts)}"


# Of contexts that are there. To read one takes 40 ms, as every word is fetched from the JVM alone,
# and it never changes once the context has started.
_confs: WeakKeyDictionary[SparkContext, dict[str, str]] = WeakKeyDictionary()


def _conf(spark: SparkSession) -> dict[str, str]:
    context = spark.sparkContext
    if context not in _confs:
        _confs[context] = dict(context.getConf().getAll())
    return _confs[context]


def _registered(spark: SparkSession) -> int:
    """Executors that have registered with the driver."""
    jvm: Any = spark.sparkContext._jsc
    return jvm.sc().getExecutorMemoryStatus().size() - 1


def master_of(settings: SparkSettings) -> str:
    """The Spark master as far as it is known here: empty where spark-submit will say it."""
    return str(settings.conf.get("spark.master", settings.master or ""))


def local_workers(settings: SparkSettings) -> int:
    """Python workers of a master on this machine, `local[N]`; of another one it is not known here
    how many there will be.
    """
    found = re.match(r"local\[(\d+)", master_of(settings))
    return int(found[1]) if found else cores()


def worker_threads(settings: SparkSettings) -> int:
    """Threads of a forward pass in each of these workers."""
    return threads_per_worker(cores(), local_workers(settings))
