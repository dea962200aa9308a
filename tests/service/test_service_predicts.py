"""`:predict`: rows that are scored now, and everything that may keep them from it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from service.scored_project import PATH, ROW, await_model
from service.served_project import Served, caller_line, get, post, problem, serving

KEY = {"customer": "c3", "order": 3}


@pytest.fixture(scope="module")
def scored(scoring_project: Path) -> Iterator[Served]:
    """One worker that has its model."""
    options = "--workers 1 --most-keys 3 --most-seconds 1 --log-keys"
    with serving(scoring_project, *options.split()) as served:
        await_model(served)
        yield served


def answers(served: Served, **body: Any) -> list[dict[str, Any]]:
    told = post(served, PATH, json=body)
    assert told.status_code == 200, told.text
    assert told.json()["model_version"] == "1"
    return told.json()["results"]


def test_nothing_heavy_is_there_before_the_first_question(scoring_project: Path) -> None:
    with serving(scoring_project, "--workers", "1", "--most-seconds", "60") as served:
        (worker,) = served.workers()
        maps = Path(f"/proc/{worker}/maps")
        get(served, "/v1/predictions/churn?customer=c5&order=5")
        problem(post(served, PATH, json={"rows": 3}), 400, "wrong-body")
        steps = post(served, "/v1/predictions/steps:predict", json={"keys": [KEY]})
        problem(steps, 422, "no-features")
        assert "/pandas/" not in maps.read_text()
        assert post(served, PATH, json={"rows": [ROW]}).status_code == 200
        assert "/pandas/" in maps.read_text()


def test_the_first_question_is_told_that_the_model_is_being_loaded(scoring_project: Path) -> None:
    with serving(scoring_project, "--workers", "1", "--most-seconds", "0.1") as served:
        first = post(served, PATH, json={"rows": [ROW]})
        problem(first, 503, "model-loading")
        assert first.headers["retry-after"] == "5"
        await_model(served)
        assert post(served, PATH, json={"rows": [ROW]}).status_code == 200


def test_a_row_of_each_form(scored: Served) -> None:
    (by_row,) = answers(scored, rows=[ROW])
    expected = {"score": 4.0, "day": "2026-11-22", "model_name": "churn", "model_version": "1"}
    assert by_row == {"found": True, "prediction": expected}
    newest, older, absent = answers(
        scored, keys=[KEY, {"customer": "c7", "order": "7"}, {"customer": "c3", "order": 4}]
    )
    assert (newest["prediction"]["score"], newest["prediction"]["day"]) == (51.5, "2026-11-21")
    assert (older["prediction"]["score"], older["prediction"]["day"]) == (4.0, "2026-11-20")
    assert absent == {"found": False, "prediction": None}


@pytest.mark.parametrize(
    ("name", "value"),
    [("spend", "wide"), ("spend", True), ("spend", [1]), ("day", "2026-13-01"), ("day", 5),
     ("order", 1.5), ("customer", 5)],
)  # fmt: skip
def test_a_value_of_another_type_is_its_rows_error(scored: Served, name: str, value: Any) -> None:
    bad, good = answers(scored, rows=[{**ROW, name: value}, ROW])
    assert (bad["found"], bad["prediction"]) == (True, None)
    assert f"column {name}" in bad["error"]
    assert good["prediction"]["score"] == 4.0


def test_rows_that_lack_columns_are_told_by_name(scored: Served) -> None:
    lacking = {name: ROW[name] for name in ("customer", "order")}
    told = problem(post(scored, PATH, json={"rows": [ROW, lacking]}), 422, "wrong-rows")
    assert [error["name"] for error in told["errors"]] == ["rows[1].day", "rows[1].spend"]
    assert "day, spend" in told["detail"]
    (null,) = answers(scored, rows=[{**ROW, "spend": None}])
    assert null["prediction"] is None and null["error"]


@pytest.mark.parametrize(
    "body", [[], {}, {"keys": [KEY], "rows": [ROW]}, {"rows": []}, {"rows": [3]}, {"keys": KEY},
             {"rows": [ROW], "as_of": None}],
)  # fmt: skip
def test_bodies_of_another_form(scored: Served, body: Any) -> None:
    told = problem(post(scored, PATH, json=body), 400, "wrong-body")
    assert told["errors"][0]["allowed"]


def test_parameters_methods_and_texts_that_are_none(scored: Served) -> None:
    problem(post(scored, f"{PATH}?as_of=x", json={"rows": [ROW]}), 400, "wrong-parameters")
    assert problem(get(scored, PATH), 405, "wrong-method")["status"] == 405
    told = problem(post(scored, PATH, data=b"{"), 400, "no-json")
    assert '"rows"' in told["detail"]


def test_keys_that_are_none(scored: Served) -> None:
    told = post(scored, PATH, json={"keys": [{"customer": "c3"}]})
    problem(told, 400, "wrong-parameters")
    told = post(scored, PATH, json={"keys": [KEY, {"customer": "c3", "order": "x"}]})
    told = problem(told, 422, "wrong-key")
    assert "order" in told["detail"]
    assert told["errors"] == [
        {"name": "keys[1].order", "got": "'x'", "allowed": "a value of type int64"}
    ]


@pytest.mark.parametrize(("form", "one"), [("keys", KEY), ("rows", ROW)])
def test_more_than_a_request_may_ask(scored: Served, form: str, one: dict[str, Any]) -> None:
    told = problem(post(scored, PATH, json={form: [one] * 4}), 422, f"too-many-{form}")
    assert told["errors"][0]["allowed"] == "3 at most"


def test_keys_of_rows_that_need_others_are_refused(scored: Served) -> None:
    told = post(scored, "/v1/predictions/steps:predict", json={"keys": [KEY]})
    assert "allowed: rows" in problem(told, 422, "no-features")["detail"]
    document = get(scored, "/openapi.json").json()
    forms = document["paths"]["/v1/predictions/steps:predict"]["post"]["requestBody"]
    schema = forms["content"]["application/json"]["schema"]
    assert [one["required"] for one in schema["oneOf"]] == [["rows"]]


def test_what_is_not_there_names_the_next_command(scored: Served) -> None:
    path = "/v1/predictions/bare:predict"
    told = problem(post(scored, path, json={"keys": [KEY]}), 404, "nothing-landed")
    assert told["next"][0].startswith("batchinfer extract -p bare")
    told = problem(post(scored, path, json={"rows": [ROW]}), 424, "no-model")
    assert told["next"][0].startswith("batchinfer models -p bare")
    assert any("bare" in line for line in scored.lines if line[0] != "{"), scored.lines


def test_one_that_takes_too_long_keeps_no_lookup_waiting(scored: Served) -> None:
    with ThreadPoolExecutor(16) as pool:
        slow = {"rows": [{**ROW, "spend": 1_000_002}]}
        began = time.monotonic()
        told = [pool.submit(post, scored, PATH, json=slow) for _ in range(16)]
        time.sleep(0.3)
        asked = time.monotonic()
        assert get(scored, "/v1/predictions/churn?customer=c5&order=5").status_code == 200
        assert time.monotonic() - asked < 0.5
        statuses = [one.result().status_code for one in told]
        assert time.monotonic() - began < 5
    assert sorted(statuses) == [503] * 7 + [504] * 9
    refused = next(one.result() for one in told if one.result().status_code == 503)
    problem(refused, 503, "too-busy")
    assert int(refused.headers["retry-after"]) >= 1
    problem(next(one.result() for one in told if one.result().status_code == 504), 504, "too-slow")
    time.sleep(2.5)
    assert answers(scored, rows=[ROW])[0]["prediction"]["score"] == 4.0


def test_answers_are_counted_and_logged(scored: Served) -> None:
    def figures() -> dict[str, float]:
        text = get(scored, "/metrics").text
        return {
            sample.labels["result"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "batchinfer_predictions_now_total"
        }

    before = figures()
    answers(scored, rows=[ROW, {**ROW, "spend": "wide"}])
    answers(scored, keys=[KEY, {"customer": "c3", "order": 4}])
    grown = {name: value - before.get(name, 0) for name, value in figures().items()}
    assert grown == {"predicted": 2, "failed": 1, "absent": 1}
    until = time.monotonic() + 5
    while not any(one["route"] == "predict" and KEY in one.get("keys", []) for one in scored.log()):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not [one for one in scored.log() if "spend" in str(one)], "rows are never logged"


def test_a_key_of_another_pipeline_scores_nothing(scoring_project: Path) -> None:
    lines = [caller_line("shop", "secret-a", "churn"), caller_line("lab", "secret-b", "steps")]
    env = {"BATCHINFER_API_KEYS": "\n".join(lines)}
    with serving(scoring_project, "--workers", "1", "--most-seconds", "60", env=env) as served:
        problem(post(served, PATH, json={"rows": [ROW]}), 401, "no-key")
        other = {"Authorization": "Bearer secret-b"}
        problem(post(served, PATH, json={"rows": [ROW]}, headers=other), 403, "no-right")
        own = {"Authorization": "Bearer secret-a"}
        assert post(served, PATH, json={"rows": [ROW]}, headers=own).status_code == 200


def test_the_service_is_whole_after_all_of_this(scored: Served) -> None:
    assert not [line for line in scored.lines if "Traceback" in line]
    assert scored.process.poll() is None
    assert len(scored.workers()) == 1


def test_the_command_names_what_makes_a_damaged_file_anew(
    scoring_project: Path, tmp_path: Path
) -> None:
    project = tmp_path / "damaged"
    shutil.copytree(scoring_project, project)
    for file in (project / "var/lake/landed/churn").rglob("*.parquet"):
        file.write_bytes(b"PAR1" + bytes(file.stat().st_size - 8) + b"PAR1")
    asked = ["predict", "-p", "churn", "--key", "customer=c3,order=3"]
    done = subprocess.run(
        [sys.executable, "-m", "batchinfer", *asked],
        cwd=project, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 3 and "damaged" in told["errors"][0]
    assert told["next"][0].startswith("batchinfer extract -p churn --slice")
