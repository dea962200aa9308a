"""`notify:` who is told of a night: against a real HTTP server and a real mail server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mail_server import Mailbox, receiving
from webhook import Hook, hooked

from batchinfer import errors
from batchinfer.command_reports import RunReport
from batchinfer.config.pipeline import Notice
from batchinfer.nights import messengers
from batchinfer.nights.messengers import Message, send
from batchinfer.nights.nightly import run_nights
from batchinfer.nights.one_night import Night
from batchinfer.pipeline.definition.context import Context

DAY = "2026-11-21"
PIPELINE = "name: p\nsource: {kind: csv, path: 'x/*.csv', schema: {a: int}}\nnotify: "
MESSAGE = Message("a subject", "a text", {"exit_code": 3})


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hooked(Hook()) as served:
        yield served


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with receiving(Mailbox()) as served:
        yield served


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: Hook) -> Path:
    """A project whose nights end as `ends` says, with a webhook's address in a variable."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    monkeypatch.setenv("ALERT_URL", hook.url)
    monkeypatch.setenv("SMTP_URL", "smtp://127.0.0.1")
    monkeypatch.setattr(messengers, "_PAUSE_S", 0)
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def night(project: Path, patch: pytest.MonkeyPatch, notify: str, *ends: Any) -> list[int]:
    """The exit codes of nights that end with a report, or an error."""
    (project / "p.yaml").write_text(PIPELINE + notify + "\n")
    left = list(ends)

    def score(*_: Any) -> RunReport:
        end = left.pop(0)
        if isinstance(end, BaseException):
            raise end
        return end

    patch.setattr(Night, "_land", lambda *_: None)
    patch.setattr(Night, "_score_day", score)
    return [run_nights(["p.yaml"], DAY) for _ in ends]


def test_a_webhook_is_told_what_where_since_when_and_what_next(
    project: Path, monkeypatch: pytest.MonkeyPatch, hook: Hook
) -> None:
    fine = RunReport("r1", "p", "published", slice=DAY)
    ends = [errors.InputError("lost"), fine, errors.InputError("one"), errors.ModelError("two")]
    codes = night(project, monkeypatch, "[{webhook_env: ALERT_URL, on: [failed]}]", *ends)
    assert codes == [3, 0, 3, 7] and len(hook.bodies) == 3, "a night that went well tells nobody"
    _, first, second = hook.bodies
    assert first["events"] == ["failed"] and first["errors"] == ["one"]
    assert (first["pipeline"], first["file"], first["exit_code"]) == ("p", "p.yaml", 3)
    assert first["slices"] == [DAY] and first["table"].endswith("predictions/p")
    assert first["command"] == f"batchinfer plan -p p.yaml --slice {DAY}"
    assert second["command"] == "batchinfer models -p p.yaml"
    assert second["since"] == first["since"], "since the first that failed after the last success"
    assert second["since"] > hook.bodies[0]["since"]
    for said in ("Pipeline p (p.yaml)", "ended with exit 7", "two", "Since: ", "Next: batchinfer"):
        assert said in second["text"]


@pytest.mark.parametrize(
    ("notify", "end", "events"),
    [
        ("on: quarantine", errors.TooManyQuarantined("half of them"), ["quarantine"]),
        ("on: quarantine", errors.InputError("x"), None),
        ("on: [failed, quarantine]", errors.TooManyQuarantined("x"), ["failed", "quarantine"]),
        ("on: late", errors.InputError("x"), None),
    ],
)
def test_each_event_is_told_to_whom_asked_for_it(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    hook: Hook,
    notify: str,
    end: Any,
    events: list[str] | None,
) -> None:
    night(project, monkeypatch, f"[{{webhook_env: ALERT_URL, {notify}}}]", end)
    assert [body["events"] for body in hook.bodies] == ([events] if events else [])


