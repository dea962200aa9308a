"""A server that sends the secret that it was asked with back inside of a record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from http_api import Api, orders, serving
from spark.projects import DAY, SmallProject
from spark.test_extract_http import PIPELINE, TOKEN

from batchinfer.errors import TooManyQuarantined

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_a_token_that_comes_back_inside_of_a_record_is_shown_nowhere(
    tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    monkeypatch.setenv("ORDERS_TOKEN", TOKEN)
    project = SmallProject(tmp_path, lambda: spark)
    project.write(
        "conf/pipelines/small.yaml",
        PIPELINE.replace("  retries: 0", "  retries: 0\n  auth_env: ORDERS_TOKEN"),
    )
    records = orders(range(8))
    records[3] = {"id": TOKEN, "color": "red", "size": 1.0}
    with serving(Api(records)) as api:
        monkeypatch.setenv("ORDERS_API", api.url)
        with pytest.raises(TooManyQuarantined) as caught:
            project.extract(DAY, "checks.max_quarantine_rate=0.0")
        project.extract()
        [row] = project.table("quarantine").to_pylist()
        assert TOKEN in row["raw"].decode(), "data stay"
        assert "***" in row["message"] and "canary" not in row["message"]
    assert "canary" not in str(caught.value) and "***" in str(caught.value)
    runs = (project.root / "var/lake/runs").rglob("*.parquet")
    assert all(TOKEN.encode() not in path.read_bytes() for path in runs)
