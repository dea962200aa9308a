#!/usr/bin/env bash
# great_expectations 1.24.1: ExpectColumnKLDivergenceToBeLessThan takes max_value, and then holds at any divergence.
#
# The limit is called threshold. max_value and min_value are arguments of the class too, so they are accepted, and never looked
# at; without a threshold, success is true. Here the divergence is 0.51 and the limit that was meant 0.1.
# Expected: a refusal, or a check.
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages great_expectations==1.24.1 pandas==2.3.3 scipy==1.17.1
cd "$WORK"
"$PYTHON" - <<'PY' 2>/dev/null
import great_expectations as gx
import pandas

context = gx.get_context(mode="ephemeral")
asset = context.data_sources.add_pandas("source").add_dataframe_asset("asset")
batch = asset.add_batch_definition_whole_dataframe("all").get_batch(
    batch_parameters={"dataframe": pandas.DataFrame({"letter": ["a", "b"] * 4})}
)
expected = {"values": ["a", "b"], "weights": [0.9, 0.1]}
Divergence = gx.expectations.ExpectColumnKLDivergenceToBeLessThan
for limit in ({"threshold": 0.1}, {"max_value": 0.1}):
    found = batch.validate(Divergence(column="letter", partition_object=expected, **limit))
    print(limit, found.success, round(float(found.result["observed_value"]), 3))
    assert found.success == ("max_value" in limit), "max_value is looked at, or threshold is not"
PY
