"""Everything that the service takes has a bound, and what goes beyond it is refused in bounded
time.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from service.served_project import Served, exchange, get, post, problem, serving

PATH, BATCH = "/v1/predictions/churn", "/v1/predictions/churn:batch"


@pytest.fixture(scope="module")
def narrow(asked_project: Path) -> Iterator[Served]:
    options = "--most-keys 3 --most-body 1000 --most-url 200 --most-seconds 1"
    more = "--most-at-once 4 --most-connections 20 --workers 1"
    with serving(asked_project, *options.split(), *more.split()) as served:
        yield served


def keys(count: int) -> dict[str, object]:
    return {"keys": [{"customer": f"c{n}", "order": n} for n in range(count)]}


def slow_body(served: Served) -> socket.socket:
    """A connection whose request is being answered: its body is not there yet."""
    host, _, port = served.url.rpartition("//")[2].rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    head = f"POST {BATCH} HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n"
    connection.sendall(head.encode() + b'{"keys"')
    return connection


def test_keys_of_a_request(narrow: Served) -> None:
    assert post(narrow, BATCH, json=keys(3)).status_code == 200
    told = problem(post(narrow, BATCH, json=keys(4)), 422, "too-many-keys")
    assert told["errors"] == [{"name": "keys", "got": "4 keys", "allowed": "3 at most"}]


def test_ten_thousand_keys_at_once_are_refused(asked: Served) -> None:
    problem(post(asked, BATCH, json=keys(10_000)), 422, "too-many-keys")


@pytest.mark.parametrize("length", [1_001, 10_000, 2_000_000])
def test_bytes_of_a_body(narrow: Served, length: int) -> None:
    answer = post(narrow, BATCH, data=b" " * length, headers={"content-type": "application/json"})
    problem(answer, 413, "body-too-long")


def test_bytes_of_a_body_whose_length_is_not_told(narrow: Served) -> None:
    pieces = (b" " * 500 for _ in range(20))
    answer = post(narrow, BATCH, data=pieces, headers={"content-type": "application/json"})
    problem(answer, 413, "body-too-long")


def test_bytes_of_an_address(narrow: Served) -> None:
    told = problem(get(narrow, f"{PATH}?customer={'c' * 300}"), 414, "url-too-long")
    assert "allowed: 200" in told["detail"]


def test_bytes_of_a_head_that_never_ends(narrow: Served) -> None:
    host, _, port = narrow.url.rpartition("//")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nx: ")
        answer = b""
        for _ in range(100):
            try:
                connection.sendall(b"y" * 1_000)
                connection.settimeout(0.02)
                answer += connection.recv(10_000)
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
            if answer:
                break
    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\n", b"GET /hea"])
def test_seconds_of_a_head(narrow: Served, sent: bytes) -> None:
    began = time.monotonic()
    answer = exchange(narrow.url, sent)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 0.5 < time.monotonic() - began < 5


def test_seconds_of_a_body(narrow: Served) -> None:
    began = time.monotonic()
    with slow_body(narrow) as connection:
        answer = b""
        while piece := connection.recv(10_000):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"].endswith(":too-slow")
    assert 0.5 < time.monotonic() - began < 5


def test_requests_at_once_and_the_ways_back(narrow: Served) -> None:
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(slow_body(narrow))
        time.sleep(0.2)
        answer = get(narrow, f"{PATH}?customer=c5&order=5")
        problem(answer, 503, "too-busy")
        assert int(answer.headers["retry-after"]) >= 1
        assert get(narrow, "/healthz").status_code == 200, "who watches is never kept waiting"
    time.sleep(0.2)
    assert get(narrow, f"{PATH}?customer=c5&order=5").status_code == 200


def test_connections(narrow: Served) -> None:
    host, _, port = narrow.url.rpartition("//")[2].rpartition(":")
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
        time.sleep(0.2)
        answer = exchange(narrow.url, b"")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in answer
    time.sleep(0.2)
    assert get(narrow, "/healthz").status_code == 200


def test_a_flood_is_answered_or_refused_but_never_failed(narrow: Served) -> None:
    def ask(number: int) -> int:
        with requests.Session() as session:
            url = f"{narrow.url}{PATH}?customer=c{number % 50}&order={number % 50}"
            return session.get(url, timeout=20).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(ask, range(600)))
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) > 300


def test_the_service_is_whole_after_all_of_this(narrow: Served) -> None:
    assert not [line for line in narrow.lines if "Traceback" in line]
    assert narrow.process.poll() is None
    assert len(narrow.workers()) == 1


def test_a_client_that_does_not_read_its_answers_holds_no_place_for_long(narrow: Served) -> None:
    host, _, port = narrow.url.rpartition("//")[2].rpartition(":")
    question = f"GET {PATH}?customer=c5&order=5 HTTP/1.1\r\nhost: a\r\n\r\n".encode() * 100
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.settimeout(1)
        connection.connect((host, int(port)))
        # Whole questions, until neither side takes more: then an answer waits to be written.
        with contextlib.suppress(TimeoutError, ConnectionError):
            while True:
                connection.sendall(question)
                time.sleep(0.01)
        until = time.monotonic() + 10
        while "\nbatchinfer_requests_in_flight 1.0\n" not in get(narrow, "/metrics").text:
            assert time.monotonic() < until, "a place is still held"
            time.sleep(0.1)
