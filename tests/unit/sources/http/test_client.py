"""One GET against a real server that fails on purpose; only the sleeping is not real."""

from __future__ import annotations

import email.utils
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from http_api import Api, Reply, as_json, orders, serving

from batchinfer.config.http_options import HttpOptions
from batchinfer.errors import BatchInferError, InputError, StorageError
from batchinfer.sources.http import client as http_client
from batchinfer.sources.http.client import Client, Refused

TOKEN = "canary-9f8e7d6c5b4a/+="


class Patience:
    """Stands in for the clock and the bed: time passes only while one sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api(orders(range(3)))) as started:
        yield started


@pytest.fixture
def patience() -> Patience:
    return Patience()


def client(api: Api, patience: Patience, token: str | None = None, **options: Any) -> Client:
    read = HttpOptions.model_validate({"url": api.url, **options})
    return Client(read, token, sleep=patience.sleep, clock=patience.clock, chance=lambda: 1.0)


def test_a_page_comes_with_its_link(api: Api, patience: Patience) -> None:
    api.faults = [as_json([1], Link="<x>; rel=next")]
    answer = client(api, patience).get(api.url)
    assert (json.loads(answer.body), answer.link) == ([1], "<x>; rel=next")
    assert patience.slept == []


def test_compressed_and_otherwise_encoded_answers_come_as_utf8(
    api: Api, patience: Patience
) -> None:
    text = '[{"a": "é"}]'
    utf16 = {"Content-Type": "application/json; charset=utf-16"}
    api.faults = [
        Reply(gzip.compress(text.encode()), headers={"Content-Encoding": "gzip"}),
        Reply(
            text.encode("latin-1"),
            headers={"Content-Type": 'application/json; charset="ISO-8859-1"'},
        ),
        Reply(text.encode("utf-16"), headers=utf16),
        Reply(text.encode("utf-8-sig")),
        Reply(text.encode(), headers={"Content-Type": "application/json; charset=no-such"}),
    ]
    tried = client(api, patience)
    assert {tried.get(api.url).body for _ in api.faults[:]} == {text.encode()}


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_passing_faults_are_tried_again(api: Api, patience: Patience, status: int) -> None:
    api.faults = [Reply(b"busy", status)] * 2
    client(api, patience).get(api.url)
    assert len(api.asked) == 3
    assert patience.slept == [0.5, 1.0]


def test_waiting_grows_up_to_a_limit_and_has_an_end(api: Api, patience: Patience) -> None:
    api.faults = [Reply(b'{"error": "down"}', 503)] * 9
    with pytest.raises(
        StorageError,
        match=r"orders: 503 Service Unavailable, which begins with '.*down.*, after 9 tries",
    ) as given_up:
        client(api, patience, retries=8).get(api.url)
    assert given_up.value.exit_code == 8
    assert patience.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert len(api.asked) == 9


def test_waiting_is_a_matter_of_chance(api: Api, patience: Patience) -> None:
    api.faults = [Reply(b"", 500)]
    read = HttpOptions.model_validate({"url": api.url})
    Client(read, sleep=patience.sleep, clock=patience.clock, chance=lambda: 0.0).get(api.url)
    assert patience.slept == [0.25]


@pytest.mark.parametrize(
    ("header", "waited"),
    [
        ("7", 7.0),
        ("0", 0.5),
        ("86400", 120.0),
        ("soon", 0.5),
        ("-5", 0.5),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.5),
    ],
)
def test_retry_after_is_obeyed_within_reason(
    api: Api, patience: Patience, header: str, waited: float
) -> None:
    api.faults = [Reply(b"", 429, {"Retry-After": header})]
    client(api, patience).get(api.url)
    assert patience.slept == [waited]


def test_retry_after_may_be_a_date(api: Api, patience: Patience) -> None:
    api.faults = [
        Reply(b"", 503, {"Retry-After": email.utils.formatdate(time.time() + 40, usegmt=True)})
    ]
    client(api, patience).get(api.url)
    assert 30 < patience.slept[0] <= 40


def test_403_with_a_time_to_wait_is_a_rate_limit(api: Api, patience: Patience) -> None:
    api.faults = [Reply(b"slow down", 403, {"Retry-After": "3"})]
    client(api, patience).get(api.url)
    assert patience.slept == [3.0]


def test_pace_counts_retries_too(api: Api, patience: Patience) -> None:
    paced = client(api, patience, rate_per_s=0.5)
    api.faults = [None, None, Reply(b"", 500)]
    for _ in range(3):
        paced.get(api.url)
    # Two seconds between requests; the third waits half a second for its retry, and the rest of the
    # two.
    assert patience.slept == [2.0, 2.0, 0.5, 1.5]


@pytest.mark.parametrize("cut", [0, 10])
def test_a_connection_that_breaks_off_is_tried_again(
    api: Api, patience: Patience, cut: int
) -> None:
    api.faults = [Reply(b"x" * 1000, cut=cut)]
    assert json.loads(client(api, patience).get(api.url).body)["items"] == api.records
    assert patience.slept == [0.5]


def test_broken_chunks_are_tried_again(api: Api, patience: Patience) -> None:
    chunked = {"Transfer-Encoding": "chunked", "Content-Length": "0"}
    api.faults = [Reply(b"64\r\n[1, 2", headers=chunked, cut=20)]
    api.answer = lambda _: as_json([7])
    assert client(api, patience).get(api.url).body == b"[7]"
    assert len(api.asked) == 2


def test_a_slow_answer_is_given_up_and_asked_for_again(api: Api, patience: Patience) -> None:
    api.faults = [Reply(b"[]", wait_s=1.0)]
    client(api, patience, timeout_s=0.1).get(api.url)
    assert len(api.asked) == 2
    api.faults = [Reply(b"[]", wait_s=1.0)] * 2
    with pytest.raises(StorageError, match=r"no answer within 0\.1 s, after 2 tries"):
        client(api, patience, timeout_s=0.1, retries=1).get(api.url)


def test_no_server_is_worth_a_retry_later(patience: Patience) -> None:
    with serving(Api([])) as gone:
        pass
    with pytest.raises(StorageError, match=r"the connection failed: .*refused, after 2 tries"):
        client(gone, patience, retries=1).get(gone.url)
    with pytest.raises(StorageError, match=r"the connection failed: .*, after 1 try"):
        client(gone, patience, retries=0).get("http://no-such-host.invalid/x")


@pytest.mark.parametrize(
    ("status", "hint"),
    [(400, None), (401, "auth_env"), (403, "auth_env"), (404, None), (410, None)],
)
def test_refusals_are_final(api: Api, patience: Patience, status: int, hint: str | None) -> None:
    api.faults = [Reply(b'{"error": "no, \n really"}', status)]
    with pytest.raises(
        Refused, match=f'orders: got {status} .* which begins with \'{{"error": "no, really"}}\''
    ) as refused:
        client(api, patience).get(api.url)
    assert (refused.value.exit_code, refused.value.status, len(api.asked)) == (3, status, 1)
    assert hint is None or hint in (refused.value.hint or "")


def test_no_content_is_an_empty_page(api: Api, patience: Patience) -> None:
    api.faults = [Reply(b"", 204)]
    assert client(api, patience).get(api.url).body == b""


def test_an_answer_too_large_is_refused_before_it_fills_the_memory(
    api: Api, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "MAX_BODY_BYTES", 2**20)
    bomb = gzip.compress(b" " * 2**24)
    api.faults = [
        Reply(b" " * (2**20 + 1)),
        Reply(bomb, headers={"Content-Encoding": "gzip"}),
        Reply(b" " * 2**20),
    ]
    for _ in range(2):
        with pytest.raises(InputError, match="more than 1 MiB; allowed: smaller pages"):
            client(api, patience).get(api.url)
    assert len(client(api, patience).get(api.url).body) == 2**20


def test_redirects_are_followed_with_the_token_on_the_same_host_only(
    api: Api, patience: Patience
) -> None:
    with serving(Api([])) as other:
        other.answer = lambda _: as_json(["elsewhere"])
        api.faults = [
            Reply(b"", 302, {"Location": "/orders/"}),
            Reply(b"", 307, {"Location": f"{other.url}?x=1"}),
        ]
        assert client(api, patience, TOKEN).get(api.url).body == b'["elsewhere"]'
    assert api.asked == ["/orders", "/orders/"]
    assert api.authorization == [f"Bearer {TOKEN}"] * 2
    assert (other.asked, other.authorization) == (["/orders?x=1"], [None])


def test_redirects_back_home_carry_the_token_again(api: Api, patience: Patience) -> None:
    with serving(Api([])) as other:
        other.answer = lambda _: Reply(b"", 302, {"Location": api.url})
        api.faults = [Reply(b"", 302, {"Location": other.url})]
        client(api, patience, TOKEN).get(api.url)
    assert other.authorization == [None]
    assert api.authorization == [f"Bearer {TOKEN}"] * 2


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Location": "file:///etc/passwd"}, "allowed: http and https"),
        ({}, "got 302"),
        ({"Location": "/orders"}, "5 redirects"),
    ],
)
def test_redirects_that_lead_nowhere(
    api: Api, patience: Patience, headers: dict[str, str], words: str
) -> None:
    api.answer = lambda _: Reply(b"", 302, headers)
    with pytest.raises(InputError, match=words):
        client(api, patience).get(api.url)


def test_who_may_see_the_token() -> None:
    may = http_client._may_see_token
    own = "https://api.example.com/v1"
    assert may("https://API.example.com:443/other", own)
    assert may("https://api.example.com/v1", "http://api.example.com/v1")
    for other in (
        "http://api.example.com/v1",
        "https://api.example.com:444/",
        "https://example.com/",
        "https://api.example.com.evil/",
    ):
        assert not may(other, own)


def test_no_password_of_netrc_and_no_cookie_is_sent(
    api: Api, patience: Patience, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    client(api, patience).get(api.url)
    client(api, patience, TOKEN).get(api.url)
    assert api.authorization == [None, f"Bearer {TOKEN}"]


def test_the_token_stands_in_no_message(api: Api, patience: Patience) -> None:
    told = "you sent " + "." * 90 + f"Bearer {TOKEN} which is wrong"
    api.faults = [Reply(told.encode(), 401), *[Reply(f"no {TOKEN}".encode(), 500)] * 2]
    asking = client(api, patience, TOKEN, retries=1)
    for kind in (InputError, StorageError):
        with pytest.raises(kind) as told_off, asking.keep_secret():
            asking.get(api.url)
        error = told_off.value
        assert isinstance(error, BatchInferError)
        # A message is cut where it is long, in the middle of the token, too.
        assert not any(TOKEN[:8] in str(text) for text in (error.problems, error.hint, error.args))
        assert "***" in error.problems[0]


def test_errors_without_the_token_stay_as_they_are(api: Api, patience: Patience) -> None:
    api.faults = [Reply(b"no", 404)]
    asking = client(api, patience, TOKEN)
    with pytest.raises(Refused) as refused, asking.keep_secret():
        asking.get(api.url)
    assert refused.value.status == 404


@pytest.mark.parametrize(
    ("target", "location", "refused"),
    [
        ("https://api.example.org/a", "http://api.example.org/b", True),
        ("https://api.example.org/a", "//other.example.org/b", False),
        ("http://api.example.org/a", "https://api.example.org/b", False),
    ],
)
def test_no_redirect_leads_out_of_encryption(
    api: Api, patience: Patience, target: str, location: str, refused: bool
) -> None:
    response = requests.Response()
    response.status_code, response.headers["Location"] = 302, location
    asked = client(api, patience)
    if not refused:
        assert asked._redirected(response, target).startswith("https://")
        return
    with pytest.raises(Refused, match="without encryption; allowed: https"):
        asked._redirected(response, target)
