"""The document of the service: what it says is so, whatever is sent (Schemathesis)."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from service.scored_project import await_model
from service.served_project import Served, caller_line, get, post, problem, serving

SCHEMATHESIS = Path(__file__).parents[2] / ".venv/share/batchinfer/schemathesis/bin/schemathesis"
# Whether a text is of a column's type, the store knows and the document does not.
_NOT_HELD = "positive_data_acceptance"
# What is sent against the document may be too long as well, and is refused for that.
_REFUSED = """\
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 413, 415, 422, 428, "5xx"]
"""
_FUZZED = pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="make service installs Schemathesis")


def test_each_pipeline_stands_in_the_document_with_its_key(asked: Served) -> None:
    document = get(asked, "/openapi.json").json()
    one = document["paths"]["/v1/predictions/churn"]["get"]
    assert [told["name"] for told in one["parameters"]] == ["customer", "order", "as_of"]
    assert [told["required"] for told in one["parameters"]] == [True, True, False]
    assert one["responses"]["200"]["content"]["application/json"]["example"]["found"] is True
    batch = document["paths"]["/v1/predictions/churn:batch"]["post"]
    body = batch["requestBody"]["content"]["application/json"]
    assert body["schema"]["properties"]["keys"]["maxItems"] == 1_000
    assert body["example"]["keys"][0].keys() == {"customer", "order"}
    assert {"/healthz", "/readyz", "/metrics"} < document["paths"].keys()
    assert "security" not in document


def test_the_page_of_the_document_needs_no_other_server(asked: Served) -> None:
    page = get(asked, "/docs")
    assert (page.status_code, "/openapi.json" in page.text) == (200, True)
    assert re.findall(r"""https?:|["'(=]//""", page.text) == []
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {place.rpartition(".")[2] for place in loaded} == {"js", "css", "png"}
    for place in loaded:
        answer = get(asked, place)
        assert (place, answer.status_code) == (place, 200)
        assert len(answer.content) > 1_000
        # A style, too, may name what else is loaded.
        if place.endswith(".css"):
            assert re.findall(r"""url\((?!["']?data:)|@import""", answer.text) == []
    folder = loaded[0].rpartition("/")[0]
    problem(get(asked, f"{folder}/nothing.js"), 404, "no-such-path")
    refused = post(asked, loaded[0])
    problem(refused, 405, "wrong-method")
    assert refused.headers["allow"] == "GET, HEAD"
    problem(get(asked, f"{folder}/..%2f..%2fcore.py"), 404, "no-such-path")


def test_the_document_says_that_a_key_is_needed(asked_project: Path) -> None:
    env = {"BATCHINFER_API_KEYS": caller_line("shop", "secret-a")}
    with serving(asked_project, "--workers", "1", env=env) as served:
        answer = get(served, "/openapi.json", headers={"Authorization": "Bearer secret-a"})
        assert answer.json()["security"] == [{"key": []}]


def test_a_prediction_now_is_of_keys_or_of_rows(asked: Served) -> None:
    document = get(asked, "/openapi.json").json()
    predict = document["paths"]["/v1/predictions/churn:predict"]["post"]
    body = predict["requestBody"]["content"]["application/json"]
    assert [one["required"] for one in body["schema"]["oneOf"]] == [["keys"], ["rows"]]
    assert body["examples"]["keys"]["value"]["keys"][0].keys() == {"customer", "order"}
    assert {"200", "404", "422", "424", "503", "504"} < predict["responses"].keys()


@_FUZZED
def test_whatever_is_sent_the_answer_is_one_that_the_document_names(
    asked: Served, tmp_path: Path
) -> None:
    send_whatever(asked, tmp_path)


@_FUZZED
def test_a_model_is_asked_whatever_is_sent(scoring_project: Path, tmp_path: Path) -> None:
    with serving(scoring_project, "--workers", "1") as served:
        await_model(served)
        send_whatever(served, tmp_path)


def send_whatever(served: Served, folder: Path) -> None:
    """Schemathesis; all that it finds fails."""
    (folder / "schemathesis.toml").write_text(_REFUSED)
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        [str(SCHEMATHESIS), "run", f"{served.url}/openapi.json", "--max-examples", "100",
         "--checks", "all", "--exclude-checks", _NOT_HELD, "--continue-on-failure",
         "--warnings", "off", "--request-timeout", "20", "--no-color"],
        cwd=folder, env=plain, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-6_000:] + ended.stderr[-2_000:]
    assert not [line for line in served.lines if "Traceback" in line]
