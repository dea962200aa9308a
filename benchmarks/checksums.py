"""What checksums cost: one table's file written and read with and without them, in turn.

What bounds it: a CRC-32 of the compressed bytes, once when they are written and once when they are
read. Compression, decompression and encoding of the same bytes take many times as long, and the
model many times that. Values are noise, which compresses badly: the worst case.

    python -m benchmarks.checksums [--rows 2000000] [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem

from batchinfer.checked_parquet import CheckedParquetFile, SealedOutput
from benchmarks.revision import commit

COLUMNS, ROW_GROUP_ROWS = 20, 131_072


def main() -> None:
    """Prints medians of seconds for 10,000,000 rows, and one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    noise = np.random.default_rng(0)
    columns = {f"x{place}": noise.normal(size=given.rows) for place in range(COLUMNS)}
    rows = pa.table({"id": np.arange(given.rows), **columns})
    works: dict[str, Callable[[Path], None]] = {
        "write": lambda path: write(path, rows, False),
        "write_checked": lambda path: write(path, rows, True),
        "read": read,
        "read_checked": read_checked,
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        for _ in range(given.repeats):
            for name, work in works.items():
                started = time.process_time()
                work(path)
                seconds[name].append(time.process_time() - started)
        size = path.stat().st_size
    scale = 10_000_000 / given.rows
    found = {name: round(median(each) * scale, 2) for name, each in seconds.items()}
    found["added"] = round(
        found["write_checked"] - found["write"] + found["read_checked"] - found["read"], 2
    )
    for name, value in found.items():
        print(f"{name:14} {value:8.2f} CPU seconds for 10,000,000 rows")
    print(json.dumps(found | {"bytes_of_10m_rows": int(size * scale), "git": commit()}))


def write(path: Path, rows: pa.Table, checked: bool) -> None:
    """Writes the rows as the lake does."""
    sink = LocalFileSystem().open_output_stream(str(path))
    sealed = SealedOutput(sink)
    with pq.ParquetWriter(
        pa.PythonFile(sealed, "w") if checked else sink,
        rows.schema,
        compression="zstd",
        use_dictionary=False,
        store_schema=False,
        write_page_checksum=checked,
    ) as writer:
        writer.write_table(rows, ROW_GROUP_ROWS)
        if checked:
            sealed.hold_footer()
    sealed.close()


def read(path: Path) -> None:
    """Reads all rows without looking at checksums."""
    with pq.ParquetFile(path, pre_buffer=True) as file:
        for group in range(file.metadata.num_row_groups):
            for _ in file.iter_batches(65_536, [group], use_threads=False):
                pass


def read_checked(path: Path) -> None:
    """Reads all rows as tasks do."""
    with CheckedParquetFile(LocalFileSystem(), str(path), pre_buffer=True) as file:
        for group in range(file.metadata.num_row_groups):
            for _ in file.iter_batches(65_536, [group], use_threads=False):
                pass


if __name__ == "__main__":
    main()
