"""Figures for Prometheus over two workers, and the access log."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families
from service.served_project import Served, get, post, serving

PATH, BATCH = "/v1/predictions/churn", "/v1/predictions/churn:batch"


def figures(served: Served) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = get(served, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def told(found: dict[Any, float], name: str, **labels: str) -> float:
    return found[(name, tuple(sorted(labels.items())))]


def ask(served: Served, count: int) -> None:
    for number in range(count):
        # A connection each, so that both workers are asked.
        get(served, f"{PATH}?customer=c{number}&order={number}", headers={"connection": "close"})


def test_every_worker_is_counted(asked_project: Path) -> None:
    with serving(asked_project, "--workers", "2") as served:
        ask(served, 60)
        get(served, f"{PATH}?customer=none&order=1")
        get(served, f"{PATH}?customer=c5&order=x")
        get(served, "/v1/predictions/nobody-knows?a=1")
        get(served, "/nobody-knows-this-path")
        keys = [{"customer": f"c{n}", "order": n % 7} for n in range(10)]
        post(served, BATCH, json={"keys": keys})
        found = figures(served)
        name = "batchinfer_requests_total"
        assert told(found, name, route="one", pipeline="churn", status="200") == 60
        assert told(found, name, route="one", pipeline="churn", status="404") == 1
        assert told(found, name, route="one", pipeline="churn", status="422") == 1
        assert told(found, name, route="batch", pipeline="churn", status="200") == 1
        assert told(found, name, route="one", pipeline="", status="404") == 1
        assert told(found, name, route="other", pipeline="", status="404") == 1
        assert told(found, "batchinfer_keys_total", pipeline="churn", result="hit") == 60 + 7
        assert told(found, "batchinfer_keys_total", pipeline="churn", result="miss") == 1 + 3
        seconds = "batchinfer_request_seconds"
        assert told(found, f"{seconds}_count", route="one", pipeline="churn") == 62
        assert told(found, f"{seconds}_bucket", route="one", pipeline="churn", le="+Inf") == 62
        assert 0 < told(found, f"{seconds}_sum", route="one", pipeline="churn") < 20
        assert told(found, "batchinfer_requests_in_flight") == 1, "the question after figures"
        assert told(found, "batchinfer_generations_total", pipeline="churn") == 2
        assert 0 < told(found, "batchinfer_generation_age_seconds", pipeline="churn") < 3_600
        assert told(found, "batchinfer_pipeline_ready", pipeline="churn") == 1
        labels = {value for _, pairs in found for _, value in pairs}
        assert not [value for value in labels if "nobody" in value]


def test_figures_outlive_the_worker_that_counted_them(asked_project: Path) -> None:
    with serving(asked_project, "--workers", "2") as served:
        ask(served, 40)
        before = served.workers()
        os.kill(before[0], signal.SIGKILL)
        until = time.monotonic() + 30
        while set(served.workers()) == set(before) or len(served.workers()) < 2:
            assert time.monotonic() < until
            time.sleep(0.1)
        ask(served, 10)
        found = figures(served)
        requests_ = told(
            found, "batchinfer_requests_total", route="one", pipeline="churn", status="200"
        )
        assert requests_ == 50
        assert told(found, "batchinfer_requests_in_flight") == 1
        assert any("ended (signal 9); another one begins" in line for line in served.lines)


def test_a_line_of_json_for_each_request_without_the_keys(asked_project: Path) -> None:
    with serving(asked_project, "--workers", "2") as served:
        ask(served, 20)
        answer = get(served, f"{PATH}?customer=nobody-secret&order=5")
        post(served, BATCH, json={"keys": [{"customer": "batch-secret", "order": 5}]})
        lines = served.logged(22)
        assert len(lines) == 22
        by_id = {line["request_id"]: line for line in lines}
        line = by_id[answer.headers["x-request-id"]]
        assert (line["method"], line["route"], line["pipeline"]) == ("GET", "one", "churn")
        assert (line["status"], line["bytes"], line["caller"]) == (404, len(answer.content), None)
        assert 0 < line["ms"] < 20_000
        assert abs(line["time"] - time.time()) < 60
        assert "secret" not in "".join(served.lines)


def test_keys_stand_in_the_log_where_it_is_asked_for(asked_project: Path) -> None:
    with serving(asked_project, "--workers", "1", "--log-keys") as served:
        get(served, f"{PATH}?customer=c5&order=5")
        (line,) = served.logged(1)
        assert line["keys"] == [{"customer": "c5", "order": "5"}]


def test_no_line_where_none_is_asked_for(asked_project: Path) -> None:
    with serving(asked_project, "--workers", "1", "--no-access-log") as served:
        ask(served, 3)
        served.stop()
        assert served.log() == []


def test_requests_are_answered_while_nobody_reads_the_log(asked_project: Path) -> None:
    import subprocess
    import sys

    process = subprocess.Popen(
        [sys.executable, "-m", "batchinfer", "serve", "--port", "0", "--workers", "1"],
        cwd=asked_project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]
        with requests.Session() as session:
            # More than a pipe takes.
            for number in range(1_500):
                question = f"{url}{PATH}?customer=c5&order={number}"
                assert session.get(question, timeout=10).status_code in (200, 404)
    finally:
        process.kill()
        process.communicate()


def test_a_number_that_the_caller_gives_is_kept_if_it_can_be_one(asked: Served) -> None:
    given = get(asked, "/healthz", headers={"X-Request-Id": "abc-1.2"})
    assert given.headers["x-request-id"] == "abc-1.2"
    for wrong in ("a b", "x" * 200, '"; drop'):
        answer = get(asked, "/healthz", headers={"X-Request-Id": wrong})
        assert answer.headers["x-request-id"] != wrong
    assert json.loads(given.text) == {"status": "ok"}
