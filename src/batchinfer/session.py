"""The only place that builds a SparkSession.

Owns how the driver's JVM is started: jars, class-data archive, Python of the workers. Which settings an environment
wants stands in `conf/base` and `conf/environments`, each with its why. Knows nothing of pipelines.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from batchinfer.config.environment import SparkSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Java's own messages about a class-data archive that no longer fits would go to standard output, which is ours.
_QUIET_JVM = ("-Xlog:disable", "-Xlog:all=error:stderr")


def class_archive() -> Path:
    """Where set-up puts the class-data archive that halves the JVM's start; it lives and dies with the environment."""
    return Path(sys.prefix) / "share" / "batchinfer" / "classes.jsa"


def spark_home() -> Path:
    """The Spark that is installed as a Python package, with the Delta jars beside its own."""
    from importlib.util import find_spec

    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        from batchinfer.errors import SetupError

        raise SetupError("pyspark is not installed in this environment", hint="make setup")
    return Path(spec.origin).parent


def java_options(settings: SparkSettings) -> str:
    """Flags of the driver's JVM: the environment's, the class-data archive where there is one, a quiet log."""
    options = [*_QUIET_JVM, f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}", *settings.java_options]
    archive = class_archive()
    if archive.is_file():
        options += [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"]
    return " ".join(options)


def session_conf(settings: SparkSettings) -> dict[str, str]:
    """Every Spark setting of a session, by its own name, as text."""
    conf = {
        # Delta's SQL commands and its catalog: without them Spark reads Delta tables but cannot ALTER or OPTIMIZE them.
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # Slices are cut in UTC; a session in another zone would show other days than the table has.
        "spark.sql.session.timeZone": "UTC",
        # Python tasks start in a few milliseconds instead of a third of a second; its module says why.
        "spark.python.daemon.module": "batchinfer.worker_daemon",
    }
    if settings.master is not None:
        conf["spark.master"] = settings.master
    conf |= {name: _text(value) for name, value in settings.conf.items()}
    conf["spark.driver.extraJavaOptions"] = " ".join(
        option for option in (java_options(settings), conf.get("spark.driver.extraJavaOptions", "")) if option
    )
    return conf


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def import_spark() -> None:
    """Imports PySpark in this thread, before another one imports a library that imports it too.

    Two threads that import it at once find it half made.
    """
    import_module("pyspark.sql")


def open_session(settings: SparkSettings, app_name: str, extra: Mapping[str, str] | None = None) -> SparkSession:
    """Builds the session, or returns the one that runs already (a notebook, spark-submit, the demo).

    Runs on: driver.

    Raises:
        SetupError: no usable Java.
    """
    from batchinfer.java import check_java

    check_java()
    # Another Spark in SPARK_HOME would be started in place of the installed one, without Delta's jars.
    os.environ["SPARK_HOME"] = os.environ.get("BATCHINFER_SPARK_HOME", str(spark_home()))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(app_name)
    for name, value in (session_conf(settings) | dict(extra or {})).items():
        builder = builder.config(name, value)
    _start_apart(builder.getOrCreate)
    return builder.getOrCreate()


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
    thread.join()
    if failed:
        raise failed[0]
