#!/usr/bin/env bash
# great_expectations 1.24.1: a validation with an expectation about quantiles ends with a TypeError of the JSON encoder.
#
# Where an observed quantile is near an end of its range, a detail of the result is a truth value of NumPy. The store of results,
# also the one in memory, writes JSON and cannot: "Object of type bool is not JSON serializable". One such expectation ends the
# whole run, and no other result is returned. Batch.validate, which stores nothing, works.
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages great_expectations==1.24.1 pandas==2.3.3 numpy==2.4.6
cd "$WORK"
"$PYTHON" - <<'PY' 2>/dev/null
import great_expectations as gx
import pandas

context = gx.get_context(mode="ephemeral")
asset = context.data_sources.add_pandas("source").add_dataframe_asset("asset")
rows = asset.add_batch_definition_whole_dataframe("all")
suite = context.suites.add(gx.ExpectationSuite(name="suite"))
suite.add_expectation(
    gx.expectations.ExpectColumnQuantileValuesToBeBetween(
        column="score", quantile_ranges={"quantiles": [0.5], "value_ranges": [[0.1, 0.9]]}
    )
)
definition = context.validation_definitions.add(
    gx.ValidationDefinition(name="validation", data=rows, suite=suite)
)
try:
    said = definition.run(batch_parameters={"dataframe": pandas.DataFrame({"score": [0.2, 0.5, 0.7]})})
except TypeError as error:
    said = str(error)
print(said)
assert said == "Object of type bool is not JSON serializable", "it runs, or fails otherwise"
PY
