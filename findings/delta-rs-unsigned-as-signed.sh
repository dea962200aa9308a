#!/usr/bin/env bash
# deltalake 1.6.6: convert_to_deltalake takes a column of uint8 for one of signed bytes, whose values it does not hold.
#
# A Parquet file with 255 in a column of uint8 is converted. The table's schema says byte, which ends at 127, and no error is
# raised. write_deltalake refuses the same rows. A reader that goes by the schema gives -1 for 255 (Spark 4.1.1 does).
# Expected: short, which holds every uint8, or an error.
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages deltalake==1.6.6 pyarrow==26.0.1
cd "$WORK"
"$PYTHON" - <<'PY'
import json
import os

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq

rows = pa.table({"small": pa.array([255], pa.uint8())})
os.mkdir("table")
pq.write_table(rows, "table/a.parquet")
deltalake.convert_to_deltalake("table")
[field] = json.loads(deltalake.DeltaTable("table").schema().to_json())["fields"]
try:
    deltalake.write_deltalake("other", rows)
    written = "wrote"
except Exception as error:
    written = type(error).__name__
print("convert_to_deltalake:", field["type"], "- write_deltalake:", written)
assert field["type"] == "byte", "the column has another type"
assert written == "DeltaError", "write_deltalake takes the rows"
PY
