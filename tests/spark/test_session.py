"""One session after another in one process, as in a notebook."""

from __future__ import annotations

import json
import os
import subprocess
import sys

TWO = """
import json, os
import psutil
from batchinfer.config.environment import SparkSettings
from batchinfer.spark.session import open_session
from batchinfer.spark.shipping import SENT_PYTHON

def settings(**conf):
    quiet = {"spark.ui.enabled": False, "spark.log.level": "ERROR"}
    own = {name.replace("_", "."): value for name, value in conf.items()}
    return SparkSettings(master="local[1]", conf={**quiet, **own})

def told(spark):
    own = dict(spark.sparkContext.getConf().getAll())
    java = [one for one in psutil.Process().children() if one.name() == "java"]
    jvms = [one for one in java if one.status() != psutil.STATUS_ZOMBIE]
    rows = spark.range(10).rdd.map(lambda row: row[0]).sum()
    first, second = own.get("spark.own.first"), own.get("spark.own.second")
    return {"first": first, "second": second, "jvms": len(jvms), "rows": rows}

found = []
first = open_session(settings(spark_own_first=1), "first")
found.append(told(first))
assert open_session(settings(spark_own_second=1), "again") is first, "a session that runs is used"
first.stop()
# As after a session whose executors were sent their packages.
os.environ["PYSPARK_PYTHON"] = SENT_PYTHON
second = open_session(settings(spark_own_second=2), "second")
found.append(told(second))
second.stop()
print(json.dumps(found))
"""


def test_a_session_has_nothing_of_the_one_that_was_stopped() -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYSPARK", "SPARK"))
    }
    done = subprocess.run(
        [sys.executable, "-c", TWO],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout.splitlines()[-1])
    assert first == {"first": "1", "second": None, "jvms": 1, "rows": 45}
    assert second == {"first": None, "second": "2", "jvms": 1, "rows": 45}
