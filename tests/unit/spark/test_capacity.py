"""What a task of the model takes of an executor, judged without a cluster."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from batchinfer.config.environment import ModelTask
from batchinfer.spark.capacity import is_one_process, most_executors, problems_of

WITH_GPU = {"spark.executor.resource.gpu.amount": "2", "spark.executor.cores": "4"}


@pytest.mark.parametrize(
    ("conf", "task", "said"),
    [
        (WITH_GPU, {"gpus": 0.25}, None),
        (WITH_GPU, {"gpus": 2, "cpus": 4}, None),
        ({}, {}, None),
        ({}, {"cpus": 64}, None),  # how many cores an executor has is not said
        ({}, {"gpus": 0.5}, r"spark\.model_task\.gpus: got 0\.5, and executors have no GPU"),
        (
            WITH_GPU,
            {"gpus": 3},
            r"got 3; allowed: up to 2, which is spark\.executor\.resource\.gpu\.amount",
        ),
        (WITH_GPU, {"cpus": 5}, r"spark\.model_task\.cpus: got 5; allowed: up to 4"),
    ],
)
def test_what_no_executor_could_ever_run_is_told(
    conf: dict[str, str], task: dict[str, float], said: str | None
) -> None:
    found = problems_of(conf, ModelTask.model_validate(task))
    assert len(found) == (said is not None)
    if said is not None:
        with pytest.raises(ValueError, match=said):
            raise ValueError(found[0])


@pytest.mark.parametrize("gpus", [0.6, 1.5, -1])
def test_a_share_that_spark_would_refuse_is_refused_in_the_file(gpus: float) -> None:
    with pytest.raises(ValidationError, match="gpus"):
        ModelTask(gpus=gpus)


def test_which_masters_have_one_process() -> None:
    assert [is_one_process(master) for master in ("local", "local[2,4]", "local-cluster[1,1,1024]",
    "spark://h:1", None)] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_work_is_cut_for_the_executors_that_spark_may_add() -> None:
    most = {"spark.dynamicAllocation.maxExecutors": "40"}
    assert most_executors({"spark.dynamicAllocation.enabled": "true", **most}) == 40
    assert most_executors({"spark.dynamicAllocation.enabled": "true"}) == 0, "no limit says nothing"
    assert most_executors({"spark.dynamicAllocation.enabled": "false", **most}) == 0
