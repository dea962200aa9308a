#!/usr/bin/env bash
# deltalake 1.6.6: a query for x = 5 also returns the row whose x is NaN, and shows 5.0 in its place.
#
# The file holds NaN and 5.0. Its statistics in the log, as deltalake writes them, leave NaN out: min = max = 5. QueryBuilder
# takes the column for a constant. to_pyarrow_dataset and Polars return one row.
# Expected: one row, k = 2.
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages deltalake==1.6.6 pyarrow==26.0.1
cd "$WORK"
"$PYTHON" - <<'PY'
import deltalake
import pyarrow as pa
import pyarrow.dataset

deltalake.write_deltalake("table", pa.table({"k": [1, 2], "x": [float("nan"), 5.0]}))
table = deltalake.DeltaTable("table")
asked = deltalake.QueryBuilder().register("t", table).execute("select * from t where x = 5")
queried = pa.table(asked).to_pydict()
scanned = table.to_pyarrow_dataset().to_table(filter=pyarrow.dataset.field("x") == 5.0).to_pydict()
print("query", queried, "dataset", scanned)
assert scanned == {"k": [2], "x": [5.0]}
assert queried == {"k": [1, 2], "x": [5.0, 5.0]}, "the query answers otherwise"
PY
