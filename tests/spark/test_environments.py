"""Every setting that the environments give to Spark is one that Spark knows: a misspelt one does
nothing, in silence.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CONF = Path(__file__).parents[2] / "conf"
# Not in Spark's registry of settings: Hadoop's own, and those whose middle is a resource's name.
ELSEWHERE = ("spark.hadoop.", "spark.executor.resource.")


def test_every_setting_is_known_to_spark(spark: SparkSession) -> None:
    files = [CONF / "base" / "environment.yaml", *sorted((CONF / "environments").glob("*.yaml"))]
    names = {name for file in files for name in yaml.safe_load(file.read_text())["spark"]["conf"]}
    jvm: Any = spark._jvm
    known = jvm.org.apache.spark.internal.config.ConfigEntry.findEntry
    # Delta registers its own when this class is first used.
    jvm.java.lang.Class.forName("org.apache.spark.sql.delta.sources.DeltaSQLConf$")
    assert not {name for name in names if not name.startswith(ELSEWHERE) and known(name) is None}
    assert known("spark.speculaton") is None, "the registry tells misspelt ones apart"
