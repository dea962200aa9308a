"""The OpenLineage events of real runs, as a real HTTP server takes them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from collector import Taken
from lineage_reader import OWN, check_event
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.errors import InputError, Interrupted, TooManyQuarantined
from batchinfer.observability.lineage_events import lineage_id
from batchinfer.pipeline.run_record import record_run

from ..conftest import HUGE


def _facts(event: dict[str, Any]) -> dict[str, Any]:
    return event["run"]["facets"][OWN]


def _named(datasets: list[dict[str, Any]]) -> list[str]:
    return [one["name"].rpartition("/")[2] for one in datasets]


def test_a_score_tells_what_it_reads_and_what_it_has_published(
    watched: SmallProject, taken: Taken
) -> None:
    report = watched.score()
    assert report.warnings == [] and taken.kinds == ["small.score START", "small.score COMPLETE"]
    start, end = taken.events
    for event in taken.events:
        check_event(event)
        assert event["job"]["namespace"] == "tests"
        assert _named(event["inputs"]) == ["small", "small"], "the landed table and the model"
        assert event["inputs"][0]["name"] == str(watched.root / "var/lake/landed/small")
        assert event["inputs"][1]["name"] == "models/small"
        assert event["outputs"][0]["namespace"] == "file"
        assert event["outputs"][0]["name"] == str(watched.root / "var/lake/predictions/small")
    assert start["run"]["runId"] == end["run"]["runId"] == lineage_id(report.run_id)
    assert start["eventTime"] < end["eventTime"]
    assert _facts(end)["run_id"] == report.run_id and _facts(end)["rows_scored"] == 40
    assert "status" not in _facts(start) and _facts(end)["status"] == "published"
    assert end["run"]["facets"]["nominalTime"]["nominalStartTime"] == f"{DAY}T00:00:00+00:00"
    assert end["run"]["facets"]["nominalTime"]["nominalEndTime"] == "2026-11-22T00:00:00+00:00"
    [table] = end["outputs"]
    written = table["outputFacets"]["outputStatistics"]
    files = list((watched.root / "var/lake/predictions/small").glob("slice=*/*.parquet"))
    assert (written["rowCount"], written["fileCount"]) == (40, len(files))
    assert written["size"] == sum(file.stat().st_size for file in files)
    columns = {one["name"]: one["type"] for one in table["facets"]["schema"]["fields"]}
    assert (columns["score"], columns["scored_at"]) == ("double", "timestamp")
    assert table["facets"]["version"]["datasetVersion"] == str(report.version)
    assert end["inputs"][0]["facets"]["version"]["datasetVersion"] == str(report.source_version)
    assert end["inputs"][1]["facets"]["version"]["datasetVersion"] == report.model_version
    assert end["inputs"][0]["inputFacets"]["inputStatistics"]["rowCount"] == 40


def test_a_landing_and_a_training_tell_theirs(watched: SmallProject, taken: Taken) -> None:
    watched.write("in/b.csv", csv_of(range(40, 50)))
    landed, trained = watched.extract(), watched.train()
    for event in taken.events:
        check_event(event)
    assert [kind.partition(".")[2] for kind in taken.kinds] == [
        "extract START", "extract COMPLETE", "train START", "train COMPLETE",
    ]  # fmt: skip
    extract, train = taken.events[1], taken.events[3]
    assert [one["name"] for one in extract["inputs"]] == [str(watched.root / "in")]
    assert extract["inputs"][0]["inputFacets"]["inputStatistics"]["fileCount"] == 1
    assert (
        extract["outputs"][0]["outputFacets"]["outputStatistics"] | {"rowCount": 10}
        == (extract["outputs"][0]["outputFacets"]["outputStatistics"])
    )
    assert extract["outputs"][0]["facets"]["version"]["datasetVersion"] == str(landed.version)
    assert train["inputs"][0]["name"] == extract["outputs"][0]["name"], "the two are joined by it"
    assert train["outputs"][0]["facets"]["version"]["datasetVersion"] == trained.model_version
    assert train["outputs"][0]["facets"]["datasetType"]["datasetType"] == "MODEL"


def test_what_was_done_before_is_complete_and_has_written_nothing(
    watched: SmallProject, taken: Taken
) -> None:
    watched.score()
    assert watched.score().status == "unchanged"
    end = taken.events[-1]
    check_event(end)
    assert end["eventType"] == "COMPLETE" and _facts(end)["status"] == "unchanged"
    assert end["outputs"][0]["outputFacets"] == {}


def test_rows_in_quarantine_are_an_output_of_their_own(watched: SmallProject, taken: Taken) -> None:
    watched.write("in/b.csv", f"id,color,size,big\n90,red,{HUGE},no\n91,blue,{HUGE},no\n")
    watched.extract()
    watched.score()
    end = taken.events[-1]
    check_event(end)
    assert [one["name"].split("/")[-2] for one in end["outputs"]] == ["predictions", "quarantine"]
    assert [one["outputFacets"]["outputStatistics"]["rowCount"] for one in end["outputs"]] == [
        40,
        2,
    ]


def test_a_run_that_fails_says_why_and_reads_no_table(watched: SmallProject, taken: Taken) -> None:
    watched.write("in/b.csv", f"id,color,size,big\n90,red,{HUGE},no\n91,blue,{HUGE},no\n")
    watched.extract()
    with pytest.raises(TooManyQuarantined):
        watched.score(DAY, "checks.max_quarantine_rate=0.001")
    end = taken.events[-1]
    check_event(end)
    assert end["eventType"] == "FAIL" and _facts(end)["exit_code"] == 5
    assert "checks.max_quarantine_rate" in end["run"]["facets"]["errorMessage"]["message"]
    assert end["outputs"][0]["outputFacets"] == {}
    for one in (*end["inputs"], *end["outputs"]):
        assert "schema" not in one["facets"], "the store may be what made it fail"


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (Interrupted("told to stop", 143), "ABORT", 143),
        (InputError("no such slice"), "FAIL", 3),
        (ZeroDivisionError("by zero"), "FAIL", 1),
    ],
)
def test_each_end_has_its_event(
    watched: SmallProject, taken: Taken, error: BaseException, kind: str, code: int
) -> None:
    def fails() -> Any:
        raise error

    with pytest.raises(type(error)):
        record_run(watched.context(), "score", DAY, fails)
    assert [one["eventType"] for one in taken.events] == ["START", kind]
    assert _facts(taken.events[1])["exit_code"] == code
    check_event(taken.events[1])


def test_expectations_of_the_input_that_failed_are_told_of_the_input(
    watched: SmallProject, taken: Taken
) -> None:
    error = InputError("input check of slice x")
    error.facts = {
        "checks_failed": [
            {
                "suite": suite,
                "expectation": "expect_column_values_to_be_between",
                "column": "size",
                "success": False,
                "message": "4 values of size are above 3",
            }
            for suite in ("input", "predictions")
        ]
    }

    def fails() -> Any:
        raise error

    with pytest.raises(InputError):
        record_run(watched.context(), "score", DAY, fails)
    end = taken.events[-1]
    check_event(end)
    [told] = end["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert told["assertion"] == "expect_column_values_to_be_between" and told["column"] == "size"
    assert told["success"] is False and told["description"] == "4 values of size are above 3"


def test_slices_of_a_backfill_name_it_as_their_parent(watched: SmallProject, taken: Taken) -> None:
    report = watched.backfill(DAY, DAY)
    assert [kind.removeprefix("small.") for kind in taken.kinds] == [
        "backfill START", "score START", "score COMPLETE", "backfill COMPLETE",
    ]  # fmt: skip
    for event in taken.events:
        check_event(event)
    outer, inner, *_ = taken.events
    parent = inner["run"]["facets"]["parent"]
    assert parent["run"]["runId"] == outer["run"]["runId"] == lineage_id(report.run_id)
    assert parent["job"] == {"namespace": "tests", "name": "small.backfill", "facets": {}}
    assert "parent" not in outer["run"]["facets"]
    assert outer["inputs"] == outer["outputs"] == [], "its slices say them"


def test_the_id_of_a_run_is_made_of_ours_alone() -> None:
    one = lineage_id("20261121T021500-1f2e3d4c")
    assert one == lineage_id("20261121T021500-1f2e3d4c") == str(uuid.UUID(one))
    assert uuid.UUID(one).version == 7
    assert one != lineage_id("20261121T021500-1f2e3d4d")
    assert one < lineage_id("20261121T021501-00000000"), "they sort by time, as ours do"


def test_no_secret_of_an_error_or_a_file_is_sent(
    watched: SmallProject, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINEAGE_KEY", "xyzzy-plugh-key")
    monkeypatch.setenv("COLLECTOR", taken.url.replace("//", "//watcher:s3cr3tword@"))
    watched.write(
        "conf/environments/local.yaml",
        "observability: {openlineage: {url_env: COLLECTOR, api_key_env: LINEAGE_KEY}}\n",
    )

    def fails() -> Any:
        raise InputError(
            "the server said xyzzy-plugh-key, s3cr3tword and https://me:hunter22@db.example/x"
        )

    with pytest.raises(InputError):
        record_run(watched.context(), "score", DAY, fails)
    assert taken.headers[0]["Authorization"] == "Bearer xyzzy-plugh-key", "the key stands over it"
    sent = json.dumps(taken.events)
    assert "the server said" in sent
    for secret in ("xyzzy", "s3cr3tword", "hunter22", "watcher"):
        assert secret not in sent
