#!/usr/bin/env bash
# great_expectations 1.24.1 on pyspark 4.1.1: one NaN makes every row pass a check of z-scores, and NaN itself passes others.
#
# Of nine numbers the last is an outlier, and the check says so. With one NaN more, mean and deviation are NaN, so are all
# z-scores, and in Spark NaN compared with a limit counts as null: nothing is unexpected. NaN also passes a range that has only
# min_value, passes "not null", and two of them are duplicates; pandas does none of these with the same suite.
# Needs Java 17 or 21.
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages great_expectations==1.24.1 pyspark==4.1.1 pandas==2.3.3
cd "$WORK"
export PYSPARK_PYTHON="$PYTHON"
"$PYTHON" - <<'PY' 2>/dev/null
import math

import great_expectations as gx
import pandas
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
context = gx.get_context(mode="ephemeral")
of_spark = context.data_sources.add_spark("spark", persist=False).add_dataframe_asset("rows")
of_pandas = context.data_sources.add_pandas("pandas").add_dataframe_asset("rows")
sources = {"spark": of_spark.add_batch_definition_whole_dataframe("all"),
           "pandas": of_pandas.add_batch_definition_whole_dataframe("all")}
checks = gx.expectations


def holds(engine, values, check):
    frame = pandas.DataFrame({"x": values})
    if engine == "spark":
        frame = spark.createDataFrame([(value,) for value in values], "x double")
    batch = sources[engine].get_batch(batch_parameters={"dataframe": frame})
    return bool(batch.validate(check).success)


scores = checks.ExpectColumnValueZScoresToBeLessThan(column="x", threshold=2.5, double_sided=True)
numbers = [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 900.0]
alone = holds("spark", numbers, scores), holds("spark", [*numbers, math.nan], scores)
print("z-scores, then with one NaN:", alone)
others = {
    "min_value": (checks.ExpectColumnValuesToBeBetween(column="x", min_value=0), [1.0, math.nan]),
    "not null": (checks.ExpectColumnValuesToNotBeNull(column="x"), [1.0, math.nan]),
    "unique": (checks.ExpectColumnValuesToBeUnique(column="x"), [1.0, math.nan, math.nan]),
}
found = {word: holds("spark", values, check) for word, (check, values) in others.items()}
there = {word: holds("pandas", values, check) for word, (check, values) in others.items()}
print("Spark", found, "pandas", there)
assert alone == (False, True), "an outlier beside NaN is told otherwise"
assert found == {"min_value": True, "not null": True, "unique": False}, "Spark says otherwise"
assert there == {"min_value": True, "not null": False, "unique": True}, "pandas says otherwise"
PY
