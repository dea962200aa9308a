"""Whether executors on other machines reach a bucket, asked before a run: two real executors, and
one server that is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from s3.conftest import ACCESS_KEY, SECRET_KEY, free_port, text_for
from s3.test_store_commits import keys

from batchinfer.config.environment import SparkSettings
from batchinfer.config.s3 import VARIABLE
from batchinfer.errors import StorageError
from batchinfer.spark.reach import ask_executors
from batchinfer.spark.session import open_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def spark(lake: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SparkSession]:
    assert lake
    # The session is there before anything is known of the store, as in a notebook: its executors
    # inherit nothing.
    told = os.environ[VARIABLE]
    monkeypatch.delenv(VARIABLE)
    settings = SparkSettings(
        master="local-cluster[2,1,1024]",
        conf={"spark.ui.enabled": False, "spark.executor.memory": "1g"},
    )
    session = open_session(settings, "reach of a store")
    monkeypatch.setenv(VARIABLE, told)
    yield open_session(settings, "reach of a store")
    session.stop()


def test_executors_are_told_where_the_store_is_and_asked_before_a_run(
    spark: SparkSession, lake: str
) -> None:
    ask_executors(spark, {"lake": lake})
    assert keys(lake) == set()
    # As a machine would have it that has no way to the store.
    spark.sparkContext.environment[VARIABLE] = text_for(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(
        StorageError, match=rf"lake: an executor on \S+: {lake}: cannot read what the driver wrote"
    ) as refused:
        ask_executors(spark, {"lake": lake})
    assert "check the store's address" in str(refused.value.hint)
    assert ACCESS_KEY not in str(refused.value) and SECRET_KEY not in str(refused.value)
    assert keys(lake) == set()
