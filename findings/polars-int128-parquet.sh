#!/usr/bin/env bash
# polars 2.1.0: a Parquet file with an Int128 column cannot be read by pyarrow at all, and gives DuckDB bytes.
#
# Polars writes Int128 with an integer type of 128 bits, which the Parquet format does not have. pyarrow 26.0.1 refuses the file,
# also where only the other column is asked for. DuckDB 2.0.1 gives 16 bytes instead of the number, without a word.
# Expected: a refusal to write, or DECIMAL(38, 0).
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages polars==2.1.0 pyarrow==26.0.1 duckdb==2.0.1
cd "$WORK"
"$PYTHON" - <<'PY'
import duckdb
import polars
import pyarrow
import pyarrow.parquet

numbers = polars.Series([1], dtype=polars.Int128)
polars.DataFrame({"plain": [1], "wide": numbers}).write_parquet("wide.parquet")
try:
    said = pyarrow.parquet.read_table("wide.parquet", columns=["plain"]).to_pydict()
except pyarrow.ArrowNotImplementedError as error:
    said = str(error)
value = duckdb.sql("select wide from 'wide.parquet'").fetchall()[0][0]
print("pyarrow:", said, "| DuckDB:", value)
assert "more than 64 bits not implemented" in said, "pyarrow reads it"
assert value == b"\x01" + b"\x00" * 15, "DuckDB gives something else"
PY
