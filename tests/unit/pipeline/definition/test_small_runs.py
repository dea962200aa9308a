"""Who does tasks: this process where little is read, else a session; and why."""

from __future__ import annotations

from typing import Any

import pytest

from batchinfer.config.environment import Environment, SparkSettings
from batchinfer.pipeline.definition.small_runs import (
    MOST_BYTES,
    MOST_READ_ROWS,
    is_small,
    why_not_here,
    workplace_opener,
)
from batchinfer.spark.jvm import needing_session, starting_words
from batchinfer.spark.tasks import THIS_PROCESS

LOCAL = Environment(spark=SparkSettings(master="local[*,4]"))


def _of(**settings: Any) -> Environment:
    return Environment(spark=SparkSettings.model_validate({"master": "local[2]", **settings}))


@pytest.mark.parametrize(
    ("environment", "size", "rows", "why"),
    [
        (LOCAL, MOST_BYTES, MOST_READ_ROWS, ""),
        (LOCAL, 0, 0, ""),
        (LOCAL, MOST_BYTES + 1, 1, "16,777,217 bytes to read; without a session: up to 16,777,216"),
        (LOCAL, 1, MOST_READ_ROWS + 1,
         "1,000,001 rows to read; without a session: up to 1,000,000"),
        (_of(small_runs="session"), 1, 1, "spark.small_runs: session"),
        (_of(master="yarn"), 1, 1, "work is done by executors of yarn"),
        (_of(master="local-cluster[1,1,512]"), 1, 1,
         "work is done by executors of local-cluster[1,1,512]"),
        (_of(master=None), 1, 1, "work is done by executors of the cluster"),
        (_of(master=None, conf={"spark.master": "local"}), 1, 1, ""),
    ],
)  # fmt: skip
def test_why_rows_are_read_by_a_session(
    environment: Environment, size: int, rows: int, why: str
) -> None:
    assert why_not_here(environment, size, rows) == why


def test_the_setting_counts_for_rows_that_are_scored_too() -> None:
    assert is_small(LOCAL, 1, 1)
    assert not is_small(_of(small_runs="session"), 1, 1)


def test_no_session_is_opened_for_few_rows() -> None:
    def refuse() -> Any:
        raise AssertionError("a session was opened")

    assert workplace_opener(LOCAL, refuse, 1, 1)() is THIS_PROCESS


def test_a_session_that_is_opened_knows_why() -> None:
    told: list[str] = []
    session: Any = object()

    def opened() -> Any:
        told.append(starting_words())
        return session

    assert workplace_opener(LOCAL, opened, MOST_BYTES + 1)() is session
    assert told == ["starting Spark: 16,777,217 bytes to read; without a session: up to 16,777,216"]
    with needing_session("outer"), needing_session("inner"):
        assert starting_words() == "starting Spark: inner"
    assert starting_words() == "starting Spark"


def test_under_spark_submit_the_jvm_is_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    session: Any = object()
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
    assert workplace_opener(LOCAL, lambda: session, 1, 1)() is session
