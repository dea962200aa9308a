"""Who may ask what, and where the service may listen."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from service.served_project import (
    Served,
    caller_line,
    get,
    post,
    problem,
    run_service,
    serving,
)

PATH, QUESTION = "/v1/predictions/churn", "?customer=c5&order=5"
BATCH = {"keys": [{"customer": "c5", "order": 5}]}


@pytest.fixture(scope="module")
def guarded(asked_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    file = tmp_path_factory.mktemp("keys") / "keys"
    lines = ["# who", caller_line("shop", "secret-a"), "", caller_line("lab", "secret-b", "fresh")]
    file.write_text("\n".join(lines))
    with serving(asked_project, "--workers", "1", "--api-keys-file", str(file)) as served:
        yield served


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_opens_what_it_may_read(guarded: Served) -> None:
    assert get(guarded, PATH + QUESTION, headers=bearer("secret-a")).status_code == 200
    fresh = f"/v1/predictions/fresh{QUESTION}"
    assert get(guarded, fresh, headers=bearer("secret-b")).status_code == 200
    lower = {"authorization": "bearer secret-a"}
    assert post(guarded, f"{PATH}:batch", headers=lower, json=BATCH).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, bearer("secret"), bearer("secret-aa"), bearer(""), {"Authorization": "Basic c2VjcmV0LWE6"},
     {"Authorization": "secret-a"}, bearer("é")],
)  # fmt: skip
@pytest.mark.parametrize("path", [PATH + QUESTION, "/metrics", "/docs", "/openapi.json", "/nope"])
def test_without_a_key_nothing_is_told(guarded: Served, path: str, headers: dict[str, str]) -> None:
    sent = {name: value.encode() for name, value in headers.items()}
    answer = get(guarded, path, headers=sent)
    problem(answer, 401, "no-key")
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert "churn" not in answer.text


def test_a_key_of_another_pipeline_is_refused_and_told_no_names(guarded: Served) -> None:
    answer = get(guarded, PATH + QUESTION, headers=bearer("secret-b"))
    problem(answer, 403, "no-right")
    assert "insufficient_scope" in answer.headers["www-authenticate"]
    problem(post(guarded, f"{PATH}:batch", headers=bearer("secret-b"), json=BATCH), 403, "no-right")
    answer = get(guarded, "/v1/predictions/chrun", headers=bearer("secret-b"))
    assert "allowed: fresh" in problem(answer, 404, "unknown-pipeline")["detail"]
    assert "churn" not in answer.text


def test_health_needs_no_key_and_tells_no_names(guarded: Served) -> None:
    assert get(guarded, "/healthz").json() == {"status": "ok"}
    assert get(guarded, "/readyz").json() == {"status": "ready"}
    mine = get(guarded, "/readyz", headers=bearer("secret-b")).json()
    assert mine["pipelines"].keys() == {"fresh"}


def test_the_log_tells_who_asked_and_never_the_key(guarded: Served) -> None:
    get(guarded, PATH + QUESTION, headers={**bearer("secret-a"), "X-Request-Id": "mine-7"})
    lines = [line for line in guarded.logged(1) if line["request_id"] == "mine-7"]
    while not lines:
        lines = [line for line in guarded.log() if line["request_id"] == "mine-7"]
    assert lines[0]["caller"] == "shop"
    assert "secret" not in "".join(guarded.lines)


def test_keys_may_stand_in_a_variable(asked_project: Path) -> None:
    env = {"BATCHINFER_API_KEYS": caller_line("shop", "secret-a")}
    with serving(asked_project, "--workers", "1", env=env) as served:
        problem(get(served, PATH + QUESTION), 401, "no-key")
        assert get(served, PATH + QUESTION, headers=bearer("secret-a")).status_code == 200


def test_keys_that_are_none_are_all_told_before_anything_is_served(
    asked_project: Path, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    lines = ["my-real-key", caller_line("a", "x"), caller_line("a", "y"), "b:12"]
    file.write_text("\n".join([*lines, caller_line("c", "z", "chrun")]))
    ended = run_service(asked_project, "--api-keys-file", str(file))
    assert ended.returncode == 2
    for told in (":1: is no key", ":4: is no key", "key a is there twice", "did you mean churn?"):
        assert told in ended.stdout
    assert "my-real-key" not in ended.stdout + ended.stderr
    file.write_text("")
    assert "got no key" in run_service(asked_project, "--api-keys-file", str(file)).stdout
    missing = run_service(asked_project, "--api-keys-file", str(tmp_path / "none"))
    assert (missing.returncode, "No such file" in missing.stdout) == (2, True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], ["without a key", "over the network as they are"]),
        (["--host", "::"], ["without a key", "over the network as they are"]),
        (["--host", "0.0.0.0", "--behind-proxy"], ["without a key"]),
        (["--tls-cert", "none.pem"], ["got --tls-cert alone"]),
        (["--tls-cert", "none.pem", "--tls-key", "none.pem"], ["No such file"]),
        (["--host", "192.0.2.1"], ["without a key"]),
    ],
)
def test_it_does_not_listen_where_anybody_could_read(
    asked_project: Path, options: list[str], told: list[str]
) -> None:
    ended = run_service(asked_project, *options)
    assert ended.returncode == 2
    for sentence in told:
        assert sentence in ended.stdout
    assert "serving" not in ended.stderr


def test_beyond_loopback_keys_need_a_road_that_nobody_listens_on(asked_project: Path) -> None:
    env = {"BATCHINFER_API_KEYS": caller_line("shop", "secret-a")}
    ended = run_service(asked_project, "--host", "0.0.0.0", env=env)
    assert (ended.returncode, "over the network" in ended.stdout) == (2, True)
    options = ("--host", "0.0.0.0", "--behind-proxy", "--workers", "1")
    with serving(asked_project, *options, env=env) as served:
        url = served.url.replace("0.0.0.0", "127.0.0.1")
        answer = requests.get(url + PATH + QUESTION, headers=bearer("secret-a"), timeout=20)
        assert answer.status_code == 200


def test_tls(asked_project: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key),
         "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    options = ("--tls-cert", str(certificate), "--tls-key", str(key), "--workers", "1")
    with serving(asked_project, *options) as served:
        assert served.url.startswith("https://")
        answer = requests.get(served.url + PATH + QUESTION, verify=str(certificate), timeout=20)
        assert answer.json()["found"] is True


def test_a_folder_without_a_project_is_told_whose_pipelines_are_served(tmp_path: Path) -> None:
    ended = run_service(tmp_path, "--api-keys-file", str(tmp_path / "none"))
    assert (ended.returncode, "serves the pipelines of /" in ended.stderr) == (2, True)