def test_what_cannot_be_sent_changes_no_exit_code_and_shows_no_secret(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    hook: Hook,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hook.answers = [500, 403]
    notify = "[{webhook_env: ALERT_URL, on: failed}]"
    assert night(project, monkeypatch, notify, errors.InputError(f"{hook.url} is lost")) == [3]
    said = capsys.readouterr()
    assert len(hook.bodies) == 2, "it is tried twice"
    assert (
        "warning: the message about failed could not be sent: ALERT_URL: the server answered 403"
    ) in said.err
    assert "CANARY" not in said.out + said.err + json.dumps(hook.bodies)


def test_a_second_try_that_arrives_is_enough(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messengers, "_PAUSE_S", 0)
    monkeypatch.setenv("ALERT_URL", hook.url)
    hook.answers = [302]
    notice = Notice.model_validate({"webhook_env": "ALERT_URL", "on": ["failed"]})
    assert send(notice, MESSAGE) is None
    assert hook.bodies == [{"text": "a text", "exit_code": 3}] * 2
    hook.answers = [302, 302]
    assert send(notice, MESSAGE) == "ALERT_URL: the server answered 302", "it is followed nowhere"


def test_a_server_that_answers_byte_by_byte_holds_no_night(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messengers, "_PAUSE_S", 0)
    monkeypatch.setenv("ALERT_URL", hook.url)
    hook.answers = [0, 0]
    notice = Notice.model_validate({"webhook_env": "ALERT_URL", "on": ["failed"]})
    assert send(notice, MESSAGE, limit_s=0.3) == "ALERT_URL: no answer within 0.3 s"


def test_mail_is_handed_over_with_the_password_of_the_variable(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_URL", f"smtp://me%40example.org:s%2Fcret@{mailbox.url}")
    to = ["a@example.org", "b@example.org"]
    notice = Notice.model_validate({"smtp_env": "SMTP_URL", "to": to, "on": ["failed"]})
    assert send(notice, MESSAGE) is None
    assert mailbox.recipients == to
    [login], [message] = mailbox.logins, mailbox.messages
    assert base64.b64decode(login) == b"\0me@example.org\0s/cret"
    for said in ("Subject: a subject", "From: me@example.org", f"To: {', '.join(to)}", "a text"):
        assert said in message


def test_mail_that_is_refused_is_tried_once_more(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messengers, "_PAUSE_S", 0)
    monkeypatch.setenv("SMTP_URL", f"smtp://{mailbox.url}")
    notice = Notice.model_validate({"smtp_env": "SMTP_URL", "to": "a@example.org", "on": "failed"})
    mailbox.refuses = ["451 later", "554 never"]
    assert send(notice, MESSAGE) == "SMTP_URL: the server answered 554"
    mailbox.refuses = ["451 later"]
    assert send(notice, MESSAGE) is None and len(mailbox.messages) == 1


@pytest.mark.parametrize(
    ("notify", "said"),
    [
        ("[{webhook_env: ALERT_URL, on: [drift]}]", "checks.drift is not built yet; allowed: fail"),
        ("[{webhook_env: ALERT_URL, on: [fialed]}]", "'fialed' (did you mean failed?); allowed: "),
        ("[{webhook_env: ALERT_URL}]", "missing; this field is required"),
        ("{webhook_env: ALERT_URL, on: failed}", "got a mapping ('webhook_env', 'on')"),
        ("[{on: [failed]}]", "got both or neither of webhook_env and smtp_env"),
        ("[{smtp_env: SMTP_URL, on: [failed]}]", "got one of smtp_env and to"),
        ("[{smtp_env: SMTP_URL, to: ops, on: [failed]}]", "addresses such as a@example.org"),
        ("[{webhook_env: ALERT_URL, on: [late], rate: 0.1}]", "got a rate without quarantine"),
        ("[{webhook_env: 'https://x/CANARY', on: [late]}]", "got a text that is not shown"),
        ("[{webhook_env: NOT_SET, on: [late]}]", "variable NOT_SET is not set; allowed: http://"),
        (
            "[{smtp_env: ALERT_URL, to: a@b, on: [late]}]",
            "variable ALERT_URL holds no such address; allowed: smtp://HOST or smtps://HOST",
        ),
    ],
)
def test_what_nobody_could_be_told_by_is_refused(project: Path, notify: str, said: str) -> None:
    (project / "p.yaml").write_text(PIPELINE + notify + "\n")
    with pytest.raises(errors.ConfigError) as caught:
        Context.open("p.yaml", sends_notices=True)
    [problem] = caught.value.problems
    assert said in problem and problem.startswith("p.yaml:3:") and "CANARY" not in problem
