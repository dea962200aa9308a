"""What the service answers: rows, absences, and everything that is wrong with a question."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from service.served_project import Served, exchange, get, post, problem

PATH, BATCH = "/v1/predictions/churn", "/v1/predictions/churn:batch"


def test_a_key_that_has_a_row_is_answered_with_all_of_it_and_its_age(asked: Served) -> None:
    answer = get(asked, f"{PATH}?customer=c5&order=5")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    row = {"customer": "c5", "order": 5, "slice": "2026-11-21", "score": 2.5, "label": "first"}
    assert told["found"] is True
    assert told["prediction"] == row
    assert list(told["prediction"]) == list(row), "in the order of the table's columns"
    assert 3_600 <= told["age_s"] < 3_600 + 600
    assert told.keys() == {"found", "prediction", "age_s"}


def test_a_key_without_a_row_is_a_problem_with_status_404(asked: Served) -> None:
    told = problem(get(asked, f"{PATH}?customer=c5&order=6"), 404, "absent-key")
    assert told["detail"] == "pipeline churn has no prediction of this key"


def test_several_keys_are_answered_in_their_order(asked: Served) -> None:
    keys = [{"customer": f"c{n}", "order": n} for n in (999, 0, 5)]
    keys.insert(1, {"customer": "c5", "order": 6})
    told = post(asked, BATCH, json={"keys": keys}).json()
    assert [one["found"] for one in told["results"]] == [True, False, True, True]
    assert told["results"][1] == {"found": False, "prediction": None}
    assert [one["prediction"]["order"] for one in told["results"] if one["found"]] == [999, 0, 5]
    assert told["generation"] == "g1"


def test_many_keys_take_another_way_to_the_same_rows(asked: Served) -> None:
    keys = [{"customer": f"c{n}", "order": str(n)} for n in range(1_000)]
    told = post(asked, BATCH, json={"keys": keys}).json()
    assert [one["prediction"]["score"] for one in told["results"]] == [n / 2 for n in range(1_000)]


def test_as_of_is_answered_from_the_table(asked: Served) -> None:
    told = get(asked, f"{PATH}?customer=c5&order=5&as_of=2026-11-20").json()
    assert (told["prediction"]["label"], told["prediction"]["slice"]) == ("older", "2026-11-20")
    assert 0 <= told["age_s"] < 3_600, "since its publication"
    newest = get(asked, f"{PATH}?customer=c5&order=5&as_of=2026-12-31").json()
    assert newest["prediction"]["label"] == "first"
    body = {"keys": [{"customer": "c5", "order": 5}], "as_of": "2026-11-20"}
    batch = post(asked, BATCH, json=body).json()
    assert batch["results"][0]["prediction"]["label"] == "older"
    assert batch["generation"] is None
    problem(get(asked, f"{PATH}?customer=c5&order=5&as_of=2026-11-19"), 404, "absent-key")


def test_store_and_table_answer_with_the_same_bytes(asked: Served) -> None:
    stored = get(asked, f"{PATH}?customer=c7&order=7").text
    table = get(asked, f"{PATH}?customer=c7&order=7&as_of=2026-11-21").text
    assert stored.rpartition(',"age_s"')[0] == table.rpartition(',"age_s"')[0]


def test_what_is_published_but_not_loaded_is_answered_from_the_table(asked: Served) -> None:
    told = get(asked, "/v1/predictions/fresh?customer=c5&order=5").json()
    assert told["prediction"]["label"] == "table"
    path = "/v1/predictions/fresh?customer=c5&order=x"
    told = problem(get(asked, path), 422, "wrong-key")
    assert "no whole number" in told["detail"]


def test_a_pipeline_that_has_published_nothing_names_the_commands_that_do(asked: Served) -> None:
    told = problem(get(asked, "/v1/predictions/later?customer=a&order=1"), 404, "nothing-published")
    assert told["next"] == ["batchinfer score -p later", "batchinfer load -p later"]


def test_readyz_says_where_each_pipeline_is_answered_from(asked: Served) -> None:
    answer = get(asked, "/readyz")
    told = answer.json()
    assert (answer.status_code, told["status"]) == (200, "ready")
    assert {name: one["state"] for name, one in told["pipelines"].items()} == {
        "churn": "store",
        "fresh": "table",
        "later": "nothing",
    }
    assert told["pipelines"]["churn"]["generation"] == "g1"
    assert get(asked, "/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("query", "status", "kind", "detail"),
    [
        ("customer=c5&order=x", 422, "wrong-key", "no whole number"),
        ("customer=c5&order=9223372036854775808", 422, "wrong-key", "out of range"),
        ("customer=c5&order=5.0", 422, "wrong-key", "no whole number"),
        ("customer=c5&order=", 422, "wrong-key", "no whole number"),
        ("customer=c5&order=%D9%A5", 422, "wrong-key", "no whole number"),
        ("customer=c5", 400, "wrong-parameters", "key column order is missing"),
        ("", 400, "wrong-parameters", "key column customer is missing"),
        ("customer=c5&order=5&slice=2026-11-21", 400, "wrong-parameters", "'slice' is not a key"),
        ("customer=c5&order=5&order=6", 400, "wrong-parameters", "parameter order"),
        ("customer=%FF&order=5", 400, "wrong-parameters", "no text in UTF-8"),
        ("customer=c5&order=5&as_of=2026-13-01", 400, "wrong-parameters", "a day such as"),
        ("customer=c5&order=5&as_of=../x", 400, "wrong-parameters", "a day such as"),
    ],
)
def test_a_question_that_is_wrong_is_told_how(
    asked: Served, query: str, status: int, kind: str, detail: str
) -> None:
    told = problem(get(asked, f"{PATH}?{query}"), status, kind)
    assert detail in told["detail"]


def test_what_was_got_and_what_is_allowed_stand_apart(asked: Served) -> None:
    told = problem(get(asked, f"{PATH}?customer=c5&order=x"), 422, "wrong-key")
    assert told["errors"] == [{"name": "order", "got": "'x'", "allowed": "a value of type int64"}]
    keys = [{"customer": "c5", "order": 5}, {"customer": 5, "order": True}, {"customer": None}]
    told = problem(post(asked, BATCH, json={"keys": keys}), 400, "wrong-parameters")
    assert [error["name"] for error in told["errors"]] == ["keys[2].order"]
    told = problem(post(asked, BATCH, json={"keys": keys[:2]}), 422, "wrong-key")
    assert [error["name"] for error in told["errors"]] == ["keys[1].customer", "keys[1].order"]


@pytest.mark.parametrize("as_of", [None, "2026-11-20"])
def test_the_one_key_of_a_list_is_told_by_its_place(asked: Served, as_of: str | None) -> None:
    body = {"keys": [{"customer": "c5", "order": "x"}], "as_of": as_of}
    told = problem(post(asked, BATCH, json=body), 422, "wrong-key")
    assert told["errors"] == [
        {"name": "keys[0].order", "got": "'x'", "allowed": "a value of type int64"}
    ]
    body = {"keys": [{"customer": "c5"}], "as_of": as_of}
    told = problem(post(asked, BATCH, json=body), 400, "wrong-parameters")
    assert [error["name"] for error in told["errors"]] == ["keys[0].order"]


def test_what_may_stand_behind_a_name_is_told(asked: Served) -> None:
    told = problem(post(asked, f"{PATH}:foo", json={}), 405, "wrong-method")
    assert ":batch (POST), :predict (POST)" in told["detail"]
    told = problem(post(asked, PATH, json={}), 405, "wrong-method")
    assert ":batch (POST), :predict (POST)" in told["detail"]
    told = problem(get(asked, f"{PATH}:foo"), 404, "unknown-pipeline")
    assert ":batch, :predict" in told["detail"]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff", "UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "body: got []"),
        (b"{}", "keys: got None"),
        (b'{"keys": []}', "one at least"),
        (b'{"keys": {}}', "a list of keys"),
        (b'{"keys": [1]}', "keys[0]: got 1"),
        (b'{"keys": [{}], "more": 1}', "more: got 1"),
        (b'{"keys": [{"customer": "c5", "order": NaN}]}', "NaN is no number"),
        (b'{"keys": [{"customer": "c5", "order": 5, "order": 6}]}', "twice"),
        (b'{"keys": [{}], "as_of": 5}', "as_of: got 5"),
        (b'{"keys": [{"customer": "c5", "order": ' + b"9" * 5_000 + b"}]}", "no JSON"),
    ],
)
def test_a_body_that_is_wrong_is_told_how(asked: Served, body: bytes, detail: str) -> None:
    answer = post(asked, BATCH, data=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    kind = answer.json()["type"].rpartition(":")[2]
    assert detail in problem(answer, 400, kind)["detail"]


def test_a_body_that_says_it_is_no_json_is_not_read(asked: Served) -> None:
    answer = post(asked, BATCH, data=b"{}", headers={"content-type": "text/plain"})
    assert "text/plain" in problem(answer, 415, "no-json")["detail"]


def test_an_unknown_pipeline_is_told_which_is_near(asked: Served) -> None:
    told = problem(get(asked, "/v1/predictions/chrun?a=1"), 404, "unknown-pipeline")
    assert "did you mean churn?" in told["detail"]
    problem(get(asked, "/v1/predictions/churn%2Fx?a=1"), 404, "no-such-path")
    problem(get(asked, "/v1/predictions/..%2Fchurn"), 404, "no-such-path")
    problem(get(asked, "/v2"), 404, "no-such-path")


def test_a_method_that_a_path_does_not_have_is_told_which_it_has(asked: Served) -> None:
    answer = requests.delete(asked.url + PATH, timeout=20)
    problem(answer, 405, "wrong-method")
    assert "GET" in answer.headers["allow"]
    answer = get(asked, BATCH)
    problem(answer, 405, "wrong-method")
    assert answer.headers["allow"] == "POST"


def test_head_has_the_headers_of_get_and_no_body(asked: Served) -> None:
    answer = requests.head(f"{asked.url}{PATH}?customer=c5&order=5", timeout=20)
    whole = get(asked, f"{PATH}?customer=c5&order=5")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(whole.content))


HOSTILE = [
    "",
    " c5",
    "c5 ",
    "C5",
    "с5",  # Cyrillic
    "c5\x00",
    "c5,5",
    "c5%2C5",
    "'; drop table predictions; --",
    '"c5"',
    "../../etc/passwd",
    "c5\nx",
    "\u202ec5",
    "c" * 6_000,
    "%",
    "%~",
    "{c5}",
    "ｃ５",
    "\ufffd",
    "🂡" * 200,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_key_finds_no_other_row(asked: Served, text: str) -> None:
    query = f"customer={quote(text, safe='')}&order=5"
    answer = get(asked, f"{PATH}?{query}")
    if answer.status_code == 414:
        problem(answer, 414, "url-too-long")
    else:
        problem(answer, 404, "absent-key")
    told = post(asked, BATCH, json={"keys": [{"customer": text, "order": 5}]}).json()
    assert told["results"] == [{"found": False, "prediction": None}]


def test_a_key_of_half_a_megabyte_is_answered(asked: Served) -> None:
    told = post(asked, BATCH, json={"keys": [{"customer": "c" * 500_000, "order": 5}]}).json()
    assert told["results"] == [{"found": False, "prediction": None}]
    keys = [{"customer": "c5", "order": "x" * 500_000}]
    problem(post(asked, BATCH, json={"keys": keys}), 422, "wrong-key")


def test_half_a_surrogate_is_no_text(asked: Served) -> None:
    body = b'{"keys": [{"customer": "\\ud800", "order": 5}]}'
    answer = post(asked, BATCH, data=body, headers={"content-type": "application/json"})
    problem(answer, 422, "wrong-key")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET \xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nhost: a\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_a_sentence(asked: Served, sent: bytes) -> None:
    answer = exchange(asked.url, sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["type"] == "urn:batchinfer:problem:no-http"


def test_no_error_went_unforeseen(asked: Served, asked_project: Path) -> None:
    assert not [line for line in asked.lines if "Traceback" in line or "Error" in line]
