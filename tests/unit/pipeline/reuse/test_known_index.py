"""Which published rows an index has, and what it says of them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchinfer.contracts import DataFile
from batchinfer.pipeline.reuse.carried_rows import CarriedRows
from batchinfer.pipeline.reuse.known_index import (
    MADE,
    AnsweringModel,
    BuiltPart,
    IndexPlan,
    KnownIndex,
    PartFiles,
    build_part,
    share_out,
)

OURS, OTHERS = "d" * 64, "e" * 64
AT = dt.datetime(2026, 11, 21, 4, 30, 0, 123456, tzinfo=dt.UTC)
OUTPUTS = {"score": "double", "label": "string"}


def rows_of(numbers: range, **columns: Any) -> pa.Table:
    """Published rows; the fingerprint is the number."""
    made: dict[str, Any] = {
        "id": pa.array(numbers, pa.int64()),
        "input_fingerprint": [prints(n) for n in numbers],
        "bundle_digest": OURS,
        "model_name": "small",
        "model_version": "1",
        "source_table": "/lake/landed/small",
        "source_version": 3,
        "run_id": "run-1",
        "scored_at": pa.array([AT] * len(numbers), pa.timestamp("us", tz="UTC")),
        "score": [n / 2 for n in numbers],
        "label": [f"label {n}" for n in numbers],
    } | columns
    return pa.table(
        {
            name: [values] * len(numbers) if isinstance(values, str | int) else values
            for name, values in made.items()
        }
    )


def prints(number: int) -> bytes:
    """Spread over all numbers, as hashes are."""
    return np.array([number * 0x9E3779B97F4A7C15 % 2**64, number], "<u8").tobytes()


def built(folder: Path, *tables: pa.Table, parts: int = 2) -> tuple[KnownIndex, list[str]]:
    for number, table in enumerate(tables):
        pq.write_table(table, folder / f"{number}.parquet", write_page_checksum=True)
    files = tuple(f"{number}.parquet" for number in range(len(tables)))
    plan = IndexPlan(str(folder), AnsweringModel(OURS, OUTPUTS), str(folder), "run-9")
    found: list[BuiltPart] = [
        one for at in range(parts) for one in build_part(plan, PartFiles(files[at::parts]))
    ]
    warnings = list(dict.fromkeys(warning for one in found for warning in one.warnings))
    rows = sum(one.rows for one in found)
    return KnownIndex(str(folder), tuple(one.file for one in found), rows), warnings


def numbers_known(index: KnownIndex, among: range) -> list[int]:
    at = CarriedRows(index).find(pa.array([prints(n) for n in among], pa.binary()))
    return [n for n, place in zip(among, at, strict=True) if place >= 0]


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_rows_of_all_files_are_known_with_what_made_them(tmp_path: Path, parts: int) -> None:
    runs = pa.array(["run-1" if n % 3 else "run-2" for n in range(30, 50)])
    index, warnings = built(
        tmp_path,
        rows_of(range(30)),
        rows_of(range(30, 50), run_id=runs, source_version=7),
        rows_of(range(10)),  # once more
        parts=parts,
    )
    assert (index.rows, warnings) == (60, [])
    known = CarriedRows(index)
    asked = [40, 5, 42, 99]
    at = known.find(pa.array([prints(n) for n in asked], pa.binary()))
    assert (at >= 0).tolist() == [True, True, True, False]
    found = known.predictions(at[:3], {"score": pa.float64(), "label": pa.string()})
    assert found["score"].to_pylist() == [20.0, 2.5, 21.0]
    assert found["label"].to_pylist() == ["label 40", "label 5", "label 42"]
    now = {name: pa.scalar("now") for name in MADE} | {
        "source_version": pa.scalar(8, pa.int64()),
        "scored_at": pa.scalar(AT + dt.timedelta(days=1), pa.timestamp("us", tz="UTC")),
    }
    lineage = {name: column.to_pylist() for name, column in known.lineage(at, now).items()}
    assert lineage["run_id"] == ["run-1", "run-1", "run-2", "now"]
    assert lineage["source_version"] == [7, 3, 7, 8]
    assert lineage["scored_at"] == [AT, AT, AT, AT + dt.timedelta(days=1)]
    assert lineage["model_version"] == ["1", "1", "1", "now"]


def test_rows_of_other_models_and_without_fingerprint_are_not_known(tmp_path: Path) -> None:
    digests = pa.array([OURS if n % 2 else OTHERS for n in range(10)])
    unprinted = pa.array([None if n == 23 else prints(n) for n in range(20, 25)], pa.binary())
    index, warnings = built(
        tmp_path,
        rows_of(range(10), bundle_digest=digests),
        rows_of(range(10, 20), bundle_digest=OTHERS),
        rows_of(range(20, 25), input_fingerprint=unprinted),
    )
    assert numbers_known(index, range(30)) == [1, 3, 5, 7, 9, 20, 21, 22, 24]
    assert warnings == []


def test_files_with_other_columns_are_left_out(tmp_path: Path) -> None:
    """Tables that got columns later, or whose column has another type."""
    index, warnings = built(
        tmp_path,
        rows_of(range(5)).drop_columns(["label"]),
        rows_of(range(5, 10), score=pa.array([1.0] * 5, pa.float32())),
        rows_of(range(10, 12)).drop_columns(["input_fingerprint"]),
        rows_of(range(12, 15)),
    )
    assert numbers_known(index, range(20)) == [12, 13, 14]
    assert warnings == []


def test_files_that_are_damaged_or_gone_are_left_out_and_told(tmp_path: Path) -> None:
    whole = tmp_path / "more.parquet"
    pq.write_table(rows_of(range(5, 9)), whole, write_page_checksum=True, use_dictionary=False)
    column = pq.read_metadata(whole).row_group(0).column(1)
    content = bytearray(whole.read_bytes())
    content[column.data_page_offset + column.total_compressed_size - 3] ^= 4
    (tmp_path / "0.parquet").write_bytes(content)
    pq.write_table(rows_of(range(20, 24)), tmp_path / "1.parquet")
    plan = IndexPlan(str(tmp_path), AnsweringModel(OURS, OUTPUTS), str(tmp_path), "run-9")
    [one] = build_part(plan, PartFiles(("0.parquet", "1.parquet", "gone.parquet")))
    index = KnownIndex(str(tmp_path), (one.file,), one.rows)
    assert numbers_known(index, range(30)) == [20, 21, 22, 23]
    damaged, gone = one.warnings
    assert "0.parquet is damaged" in damaged and damaged.endswith("none of them is carried over")
    assert "gone.parquet is not there" in gone


def files_of(*rows: int, size: int = 30) -> list[DataFile]:
    """Files with so many rows, and so many bytes a row."""
    return [
        DataFile(path=f"{number}.parquet", size=size * each, rows=each)
        for number, each in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("files", "workers", "parts"),
    [
        (files_of(1), 4, 1),
        (files_of(300_000, 300_000), 4, 2),
        (files_of(*[500_000] * 20), 4, 4),
        (files_of(*[500_000] * 20), 64, 8),
        (files_of(*[500_000] * 200), 4, 13),
        (files_of(*[10] * 100, size=2**20), 8, 4),
        (files_of(0, 0), 4, 1),
    ],
)
def test_parts_fit_into_a_worker_and_are_no_more_than_that_takes(
    files: list[DataFile], workers: int, parts: int
) -> None:
    dealt = share_out(files, workers)
    assert len(dealt) == parts
    assert [path for part in dealt for path in part.paths] == [file.path for file in files]


def test_parts_have_about_as_many_rows() -> None:
    dealt = share_out(files_of(900_000, *[100_000] * 9), 2)
    assert [len(part.paths) for part in dealt] == [1, 9]
