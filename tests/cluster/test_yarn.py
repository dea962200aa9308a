"""Jobs on a real YARN of two nodes: the driver on a machine of the cluster, which has neither the
checkout nor the project.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster.conftest import OnCluster, predictions, rows_of
from cluster.standalone import Cluster, kill_tree, without
from e2e.commands import CHECKOUT, new_project

from batchinfer.spark.session import spark_home

DAY = "2026-11-21"
SHARE = Path(sys.prefix) / "share" / "batchinfer" / "yarn"
# YARN's own test cluster of the version of Spark's Hadoop, and what that package leaves to others.
PACKAGES = (
    "org.apache.hadoop:hadoop-client-minicluster:{hadoop}",
    "junit:junit:4.13.2",
    "org.bouncycastle:bcpkix-jdk18on:1.78.1",
    "javax.xml.bind:jaxb-api:2.3.1",
    "com.sun.xml.bind:jaxb-impl:2.3.1",
)
pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        shutil.which("javac") is None,
        reason="no javac: a JDK compiles the small program that starts YARN",
    ),
]


@pytest.fixture(scope="module")
def classpath() -> str:
    """Jars of YARN's test cluster; Spark's resolver brings them the first time."""
    [hadoop] = (spark_home() / "jars").glob("hadoop-client-api-*.jar")
    packages = ",".join(PACKAGES).format(hadoop=hadoop.stem.removeprefix("hadoop-client-api-"))
    if not list(SHARE.glob("jars/*minicluster*.jar")):
        SHARE.mkdir(parents=True, exist_ok=True)
        (SHARE / "nothing.py").write_text("")
        command = [
            spark_home() / "bin" / "spark-submit",
            "--packages",
            packages,
            "--conf",
            f"spark.jars.ivy={SHARE}",
        ]
        subprocess.run(
            [*map(str, command), str(SHARE / "nothing.py")],
            check=True,
            capture_output=True,
            timeout=600,
        )
    return f"{SHARE}/jars/*:{spark_home()}/jars/*"


@pytest.fixture(scope="module")
def hadoop_conf(
    classpath: str, tmp_path_factory: pytest.TempPathFactory, hidden: list[Path]
) -> Iterator[Path]:
    """Configuration of a YARN that runs; its containers see neither the checkout nor the driver's
    machine.
    """
    folder = tmp_path_factory.mktemp("yarn")
    source = CHECKOUT / "tests" / "cluster" / "yarn" / "MiniYarn.java"
    subprocess.run(
        ["javac", "-cp", classpath, "-d", str(folder), str(source)], check=True, capture_output=True
    )
    own = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "SPARK_HOME": str(spark_home())}
    own |= {"JAVA_HOME": os.environ["JAVA_HOME"]} if "JAVA_HOME" in os.environ else {}
    # Guice, which YARN's web pages are made with, makes classes at run time.
    java = [
        "java",
        "--add-opens",
        "java.base/java.lang=ALL-UNNAMED",
        "-Xmx400m",
        "-cp",
        f"{folder}:{classpath}",
        "MiniYarn",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*without(hidden), *java, str(folder / "conf")],
            cwd=folder,
            env=own,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    try:
        end = time.monotonic() + 120
        while b"READY" not in (folder / "log").read_bytes():
            assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text()[
                -3000:
            ]
            time.sleep(0.2)
        yield folder / "conf"
    finally:
        kill_tree(process)


@pytest.fixture(scope="module")
def on_yarn(machines: Path, node: Path, hadoop_conf: Path) -> OnCluster:
    shared = machines / "shared" / "yarn"
    shutil.copytree(CHECKOUT / "examples" / "data", shared / "data")
    master = Cluster(machines / "none", master="yarn")
    return OnCluster(new_project(machines / "driver" / "yarn"), shared, master, node)


def submit(on_yarn: OnCluster, hadoop_conf: Path, job: str, *arguments: str) -> tuple[int, str]:
    """A job whose driver runs in a container; (exit code of spark-submit, what the driver wrote to
    standard output).
    """
    shared = on_yarn.shared
    conf = {
        # The jars that the machines have, as a cluster's administrator would set it: else they are
        # copied for each run.
        "spark.yarn.jars": f"local:{spark_home()}/jars/*",
        "spark.yarn.stagingDir": f"file://{shared}/sparks-own",
        "spark.yarn.appMasterEnv.DATA_DIR": str(shared / "data"),
        "spark.executor.instances": "2",
        "spark.executor.memoryOverhead": "1g",
    }
    spark = [
        "--deploy-mode",
        "cluster",
        *(part for name, value in conf.items() for part in ("--conf", f"{name}={value}")),
    ]
    # The registry is where the driver is: on the cluster.
    where = {
        "HADOOP_CONF_DIR": str(hadoop_conf),
        "BATCHINFER_REGISTRY": f"sqlite:///{shared}/mlflow.db",
    }
    where["BATCHINFER_ARTIFACTS"] = str(shared / "artifacts")
    before = driver_logs(hadoop_conf)
    running = on_yarn.start(job, *arguments, spark=tuple(spark), **where)
    _, stderr = running.communicate(timeout=600)
    new = driver_logs(hadoop_conf) - before
    said = "\n".join(path.read_text() for path in sorted(new))
    assert said or running.returncode, stderr[-3000:]
    return running.returncode, said or stderr


def driver_logs(hadoop_conf: Path) -> set[Path]:
    """Standard output of the first container of each application: the driver's."""
    return set(hadoop_conf.parent.glob("**/*_000001/stdout"))


def result_of(said: str) -> dict[str, Any]:
    import json

    return json.loads(said.strip().splitlines()[-1])


def test_driver_and_executors_on_the_cluster_publish_a_slice(
    on_yarn: OnCluster, hadoop_conf: Path
) -> None:
    for job in (
        ("extract", "-p", "income", "--slice", DAY),
        ("train", "-p", "income"),
        ("score", "-p", "income", "--slice", DAY),
    ):
        code, said = submit(on_yarn, hadoop_conf, *job)
        assert code == 0, said
    result = result_of(said)
    assert (result["status"], result["rows_scored"], result["workers"]) == ("published", 3000, 2), (
        said
    )
    lake = on_yarn.shared / "lake"
    assert len(rows_of(lake, "landed/income")) == 3000
    assert len(predictions(lake, "income", ("source_file", "source_line"), "score")) == 3000
    assert Path(result["report"]).is_file(), (
        "the page is made from templates inside of the package's zip"
    )


def test_a_failure_of_the_driver_is_in_its_log_with_its_exit_code(
    on_yarn: OnCluster, hadoop_conf: Path
) -> None:
    code, said = submit(on_yarn, hadoop_conf, "score", "-p", "income", "--slice", "2020-01-01")
    result = result_of(said)
    assert (code, result["exit_code"]) == (1, 3), said
    assert "slice 2020-01-01 of pipeline income has never landed" in result["errors"][0]
