"""Values of sensitive columns come back to no caller in a problem, and stand in no log."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service.scored_project import ROW, scored_project
from service.served_project import Served, get, post, publish, rows, serving

CANARY = "canary-4711"
PATH = "/v1/predictions/churn"
KEY = {"customer": CANARY, "order": 3}


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`churn` with a sensitive key column, and a sensitive feature."""
    project = scored_project(tmp_path_factory.mktemp("private"))
    file = project / "conf/pipelines/churn.yaml"
    file.write_text(file.read_text() + "sensitive: [customer, spend]\n")
    publish(project, "churn", rows(10))
    return project


@pytest.fixture(scope="module")
def served(private: Path) -> Iterator[Served]:
    with serving(private, "-p", "churn", "--workers", "1", "--log-keys") as served:
        yield served


@pytest.mark.parametrize(
    "query",
    [
        f"customer={CANARY}&order=x",
        f"custmer={CANARY}&order=3",
        f"customer={CANARY}",
        f"customer={CANARY}&order=3&as_of=yesterday",
        f"customer={CANARY}&customer={CANARY}&order=3",
        f"customer={CANARY}&order=3",
        f"customer={CANARY}&order=3&as_of=2026-11-21",
    ],
)
def test_no_question_for_one_key_comes_back(served: Served, query: str) -> None:
    answer = get(served, f"{PATH}?{query}")
    assert 400 <= answer.status_code < 500
    assert answer.json()["status"] == answer.status_code
    assert "canary" not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        {"keys": [KEY, {**KEY, "order": "x"}]},
        {"keys": [KEY, {"custmer": CANARY, "order": 3}]},
        {"keys": CANARY},
        {"keys": [CANARY]},
        {"keys": {"customer": CANARY}},
        {CANARY: 1, "keys": [KEY]},
        {"customer": CANARY},
        {"keys": [{**KEY, "customer": [CANARY]}]},
        {"keys": [KEY], "as_of": {"x": CANARY}},
        {"rows": [{**ROW, "spend": CANARY}]},
        {"rows": [{**ROW, "customer": CANARY}, {"customer": CANARY}]},
    ],
)
@pytest.mark.parametrize("route", ["batch", "predict"])
def test_no_body_comes_back(served: Served, route: str, body: Any) -> None:
    answer = post(served, f"{PATH}:{route}", json=body)
    if CANARY in body:
        return  # a name of a member is no value of a column
    told = answer.json()
    assert "canary" not in json.dumps([one.get("error") for one in told.get("results", [])])
    if answer.status_code != 200:
        assert "canary" not in answer.text
        assert told["detail"]


def test_what_is_not_sensitive_is_told(served: Served) -> None:
    told = get(served, f"{PATH}?customer={CANARY}&order=x").json()
    assert told["errors"] == [{"name": "order", "got": "'x'", "allowed": "a value of type int64"}]
    assert "order: got 'x'" in told["detail"]
    told = post(served, f"{PATH}:batch", json={"keys": [{**KEY, "customer": 5}]}).json()
    assert told["errors"][0]["got"] == "***"
    assert told["detail"] == "key column customer: got ***; allowed: a value of type string"


@pytest.mark.parametrize(
    ("query", "got"),
    [
        (f"custmer={CANARY}&order=3", "***"),
        (f"customer={CANARY}&order=3&as_of=bogus", "'bogus'"),
        (f"customer={CANARY}&order=3&as_of={'bogus' * 9}", "***"),
    ],
)
def test_names_and_slices_are_told(served: Served, query: str, got: str) -> None:
    told = get(served, f"{PATH}?{query}").json()
    assert told["errors"][0]["got"] == got
    if "custmer" in query:
        assert told["errors"][0]["name"] == "custmer"
        assert told["detail"].startswith("'custmer' is not a key column; allowed: customer, order")
    else:
        assert f"as_of: got {got}; allowed: a day" in told["detail"]


@pytest.mark.parametrize(
    ("route", "body", "got"),
    [
        ("predict", {"rows": []}, "[]"),
        ("predict", {}, "[]"),
        ("batch", {"keys": {}}, "{}"),
        ("batch", {}, "None"),
        ("batch", {"keys": [KEY] * 1_001}, "1,001 keys"),
        ("predict", {"rows": [ROW] * 1_001}, "1,001 rows"),
        ("batch", {"keys": "1,001 keys"}, "***"),
    ],
)
def test_what_is_no_value_is_told(served: Served, route: str, body: Any, got: str) -> None:
    told = post(served, f"{PATH}:{route}", json=body).json()
    assert told["errors"][0]["got"] == got
    assert got in told["detail"]


def test_the_log_that_tells_keys_masks_them(served: Served) -> None:
    before = len(served.log())
    assert get(served, f"{PATH}?customer=c5&order=5").json()["prediction"]["customer"] == "c5"
    line = served.logged(before + 1)[-1]
    assert line["keys"] == [{"customer": "***", "order": "5"}]
    assert "canary" not in "".join(served.lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ("lookup", "--key", f"customer={CANARY},order=3"),
        ("lookup", "--key", f"customer={CANARY},order=x"),
        ("lookup", "--key", f"custmer={CANARY},order=3"),
        ("lookup", "--key", f'customer="{CANARY}'),
        ("lookup", "--key", CANARY),
        ("lookup", "--key", f"customer={CANARY}\udcff,order=3"),
        ("predict", "--key", f"customer={CANARY}\udcff,order=3"),
        ("lookup", "--key", f"customer={CANARY},order=3", "--as-of", "2026-11-20"),
        ("predict", "--key", f"customer={CANARY},order=x"),
        ("predict", "--key", f"customer={CANARY}"),
        ("predict", "--row", json.dumps({**ROW, "spend": CANARY})),
    ],
)
def test_no_command_repeats_its_key(private: Path, arguments: tuple[str, ...]) -> None:
    command, *options = arguments
    done = subprocess.run(
        [sys.executable, "-m", "batchinfer", command, "-p", "churn", *options],
        cwd=private, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode in (2, 3), done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["errors"]
    assert "canary" not in done.stdout and "canary" not in done.stderr
    assert "***" in done.stdout or "got 'x'" in done.stdout


def test_a_line_that_is_no_key_is_found_by_its_number(private: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"customer=c5,order=5\n\n{CANARY}\n")
    done = subprocess.run(
        [sys.executable, "-m", "batchinfer", "lookup", "-p", "churn", "--keys-file", str(file)],
        cwd=private, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "canary" not in done.stdout + done.stderr
    [error] = json.loads(done.stdout.splitlines()[-1])["errors"]
    assert error.startswith(f"{file}, line 3: --key '***': ")
