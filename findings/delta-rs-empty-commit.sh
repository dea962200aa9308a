#!/usr/bin/env bash
# deltalake 1.6.6: a commit file of no bytes is read as a version that changed nothing, without an error.
#
# Three rows are appended by three commits, and the last commit's file is cut to nothing. The table is still at version 2, and
# has two rows. A commit that is cut in the middle of a line is refused.
# Expected: an error, since no writer commits nothing. (Spark 4.1.1 with Delta 4.4.0 reads two rows as well.)
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages deltalake==1.6.6 pyarrow==26.0.1
cd "$WORK"
"$PYTHON" - <<'PY'
from pathlib import Path

import deltalake
import pyarrow as pa

for number in range(3):
    deltalake.write_deltalake("table", pa.table({"v": [number]}), mode="append")
commit = Path("table/_delta_log/00000000000000000002.json")
whole = commit.read_bytes()
commit.write_bytes(b"")
table = deltalake.DeltaTable("table")
rows = sorted(table.to_pyarrow_table()["v"].to_pylist())
print("empty commit: version", table.version(), "rows", rows)
commit.write_bytes(whole[: len(whole) // 2])
try:
    deltalake.DeltaTable("table")
    cut = "read"
except Exception as error:
    cut = type(error).__name__
print("cut commit:", cut)
assert (table.version(), rows) == (2, [0, 1]), "the empty commit is read otherwise"
assert cut != "read", "the cut commit is read"
PY
