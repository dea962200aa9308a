#!/usr/bin/env bash
# deltalake 1.6.6: a partition value of the empty text is null by one of its roads and "" by another.
#
# A table is written with p = "", null and "a", partitioned by p. to_pyarrow_table gives null for "", QueryBuilder gives "".
# Expected: one answer. (Spark writes "" as null, so it may be either, but not both.)
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages deltalake==1.6.6 pyarrow==26.0.1
cd "$WORK"
"$PYTHON" - <<'PY'
import deltalake
import pyarrow as pa

deltalake.write_deltalake("table", pa.table({"p": ["", None, "a"], "v": [1, 2, 3]}), partition_by=["p"])
table = deltalake.DeltaTable("table")
asked = deltalake.QueryBuilder().register("t", table).execute("select p from t order by v")
queried = pa.table(asked)["p"].to_pylist()
read = table.to_pyarrow_table().sort_by("v")["p"].to_pylist()
print("to_pyarrow_table", read, "query", queried)
assert read == [None, None, "a"], "to_pyarrow_table answers otherwise"
assert queried == ["", None, "a"], "the query answers otherwise"
PY
