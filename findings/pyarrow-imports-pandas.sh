#!/usr/bin/env bash
# pyarrow 26.0.1 with pandas 2.3.3: an array of a Python list, or a scalar, imports pandas.
#
# A process that imports pyarrow alone and calls pyarrow.array([1]) has pandas in sys.modules afterwards, though nothing in it is a
# frame: some 45 MiB more in each process. A cast, a filter and a reader of a stream do not.
# Expected: pandas is imported where a value may be pandas' own.
set -euo pipefail
source "$(dirname "$0")/packages.sh"
packages pyarrow==26.0.1 pandas==2.3.3
"$PYTHON" - <<'PY'
import subprocess
import sys

BEFORE = "import resource, sys, pyarrow as pa, pyarrow.compute as pc; numbers = pa.nulls(4, pa.int64());"
AFTER = ";print('pandas' in sys.modules, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"


def tried(call: str) -> tuple[bool, int]:
    told = subprocess.run([sys.executable, "-c", BEFORE + call + AFTER], check=True, capture_output=True, text=True)
    imported, mib = told.stdout.split()
    return imported == "True", int(mib)


importing = ["pa.array([1])", "pa.scalar(1)"]
silent = ["numbers.cast(pa.string())", "numbers.filter(pc.is_valid(numbers))", "pa.RecordBatchReader.from_batches(pa.schema([]), [])"]
found = {call: tried(call) for call in (*importing, *silent)}
for call, (imported, mib) in found.items():
    print(f"{call}: {'imports' if imported else 'does not import'} pandas, {mib} MiB")
assert all(found[call][0] for call in importing), "an array or a scalar does without pandas now"
assert not any(found[call][0] for call in silent), "more imports pandas now"
PY
