"""Logs of JSON: Caddy's requests and the journal's entries become columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from log_files import log_source, read_line, read_log, read_text, rows

from batchinfer.config.shapes.source_columns import ColumnRules

REQUEST = {
    "remote_ip": "192.0.2.1",
    "remote_port": "50000",
    "client_ip": "192.0.2.7",
    "proto": "HTTP/2.0",
    "method": "GET",
    "host": "www.example",
    "uri": "/a",
    "headers": {"User-Agent": ["agent/1"], "Referer": ["http://r/"], "Authorization": []},
}
CADDY = {
    "level": "info",
    "ts": 1709370000.0363867,
    "logger": "http.log.access",
    "msg": "handled request",
    "request": REQUEST,
    "user_id": "eve",
    "duration": 0.25,
    "size": 5,
    "status": 200,
}
ENTRY = {
    "__REALTIME_TIMESTAMP": "1709370000036386",
    "_HOSTNAME": "box",
    "SYSLOG_IDENTIFIER": "app",
    "_PID": "12",
    "PRIORITY": "6",
    "MESSAGE": "hello",
}


def row(folder: Path, record: object, format_: str, **options: Any) -> dict[str, Any]:
    found = read_line(folder, json.dumps(record).encode(), format=format_, **options)
    assert isinstance(found, dict), found
    return found


def test_caddy(tmp_path: Path) -> None:
    found = row(tmp_path, CADDY, "caddy")
    assert found.pop("ts").isoformat() == "2024-03-02T09:00:00.036386+00:00"
    assert found == {
        "level": "info",
        "logger": "http.log.access",
        "host": "192.0.2.1",
        "port": 50000,
        "client_ip": "192.0.2.7",
        "user": "eve",
        "vhost": "www.example",
        "method": "GET",
        "path": "/a",
        "protocol": "HTTP/2.0",
        "status": 200,
        "bytes": 5,
        "duration_s": 0.25,
        "referer": "http://r/",
        "user_agent": "agent/1",
    }


@pytest.mark.parametrize(
    ("headers", "agent"),
    [
        ({}, None),
        (None, None),
        ({"User-Agent": []}, None),
        ({"User-Agent": [""]}, ""),
        ({"User-Agent": ["-"]}, "-"),
        ({"User-Agent": ["a", "b"]}, "a, b"),
    ],
)
def test_headers_of_caddy(tmp_path: Path, headers: object, agent: str | None) -> None:
    record = {**CADDY, "request": {**REQUEST, "headers": headers}}
    assert row(tmp_path, record, "caddy")["user_agent"] == agent


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("0.000052643", 0.000052643),
        ("5e-05", 5e-05),
        ("2.5", 2.5),
        ("0", 0.0),
        ("null", None),
        ('"2.298µs"', 2.298e-06),
        ('"125ns"', 1.25e-07),
        ('"1.5ms"', 0.0015),
        ('"1m2.5s"', 62.5),
        ('"1h0m0s"', 3600.0),
        ('"0s"', 0.0),
    ],
)
def test_durations_of_caddy(tmp_path: Path, duration: str, seconds: float | None) -> None:
    found = read_line(
        tmp_path, f'{{"ts":1.5,"request":{{}},"duration":{duration}}}'.encode(), format="caddy"
    )
    assert isinstance(found, dict)
    assert found["duration_s"] == seconds


def test_caddy_of_other_versions_and_settings(tmp_path: Path) -> None:
    old = {"remote_addr": "[::1]:50000", "method": "GET", "uri": "/a"}
    found = row(tmp_path, {**CADDY, "request": old, "user_id": "", "status": 0}, "caddy")
    assert (found["host"], found["port"], found["user"], found["status"]) == (
        "::1",
        50000,
        None,
        None,
    )
    iso = row(tmp_path, {**CADDY, "ts": "2024-03-02T10:00:00.125+0100"}, "caddy")
    assert iso["ts"].isoformat() == "2024-03-02T09:00:00.125000+00:00"
    millis = {**CADDY, "ts": 1709370000036.3867}
    found = row(tmp_path, millis, "caddy", timestamp={"format": "epoch_ms"})
    assert found["ts"].isoformat() == "2024-03-02T09:00:00.036386+00:00"


@pytest.mark.parametrize(
    ("format_", "line", "told"),
    [
        ("caddy", '{"level":"info","ts":1.5,"msg":"serving"}', "no_match: the line does not match"),
        ("caddy", '{"logger": "http.log.error", "request": {}}', "no_match: "),
        ("caddy", '{"request": {}, "ts": 1e300}', "timestamp: column ts: got '1e300'"),
        ("caddy", '{"request": {"uri": ["a"]}}', 'type: uri: got ["a"]; allowed: text or a number'),
        ("caddy", '{"request": {"headers": {"Referer": [1]}}}', "type: Referer: got [1]"),
        ("caddy", '{"request": {"uri": "\\ud800"}}', "type: uri: got half of a surrogate pair"),
        ("caddy", '{"request": {}, "ts": 1.5, "status": "ok"}', "type: column status: got 'ok'"),
        ("caddy", '{"request": {}, "when": 1.5}', "no_match: the line does not match format caddy"),
        # Nanoseconds of one version are milliseconds of another.
        ("caddy", '{"request": {}, "ts": 1.5, "duration": 7925}', "type: duration: got 7925; "),
        ("caddy", '{"request": {}, "ts": 1.5, "duration": "1.5 ms"}', 'type: duration: got "1.5'),
        ("caddy", '{"request": {}, "ts": 1.5, "duration": true}', "type: duration: got true"),
        ("caddy", "{", "json: no JSON: "),
        ("caddy", "[]", "not_object: got []"),
        ("journald", "{}", "no_match: "),
        ("journald", '{"__REALTIME_TIMESTAMP": "x"}', "timestamp: "),
        ("journald", json.dumps({**ENTRY, "MESSAGE": ["a", "b"]}), 'type: MESSAGE: got ["a","b"]'),
        ("journald", json.dumps({**ENTRY, "MESSAGE": [97, 256]}), "type: MESSAGE: got [97,256]"),
        ("journald", json.dumps({**ENTRY, "_UID": "9" * 30}), "type: column uid"),
    ],
)
def test_what_goes_aside(tmp_path: Path, format_: str, line: str, told: str) -> None:
    found = read_line(tmp_path, line.encode(), format=format_)
    assert str(found).startswith(told)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("hello", "hello"),
        ("a\nb\t\\", "a\nb\t\\"),
        ("", ""),
        (None, None),
        ([99, 195, 169], "cé"),
        ([27, 91, 51, 49, 109], "\x1b[31m"),
        ([110, 0, 110], "n\x00n"),
        ([], ""),
        ([233], "\ufffd"),
    ],
)
def test_messages_of_the_journal(tmp_path: Path, message: object, text: str | None) -> None:
    found = row(tmp_path, {**ENTRY, "MESSAGE": message}, "journald")
    assert found["message"] == text
    assert (found["ts"].isoformat(), found["pid"]) == ("2024-03-02T09:00:00.036386+00:00", 12)


def test_who_wrote_to_the_journal(tmp_path: Path) -> None:
    entry = {**ENTRY, "SYSLOG_IDENTIFIER": "", "_COMM": "sh", "_UID": "0"}
    del entry["_PID"]
    found = row(tmp_path, {**entry, "SYSLOG_PID": "77"}, "journald")
    assert (found["program"], found["pid"], found["uid"], found["unit"]) == ("sh", 77, 0, None)
    # What a sender says of itself costs no line.
    found = row(tmp_path, {**entry, "SYSLOG_PID": "worker-3", "PRIORITY": "high"}, "journald")
    assert (found["pid"], found["priority"], found["message"]) == (None, None, "hello")
    types = {"pid": "string", "priority": "string"}
    found = row(
        tmp_path, {**entry, "SYSLOG_PID": "worker-3", "PRIORITY": "high"}, "journald", schema=types
    )
    assert (found["pid"], found["priority"]) == ("worker-3", "high")


def test_bytes_that_are_no_text_are_counted(tmp_path: Path) -> None:
    lines = [json.dumps({**ENTRY, "MESSAGE": message}) for message in ([233], [195, 169], "\ufffd")]
    blocks = read_text(tmp_path, "\n".join(lines).encode(), format="journald")
    assert sum(block.replaced for block in blocks) == 1


def test_what_no_column_takes_is_rescued(tmp_path: Path) -> None:
    source = log_source(tmp_path / "x.log", format="caddy")
    source = source.model_copy(update={"columns": ColumnRules(rescue=True)})
    more = CADDY | {"resp_headers": {"Server": ["Caddy"]}, "bytes_read": 1.50}
    lines = [more, {"no": "request"}, {**CADDY, "msg": None}]
    (tmp_path / "x.log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = rows(read_log(tmp_path / "x.log", source))
    assert [row["_rescued_data"] for row in found] == [
        '{"msg":"handled request","request":{"headers":{"Authorization":[]}},'
        '"resp_headers":{"Server":["Caddy"]},"bytes_read":1.5}',
        '{"msg":null,"request":{"headers":{"Authorization":[]}}}',
    ]
    source = log_source(tmp_path / "x.log", format="journald")
    source = source.model_copy(update={"columns": ColumnRules(rescue=True)})
    # What could stand in for another key is kept beside it.
    (tmp_path / "x.log").write_text(json.dumps(ENTRY | {"_COMM": "c"}) + "\n" + json.dumps(ENTRY))
    found = rows(read_log(tmp_path / "x.log", source))
    assert [row["_rescued_data"] for row in found] == ['{"_COMM":"c"}', None]
