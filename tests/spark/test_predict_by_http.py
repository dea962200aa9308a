"""`:predict` of the service: the answer that the batch gave."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from service.served_project import Served, post, serving
from spark.projects import DAY, SmallProject

from batchinfer.errors import ConfigError
from batchinfer.pipeline.answering.predicted_now import predict_rows

PATH = "/v1/predictions/small:predict"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> SmallProject:
    """A project that has landed, trained and scored."""
    root = tmp_path_factory.mktemp("by_http")
    shutil.copytree(trained, root, dirs_exist_ok=True)

    def no_session() -> None:
        raise AssertionError("a service needs no session")

    return SmallProject(root, no_session)


@pytest.fixture(scope="module")
def scoring(project: SmallProject) -> Iterator[Served]:
    with serving(project.root, "--workers", "1", "--most-seconds", "60") as served:
        yield served


def test_keys_are_scored_as_the_batch_scored_them(project: SmallProject, scoring: Served) -> None:
    stored = project.predictions(DAY)
    told = post(scoring, PATH, json={"keys": [{"id": number} for number in stored]})
    assert told.status_code == 200, told.text
    body = told.json()
    assert body["model_version"] == "1" and len(body["results"]) == len(stored) == 40
    for number, one in zip(stored, body["results"], strict=True):
        score, label = stored[number]
        assert one["found"] is True
        assert one["prediction"]["score"] == pytest.approx(score, abs=1e-6)
        assert (one["prediction"]["label"], one["prediction"]["model_version"]) == (label, "1")


def test_rows_are_scored_as_the_keys_that_they_are_of(scoring: Served) -> None:
    row = {"color": "red", "size": 1.11}
    by_row = post(scoring, PATH, json={"rows": [row]}).json()["results"]
    by_key = post(scoring, PATH, json={"keys": [{"id": 3}]}).json()["results"]
    assert by_row[0]["prediction"]["score"] == pytest.approx(by_key[0]["prediction"]["score"])


def test_a_key_that_has_not_landed_stands_beside_the_others(scoring: Served) -> None:
    told = post(scoring, PATH, json={"keys": [{"id": 3}, {"id": 999}]}).json()
    assert [one["found"] for one in told["results"]] == [True, False]
    assert told["results"][1] == {"found": False, "prediction": None}


def test_a_value_that_is_missing_is_null_for_the_command_and_the_service_as_for_the_batch(
    project: SmallProject, scoring: Served, spark: object
) -> None:
    later = SmallProject(project.root, lambda: spark)
    later.write("in/b.csv", "id,color,size,big\n101,,1.11,no\n102,red,1.11,no\n")
    later.extract("2026-11-22")
    later.score("2026-11-22")
    stored = later.predictions("2026-11-22")
    assert stored[101] != stored[102]
    rows = [{"color": None, "size": 1.11}, {"color": "red", "size": 1.11}]
    by_command = predict_rows(later.context(), json.dumps(rows))["results"]
    by_service = post(scoring, PATH, json={"rows": rows}).json()["results"]
    assert by_command == by_service
    told = [one["prediction"] for one in by_service]
    assert [one["score"] for one in told] == pytest.approx([stored[101][0], stored[102][0]])


def test_a_column_that_a_row_lacks_is_told_by_the_command_and_the_service_in_the_same_words(
    project: SmallProject, scoring: Served
) -> None:
    rows = [{"color": "red", "size": 1.11}, {"size": 1.11}, {}]
    with pytest.raises(ConfigError) as refused:
        predict_rows(project.context(), json.dumps(rows))
    problem = post(scoring, PATH, json={"rows": rows})
    assert problem.status_code == 422
    told = problem.json()
    each = [f"{one['name']}: got {one['got']}; allowed: {one['allowed']}" for one in told["errors"]]
    assert list(refused.value.problems) == [told["detail"], *each]
    assert [one["name"] for one in told["errors"]] == [
        "rows[1].color",
        "rows[2].color",
        "rows[2].size",
    ]
