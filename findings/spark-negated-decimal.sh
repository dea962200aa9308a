#!/usr/bin/env bash
# pyspark 4.1.1: -x and abs(x) of a decimal of more than 34 digits round it to 34 and put zeros behind, without an error.
#
# A decimal of Spark has up to 38 digits, and 0 - x keeps all of them. Its unary minus is that of Scala's BigDecimal, which
# rounds to 34 digits as IEEE 754's decimal128 does; the result's type still says 38 digits. abs of a negative number is -x.
# A number of nines becomes one digit longer and ends the query with an overflow. ANSI mode changes nothing.
# Needs Java 17 or 21.
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages pyspark==4.1.1
cd "$WORK"
export PYSPARK_PYTHON="$PYTHON"
"$PYTHON" - <<'PY' 2>/dev/null
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
digits = "12345678901234567890123456789012345678"
frame = spark.sql(f"select cast('{digits}' as decimal(38,0)) as x, cast('-{digits}' as decimal(38,0)) as y")
row = frame.selectExpr("-x as negated", "0 - x as subtracted", "abs(y) as size", "x = abs(y) as same").first()
print("x         ", digits)
print("-x        ", row.negated)
print("0 - x     ", row.subtracted)
print("abs(-x)   ", row["size"], "equal to x:", row.same)
assert str(row.subtracted) == f"-{digits}"
assert str(row.negated) == "-12345678901234567890123456789012350000", "-x keeps its digits"
assert str(row["size"]) == "12345678901234567890123456789012350000", "abs keeps the digits"
PY
