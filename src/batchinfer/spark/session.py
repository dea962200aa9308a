"""The only place that builds a SparkSession.

Owns how the driver's JVM is started: jars, class-data archive, Python of the workers. Which
settings an environment wants stands in `conf/base` and `conf/environments`, each with its why.
Knows nothing of pipelines.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from batchinfer.config import s3
from batchinfer.config.environment import Environment, SparkSettings
from batchinfer.errors import ConfigError, SetupError, StorageError
from batchinfer.report.terminal import step
from batchinfer.spark.capacity import is_one_process
from batchinfer.spark.early_daemon import conf_of_imports, end_early, start_early
from batchinfer.spark.jvm import forget_ended, is_running, is_submitted, starting_words
from batchinfer.spark.jvm_output import without_start_lines
from batchinfer.spark.shipping import shipment

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


# Commands hand this on to whatever may need a session: most of them never open one.
OpenSession = Callable[[], "SparkSession"]
_MASTER_ANSWERS_S = 10.0
_LOOKS_S = 0.2
_MASTER = re.compile(
    r"local(\[[^\]]+\])?|local-cluster\[[^\]]+\]|spark://[^,/]+:[0-9]+(,[^,/]+:[0-9]+)*|yarn|k8s://\S+"
)
_MASTERS = "local[N], spark://host:port, yarn, k8s://https://host:port"
# Java's own messages about a class-data archive that no longer fits would go to standard output,
# which is ours.
_QUIET_JVM = ("-Xlog:disable", "-Xlog:all=error:stderr")
# Files of Spark 2 do not say in which zone they count times before 1900, and Spark takes that of
# the JVM: every machine is to read the same.
_ZONE = "-Duser.timezone=UTC"
# One thread opens the session, whichever ask for it at once.
_opening = threading.Lock()


def class_archive() -> Path:
    """Where set-up puts the class-data archive that halves the JVM's start; it lives and dies with
    the environment.
    """
    return Path(sys.prefix) / "share" / "batchinfer" / "classes.jsa"


def spark_home() -> Path:
    """The Spark that is installed as a Python package, with the Delta jars beside its own."""
    from importlib.util import find_spec

    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise SetupError("pyspark is not installed in this environment", hint="make setup")
    return Path(spec.origin).parent


def java_options(settings: SparkSettings, is_here: bool = True) -> str:
    """Flags of the driver's JVM: the environment's; where it runs here, also the log's settings and
    the class-data archive.
    """
    options = [*_QUIET_JVM, _ZONE, *settings.java_options]
    if is_here:
        options.append(
            f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}"
        )
    archive = class_archive()
    if is_here and archive.is_file():
        options += [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"]
    return " ".join(options)


def session_conf(settings: SparkSettings, driver_is_here: bool = True) -> dict[str, str]:
    """Every Spark setting of a session, by its own name, as text.

    Args:
        driver_is_here: the driver runs on this machine, and not on one of the cluster's.
    """
    conf = {
        # Delta's SQL commands and its catalog: without them Spark reads Delta tables but cannot
        # ALTER or OPTIMIZE them.
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # Slices are cut in UTC; a session in another zone would show other days than the table has.
        "spark.sql.session.timeZone": "UTC",
        # Python tasks start in a few milliseconds instead of a third of a second; its module says
        # why.
        "spark.python.daemon.module": "batchinfer.worker_daemon",
    }
    if settings.master is not None:
        conf["spark.master"] = settings.master
    conf |= {name: _text(value) for name, value in settings.conf.items()}
    conf["spark.driver.extraJavaOptions"] = " ".join(
        option
        for option in (
            java_options(settings, driver_is_here),
            conf.get("spark.driver.extraJavaOptions", ""),
        )
        if option
    )
    executors = conf.get("spark.executor.extraJavaOptions", "")
    conf["spark.executor.extraJavaOptions"] = f"{_ZONE} {executors}".strip()
    return conf


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def import_spark() -> None:
    """Imports PySpark in this thread, before another one imports a library that imports it too.

    Two threads that import it at once find it half made.
    """
    import_module("pyspark.sql")


def open_session(
    settings: SparkSettings,
    app_name: str,
    extra: Mapping[str, str] | None = None,
    packed: Path | None = None,
    imports: Sequence[str] = (),
) -> SparkSession:
    """Builds the session, or returns the one that runs already (a notebook, spark-submit, the
    demo).

    Args:
        packed: folder for what executors are sent; without one they are sent nothing. Where
            spark-submit started this process, it has sent it.
        imports: modules that Python workers have from their start; of a session that runs already,
            each worker imports what it needs.

    Runs on: driver.

    Raises:
        ConfigError: no master is named anywhere, or none that Spark knows.
        StorageError: no standalone master answers.
        SetupError: no usable Java; the environment cannot be packed.
    """
    from batchinfer.java import check_java

    check_java()
    conf = session_conf(settings) | conf_of_imports(imports) | dict(extra or {})
    if is_submitted():
        # What was given to spark-submit itself wins over the environment's file.
        submitted = _submitted()
        conf = {name: value for name, value in conf.items() if name not in submitted}
    elif not is_running():
        _check_master(conf)
        forget_ended()
        end_early()
        if packed is not None:
            sent = shipment(settings, packed)
            conf |= sent.conf
            if sent.python is not None:
                os.environ["PYSPARK_PYTHON"] = sent.python
        if imports and is_one_process(conf["spark.master"]):
            conf |= start_early(conf)
    # Another Spark in SPARK_HOME would be started in place of the installed one, without Delta's
    # jars.
    os.environ["SPARK_HOME"] = os.environ.get("BATCHINFER_SPARK_HOME", str(spark_home()))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(app_name)
    for name, value in conf.items():
        builder = builder.config(name, value)
    if is_running():
        _start_apart(builder.getOrCreate)
    else:
        with step(starting_words()), without_start_lines():
            _start_apart(builder.getOrCreate)
    spark = builder.getOrCreate()
    # Set in the session, which passes it to Hadoop's settings: in one that was there before, a
    # setting spark.hadoop.* would come too late.
    spark.conf.set("parquet.page.verify-checksum.enabled", "true")
    if (stores := os.environ.get(s3.VARIABLE)) is not None:
        # Of every Python worker that is started from now on, also in a session that was there
        # before.
        spark.sparkContext.environment[s3.VARIABLE] = stores
    return spark


def _submitted() -> set[str]:
    """Names of the settings that spark-submit has given to the JVM that this process was started
    with.
    """
    from pyspark import SparkConf, SparkContext

    SparkContext._ensure_initialized()
    return {name for name, _ in SparkConf().getAll()}


def _check_master(conf: Mapping[str, str]) -> None:
    if "spark.master" not in conf:
        raise ConfigError(
            "spark.master: this environment names none; allowed: SPARK_MASTER=spark://host:7077 "
            "(yarn, k8s://…) in the "
            "environment, or ./spark-submit.sh jobs/… --spark --master …"
        )
    check_master(conf["spark.master"])


def check_master(master: str) -> None:
    """Whether Spark knows this kind of master, and a standalone one answers: Spark would try for a
    minute, and not say which.

    Runs on: driver, or the machine that submits to one.

    Raises:
        ConfigError: no master that Spark knows.
        StorageError: no process listens there; worth a retry.
    """
    if not _MASTER.fullmatch(master):
        raise ConfigError(f"spark.master: got {master}; allowed: {_MASTERS}")
    if not master.startswith("spark://"):
        return
    failures: list[str] = []
    # Standby masters stand behind commas; one that answers is enough.
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), _MASTER_ANSWERS_S):
                return
        except (OSError, OverflowError) as error:
            failures.append(f"{address}: {error}")
    raise StorageError(
        f"spark.master: no master answers at {master} ({'; '.join(failures)})",
        "is it started, and the port right?",
    )


def _start_apart(start: Callable[[], object]) -> None:
    """Starts the session in a thread of its own, and waits for it.

    Started in the main thread, PySpark would put a handler of its own in place of ours for Ctrl-C.
    """
    failed: list[BaseException] = []

    def run() -> None:
        try:
            start()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="session start", daemon=True)
    thread.start()
    while thread.is_alive():
        # A signal that the system gives to another thread does not end a wait without an end.
        thread.join(_LOOKS_S)
    if failed:
        raise failed[0]


def session_opener(
    environment: Environment, name: str, packed: Path, imports: Sequence[str] = ()
) -> Callable[[], SparkSession]:
    """A function that opens a pipeline's session when it is first needed, once, whichever thread
    asks.

    When it is first opened, it has executors that can run the model, and they reach the places of
    the environment.

    Args:
        imports: see `open_session`.
    """
    reached: list[bool] = []

    def open_once() -> SparkSession:
        from batchinfer.spark.capacity import check_capacity
        from batchinfer.spark.reach import check_reach

        with _opening:
            spark = open_session(
                environment.spark, f"batchinfer {name}", packed=packed, imports=imports
            )
            if not reached:
                check_capacity(spark, environment.spark.model_task)
                check_reach(spark, {"lake": environment.lake, "staging": environment.staging})
                reached.append(True)
            return spark

    return open_once
