#!/usr/bin/env bash
# pandas 3.1.1: the same timedelta is written to Parquet as another number than by pandas 2.3.3.
#
# Parquet has no type for durations, so readers that do not know Arrow's own metadata get a bare integer. One second is
# 1000000000 (nanoseconds) by pandas 2.3.3 and 1000000 (microseconds) by pandas 3.1.1. Nothing outside of the metadata tells
# which: DuckDB reads both without a word.
set -euo pipefail
source "$(dirname "$0")/packages.sh"
write='import pandas; pandas.DataFrame({"took": [pandas.Timedelta(seconds=1)]}).to_parquet("took.parquet")'
read='import duckdb; print(duckdb.sql("select took from \"took.parquet\"").fetchall()[0][0])'
for pandas in 2.3.3 3.1.1; do
  packages "pandas==$pandas" pyarrow==26.0.1 duckdb==2.0.1
  (cd "$WORK" && "$PYTHON" -c "$write" && "$PYTHON" -c "$read")
done | tee /dev/stderr | tr '\n' ' ' | grep -qx '1000000000 1000000 ' || { echo "other numbers now" >&2; exit 1; }
