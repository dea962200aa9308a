#!/usr/bin/env bash
# great_expectations 1.24.1: a pandas frame below 1 GB is hashed whole, twice, before one expectation is judged.
#
# get_batch takes an MD5 of pandas' hash of every value, for a marker of the batch that no expectation reads; validate() makes the
# batch once more. Of 3,000,000 numbers, that takes longer than the expectation does.
# Expected: no pass over the rows but those of the expectations, or a setting for it.
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages great_expectations==1.24.1 pandas==2.3.3
cd "$WORK"
"$PYTHON" - <<'PY' 2>/dev/null
import time

import great_expectations as gx
import numpy
import pandas
from great_expectations.execution_engine import pandas_execution_engine as engine

hashed, seconds, own = [], [], engine.hash_pandas_dataframe


def counted(frame):
    started = time.perf_counter()
    marker = own(frame)
    seconds.append(time.perf_counter() - started)
    hashed.append(len(frame))
    return marker


engine.hash_pandas_dataframe = counted
context = gx.get_context(mode="ephemeral")
asset = context.data_sources.add_pandas("source").add_dataframe_asset("asset")
definition = asset.add_batch_definition_whole_dataframe("all")
frame = pandas.DataFrame({"x": numpy.arange(3_000_000.0)})
started = time.perf_counter()
batch = definition.get_batch(batch_parameters={"dataframe": frame})
found = batch.validate(gx.expectations.ExpectColumnValuesToNotBeNull(column="x"))
took = time.perf_counter() - started
print(f"success {found.success}; rows hashed {hashed}; {sum(seconds):.2f} of {took:.2f} s")
assert found.success and hashed == [3_000_000] * 2, "frames are not hashed twice"
PY
