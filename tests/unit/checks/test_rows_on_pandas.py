"""What judging Arrow rows by the library's pandas engine leaves out, and leaves as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from great_expectations.execution_engine import pandas_execution_engine

from batchinfer.checks.expectations import judge_rows
from batchinfer.checks.rows_on_pandas import ArrowRows
from batchinfer.checks.suites import load_suite


def test_no_frame_is_hashed_and_the_librarys_own_threshold_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hashed(frame: Any) -> str:
        raise AssertionError(f"{len(frame)} rows were hashed")

    monkeypatch.setattr(pandas_execution_engine, "hash_pandas_dataframe", hashed)
    before = pandas_execution_engine.HASH_THRESHOLD
    path = tmp_path / "suite.yaml"
    path.write_text("- expect_column_values_to_be_between: {column: x, min_value: 0}")
    suite = load_suite(path)
    rows = ArrowRows(pa.table({"x": [1.5, 0.0, None]}))
    assert judge_rows(rows, suite, "small").success
    assert not judge_rows(ArrowRows(pa.table({"x": [1.5, -1.0]})), suite, "small").success
    assert before == pandas_execution_engine.HASH_THRESHOLD > 0
