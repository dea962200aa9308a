"""Unit tests run without a JVM: starting one is an error."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a unit test started a SparkSession; it belongs into tests/spark")

    monkeypatch.setattr("batchinfer.spark.session.open_session", refuse)
