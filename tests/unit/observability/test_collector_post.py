"""What is sent reaches its collector in order; a collector that fails costs a run no more than its
limit, and is told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from collector import EVENTS, Taken, closed_port, collecting

from batchinfer.observability import collector_post
from batchinfer.observability.collector_post import (
    Collector,
    Courier,
    NotReceived,
    forget_silence,
)
from batchinfer.observability.otlp_metrics import otlp_request, send_metrics
from batchinfer.observability.run_metrics import EXIT_CODE, Figure

NAME = "observability.openlineage"


@pytest.fixture(autouse=True)
def nobody_is_silent() -> Iterator[None]:
    forget_silence()
    yield
    forget_silence()


@pytest.fixture
def taken() -> Iterator[Taken]:
    with collecting(Taken()) as served:
        yield served


def _post(collector: Collector, body: bytes = b"{}", limit_s: float = 5) -> bytes:
    return collector.post(body, "application/json", limit_s)


def test_a_request_says_who_sends_what(taken: Taken) -> None:
    _post(Collector(NAME, taken.url + EVENTS, {"Authorization": "Bearer abc"}), b'{"a": 1}')
    assert taken.raw == [b'{"a": 1}'] and taken.paths == [EVENTS]
    [headers] = taken.headers
    assert (headers["Authorization"], headers["User-Agent"]) == ("Bearer abc", "batchinfer")
    assert headers["Content-Type"] == "application/json"


def test_no_password_of_the_home_folder_is_sent(
    taken: Taken, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    _post(Collector(NAME, taken.url + EVENTS))
    assert "Authorization" not in taken.headers[0]


@pytest.mark.parametrize("status", [302, 307, 400, 401, 404, 500, 503])
def test_any_answer_but_2xx_is_told_and_nothing_is_tried_twice(taken: Taken, status: int) -> None:
    taken.answers[:] = [status]
    with pytest.raises(NotReceived, match=f"^the server answered {status}$"):
        _post(Collector(NAME, taken.url + EVENTS))
    assert len(taken.paths) == 1, "no redirect is followed"


def test_a_collector_that_is_down_is_told_without_its_address() -> None:
    address = closed_port()
    with pytest.raises(NotReceived, match=r"^no connection$") as caught:
        _post(Collector(NAME, address + "/token/xyzzy"))
    assert caught.value.__cause__ is None
    assert "xyzzy" not in repr(Collector(NAME, address + "/token/xyzzy", {"a": "b"}))


def test_what_is_taken_later_arrives_later(taken: Taken) -> None:
    courier, collector = Courier(NAME), Collector(NAME, taken.url + EVENTS)
    first = threading.Event()

    def slow() -> None:
        first.wait(5)
        _post(collector, b'{"n": 1}')

    courier.take("the first", slow)
    courier.take("the second", lambda: _post(collector, b'{"n": 2}'))
    first.set()
    assert courier.wait(time.monotonic() + 5) == []
    assert [event["n"] for event in taken.events] == [1, 2]


def test_failures_of_one_reason_are_one_sentence(taken: Taken) -> None:
    taken.answers[:] = [500, 500]
    courier, collector = Courier(NAME), Collector(NAME, taken.url + EVENTS)
    courier.take("START", lambda: _post(collector))
    courier.take("the end", lambda: _post(collector))
    assert courier.wait(time.monotonic() + 5) == [
        f"{NAME}: START and the end did not arrive: the server answered 500"
    ]


def test_a_server_that_never_ends_its_answer_is_left_when_the_time_is_over(taken: Taken) -> None:
    taken.answers[:] = [0]
    courier, collector = Courier(NAME), Collector(NAME, taken.url + EVENTS)
    courier.take("START", lambda: _post(collector))
    courier.take("the end", lambda: _post(collector))
    assert courier.wait(time.monotonic() + 0.3) == [
        f"{NAME}: START and the end did not arrive: no answer in time"
    ]
    taken.closing.set()


def test_a_silent_collector_is_not_waited_for_again_until_it_has_rested(
    taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector(NAME, taken.url + EVENTS)
    silent = Courier(NAME)
    silent.take("START", lambda: threading.Event().wait(60))
    assert len(silent.wait(time.monotonic() + 0.05)) == 1
    next_run = Courier(NAME)
    next_run.take("START", lambda: _post(collector))
    [told] = next_run.wait(time.monotonic() + 5)
    assert told.endswith("it gave no answer a moment ago, so it was not tried again")
    assert taken.events == []
    other = Courier("observability.otlp")
    other.take("the figures", lambda: _post(collector))
    assert other.wait(time.monotonic() + 5) == [], "another collector is none of its business"
    now = time.monotonic()
    monkeypatch.setattr(collector_post.time, "monotonic", lambda: now + collector_post.REST_S + 1)
    after = Courier(NAME)
    after.take("START", lambda: _post(collector))
    assert after.wait(now + 1e6) == [] and len(taken.events) == 2


def test_an_answer_that_comes_too_late_makes_it_rest_as_well(taken: Taken) -> None:
    collector, courier = Collector(NAME, taken.url + EVENTS), Courier(NAME)

    def unheard() -> None:
        raise collector_post._Silent("no answer within 5 s")

    courier.take("START", unheard)
    courier.take("the end", lambda: _post(collector))
    assert len(courier.wait(time.monotonic() + 5)) == 2 and taken.paths == []


def test_whatever_goes_wrong_is_a_sentence_and_no_error() -> None:
    def fails() -> None:
        raise RuntimeError("with an address https://me:secret@here")

    courier = Courier(NAME)
    courier.take("START", fails)
    assert courier.wait(time.monotonic() + 5) == [f"{NAME}: START did not arrive: RuntimeError"]


def test_figures_arrive_by_otlp_as_they_are(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "another")
    figures = [
        Figure(EXIT_CODE, (("pipeline", "p"), ("command", name)), code)
        for name, code in (("extract", 0), ("score", 4))
    ]
    collector = Collector("observability.otlp", taken.url + "/v1/metrics")
    send_metrics(collector, otlp_request(figures, 1_795_226_400.25), 5)
    [request] = taken.requests
    [resources] = request.resource_metrics
    attributes = {one.key: one.value.string_value for one in resources.resource.attributes}
    assert attributes["service.name"] == "batchinfer", "not what the process is called elsewhere"
    assert attributes["service.version"] and attributes["deployment.environment.name"] == "staging"
    [metric] = resources.scope_metrics[0].metrics
    assert (metric.name, metric.unit) == ("batchinfer_last_run_exit_code", "1")
    points = metric.gauge.data_points
    assert {point.time_unix_nano for point in points} == {1_795_226_400_250_000_000}
    assert taken.figures() == {
        (metric.name, "p", "extract"): 0,
        (metric.name, "p", "score"): 4,
    }
    assert taken.headers[0]["Content-Type"] == "application/x-protobuf"


def test_figures_that_a_collector_takes_only_in_part_are_told(taken: Taken) -> None:
    taken.rejected = 3
    request = otlp_request([Figure(EXIT_CODE, (("pipeline", "p"),), 0)], 1.0)
    collector = Collector("observability.otlp", taken.url + "/v1/metrics")
    with pytest.raises(NotReceived, match="refused 3 of the figures"):
        send_metrics(collector, request, 5)
