#!/usr/bin/env bash
# duckdb 2.0.1: COPY … TO a Parquet file writes HUGEINT as double, so whole numbers past 2^53 come back as others.
#
# sum() of BIGINT is HUGEINT, so a column that nobody declared is enough: a sum of 9007199254740993 reads as …992.
# DECIMAL(38, 0), which Parquet has, would hold it.
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages duckdb==2.0.1 pyarrow==26.0.1
cd "$WORK"
"$PYTHON" - <<'PY'
import duckdb
import pyarrow.parquet

duckdb.sql("copy (select sum(n) as total from (values (9007199254740992::bigint), (1)) as t(n)) to 'sum.parquet'")
column = pyarrow.parquet.read_table("sum.parquet")["total"]
print(column.type, int(column[0].as_py()))
assert str(column.type) == "double", "HUGEINT is written as another type"
assert int(column[0].as_py()) == 9007199254740992
PY
