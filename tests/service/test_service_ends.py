"""How the service begins and ends: signals, ports, workers and watchers that die."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
import requests
from service.served_project import (
    Served,
    get,
    new_project,
    run_service,
    serving,
)

PATH, BATCH = "/v1/predictions/churn", "/v1/predictions/churn:batch"


def half_sent(served: Served) -> tuple[socket.socket, bytes]:
    """A request whose body is half there, and the rest of it."""
    body = json.dumps({"keys": [{"customer": "c5", "order": 5}]}).encode()
    host, _, port = served.url.rpartition("//")[2].rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    head = f"POST {BATCH} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body[:10])
    return connection, body[10:]


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    while piece := connection.recv(65_536):
        answer += piece
    return answer


def refused(served: Served, within_s: float = 10) -> None:
    """Until nobody listens any more."""
    host, _, port = served.url.rpartition("//")[2].rpartition(":")
    until = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except ConnectionRefusedError:
            return
        assert time.monotonic() < until, "somebody listens still"
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_after_the_requests_in_flight(
    asked_project: Path, number: signal.Signals, code: int
) -> None:
    with serving(asked_project, "--workers", "2") as served:
        connection, rest = half_sent(served)
        time.sleep(0.3)
        workers = served.workers()
        served.process.send_signal(number)
        refused(served)
        connection.sendall(rest)
        answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'"found":true' in answer
        ended, told = served.ended()
        assert ended == code
        assert told["status"] == "interrupted"
        assert (told["exit_code"], told["workers"]) == (code, 2)
        assert told["pipelines"] == ["churn", "fresh", "later"]
        assert told["url"] == served.url
        assert "requests in flight had their time to be answered" in told["errors"][0]
        assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
        assert "Traceback" not in "".join(served.lines)


def test_no_answer_is_cut_while_it_ends_under_load(asked_project: Path) -> None:
    with serving(asked_project, "--workers", "2", "--no-access-log") as served:
        wrong: list[str] = []
        answers = [0] * 4

        def ask(place: int) -> None:
            keys = [{"customer": f"c{n}", "order": n} for n in range(500)]
            while True:
                try:
                    answer = requests.post(served.url + BATCH, json={"keys": keys}, timeout=20)
                except requests.ConnectionError as error:
                    # Not taken any more, or closed before a byte of an answer: no answer is lost.
                    cause = repr(error)
                    if not any(word in cause for word in ("refused", "reset", "Remote end closed")):
                        wrong.append(cause)
                    return
                if answer.status_code != 200 or len(answer.json()["results"]) != 500:
                    wrong.append(answer.text)
                answers[place] += 1

        threads = [threading.Thread(target=ask, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        code, _ = served.stop()
        for thread in threads:
            thread.join(30)
        assert code == 143
        assert wrong == []
        assert all(answers)


def test_requests_that_never_end_do_not_keep_it(asked_project: Path) -> None:
    options = ("--workers", "1", "--drain", "1", "--most-seconds", "60")
    with serving(asked_project, *options) as served:
        connection, _ = half_sent(served)
        time.sleep(0.3)
        began = time.monotonic()
        code, _ = served.stop()
        assert code == 143
        assert time.monotonic() - began < 8
        connection.close()


def test_a_port_that_is_taken_is_told(asked_project: Path, asked: Served) -> None:
    port = asked.url.rpartition(":")[2]
    ended = run_service(asked_project, "--port", port)
    told = json.loads(ended.stdout.splitlines()[-1])
    assert ended.returncode == 2
    assert "Address already in use" in told["errors"][0]
    assert "--port 0 for any free one" in told["errors"][0]


def test_workers_end_with_the_process_that_watches_over_them(asked_project: Path) -> None:
    with serving(asked_project, "--workers", "2") as served:
        workers = served.workers()
        served.process.kill()
        until = time.monotonic() + 15
        while [worker for worker in workers if Path(f"/proc/{worker}").exists()]:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_a_worker_that_dies_fails_no_request_of_the_others(asked_project: Path) -> None:
    with serving(asked_project, "--workers", "2") as served:
        before = served.workers()
        os.kill(before[0], signal.SIGKILL)
        until = time.monotonic() + 30
        while len(set(served.workers()) - {before[0]}) < 2:
            answer = get(served, f"{PATH}?customer=c5&order=5", headers={"connection": "close"})
            assert answer.status_code == 200
            assert time.monotonic() < until


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-p", "chrun"], "did you mean"),
        (["-p", "churn", "-p", "churn", "-p", "nothing"], "nothing"),
        (["--store", "redis"], "does not name"),
        (["--workers", "0"], "--workers"),
    ],
)
def test_what_cannot_be_served_is_told_before_anything_is(
    asked_project: Path, options: list[str], told: str
) -> None:
    ended = run_service(asked_project, *options)
    assert ended.returncode == 2
    assert told in ended.stdout
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("option", ["--drain", "--most-seconds"])
@pytest.mark.parametrize("seconds", ["nan", "inf"])
def test_seconds_without_an_end_are_refused(asked_project: Path, option: str, seconds: str) -> None:
    ended = run_service(asked_project, option, seconds)
    assert ended.returncode == 2
    assert f"got {seconds}; allowed: a finite number of seconds" in ended.stdout
    assert "Traceback" not in ended.stderr


def test_a_project_without_pipelines(tmp_path: Path) -> None:
    ended = run_service(new_project(tmp_path))
    assert ended.returncode == 2
    assert "has no pipelines" in ended.stdout
