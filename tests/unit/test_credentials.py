"""Credentials in addresses: what is one, and that no error, JSON line or record of a run shows
one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest

from batchinfer.command import report_failure, run_command
from batchinfer.config.suggestions import shown
from batchinfer.credentials import (
    hide_secrets,
    holds_user,
    keep_secrets,
    told_without_secrets,
    without_credentials,
)
from batchinfer.errors import ConfigError, StorageError
from batchinfer.pipeline.definition.context import Context

S3_KEY = "AKIA7Q2W:canary/with/slashes+and=signs"


@pytest.mark.parametrize(
    ("address", "rest"),
    [
        (f"s3a://{S3_KEY}@bucket/in/*.csv", "s3a://***@bucket/in/*.csv"),
        ("/work/s3a:/AKIA:canary@bucket/in", "/work/s3a:/***@bucket/in"),
        ("http://user:canary@host:8080/x", "http://***@host:8080/x"),
        ("https://canary@host/x", "https://***@host/x"),
        ("https://user:1234canary@host/x", "https://***@host/x"),
        ("postgresql+psycopg2://user:can@ary@host/db", "postgresql+psycopg2://***@host/db"),
        (
            "jdbc:postgresql://host/db?user=me&password=canary",
            "jdbc:postgresql://host/db?user=me&password=***",
        ),
        (
            "jdbc:sqlserver://host;user=me;password=canary;encrypt=true",
            "jdbc:sqlserver://host;user=me;password=***;encrypt=true",
        ),
        ("jdbc:oracle:thin:scott/canary@//host:1521/x", "jdbc:oracle:thin:***@//host:1521/x"),
        ("https://host/x?a=1&access_token=canary&b=2", "https://host/x?a=1&access_token=***&b=2"),
        ("https://host/x?token=canary", "https://host/x?token=***"),
        ("https://host/x?X-Amz-Signature=canary", "https://host/x?X-Amz-Signature=***"),
        ("wasbs://c@a.blob/x?sv=1&sig=canary%2F", "wasbs://c@a.blob/x?sv=1&sig=***"),
    ],
)
@pytest.mark.parametrize(
    "sentence",
    ["{}", "got {!r}; allowed: others", "{}: no such file", "--set a.path={} (a.path): x"],
)
def test_they_are_hidden_wherever_an_address_stands(address: str, rest: str, sentence: str) -> None:
    hidden = without_credentials(sentence.format(address))
    assert "canary" not in hidden
    if not sentence.startswith("{}:"):
        assert hidden == sentence.format(rest)
    assert without_credentials(hidden) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "s3a://bucket/in/@daily/x.csv",
        "hdfs://namenode:8020/user@home/x",
        "spark://host:7077",
        "abfss://container@account.dfs.core.windows.net/x",
        "http://[::1]:8080/a@b",
        "models:/income@champion",
        "https://host/x?page=2&next_page_token=abc&key=id",
        "conf/x.yaml:3:5 (source.key): got 'a@b'; allowed: name=value",
    ],
)
def test_what_is_no_credential_is_left_alone(text: str) -> None:
    assert without_credentials(text) == text
    assert not holds_user(text)


def test_a_long_value_is_hidden_before_it_is_cut() -> None:
    assert "canary" not in shown(f"s3a://AKIA:canary{'x' * 100}@bucket/in")


def test_no_error_holds_one_however_it_was_made() -> None:
    error = ConfigError([f"got s3a://{S3_KEY}@b", "fine"], hint="see http://u:canary@h")
    assert "canary" not in f"{error!r} {error} {error.problems} {error.hint}"
    assert error.problems == ("got s3a://***@b", "fine")


def test_what_nobody_foresaw_and_what_was_typed_are_shown_without(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> NoReturn:
        raise RuntimeError("cannot reach http://u:canary@host/x")

    assert run_command(fail, {"pipeline": "s3a://u:canary@b/p.yaml"}) == 1
    report_failure(StorageError("x"), {"slice": "http://u:canary@h"})
    captured = capsys.readouterr()
    assert "Traceback" in captured.err and "http://***@host/x" in captured.out
    assert "canary" not in captured.out + captured.err


def _opened(folder: Path) -> Context:
    (folder / "p.yaml").write_text(
        "name: p\nsource: {kind: csv, path: a.csv, schema: {id: int}, key: id}\n"
    )
    return Context.open(str(folder / "p.yaml"))


def test_the_record_of_a_run_holds_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from batchinfer.pipeline.run_record import record_run

    rows: list[dict[str, Any]] = []
    monkeypatch.setattr("batchinfer.lake.runs.append_run", lambda _, row: rows.append(row))
    context = _opened(tmp_path)
    for error in (ValueError("http://u:canary@h"), StorageError("http://u:canary@h")):
        with pytest.raises(type(error)):
            record_run(context, "extract", None, lambda error=error: (_ for _ in ()).throw(error))
    assert len(rows) == 2
    assert "canary" not in json.dumps(rows, default=str)


TOKEN = 'eyJhbGciOi"canary"JIUzI1NiIs/In+R5cCI6IkpXVCJ9'


@pytest.mark.parametrize(
    ("text", "shown_text"),
    [
        (f"got {TOKEN}; allowed: int", "got ***; allowed: int"),
        (f"got {TOKEN!r}", "got '***'"),
        (json.dumps({"x": TOKEN}), '{"x": "***"}'),
        (f"got '{TOKEN[:30]} …", "got '*** …"),
        (f"… {TOKEN[-20:]}'", "… ***'"),
        (f"{TOKEN}{TOKEN}", "******"),
        ("http://h/?x=eyJhbGciOi%22canary%22JIUzI1NiIs%2FIn%2BR5cCI6IkpXVCJ9", "http://h/?x=***"),
        (f"got {TOKEN[:11]}", f"got {TOKEN[:11]}"),
        ("nothing of it", "nothing of it"),
    ],
)
def test_a_secret_of_a_variable_is_hidden_whole_or_cut(text: str, shown_text: str) -> None:
    keep_secrets([f" {TOKEN}\n"])
    assert hide_secrets(text) == without_credentials(text) == shown_text


def test_a_short_secret_is_no_part_of_a_word() -> None:
    keep_secrets(["sale", "", "ab"])
    assert hide_secrets("got 'sale' of a salesman, ab") == "got '***' of a salesman, ab"


def test_an_address_hides_no_other_place() -> None:
    keep_secrets(["jdbc:sqlite:/data/project/orders.db"])
    assert hide_secrets("/data/project/lake: no") == "/data/project/lake: no"
    assert hide_secrets("of jdbc:sqlite:/data/project/orders.db") == "of ***"


def test_no_line_of_a_command_and_no_record_of_a_run_holds_a_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from batchinfer.pipeline.run_record import record_run
    from batchinfer.report.terminal import show_table

    keep_secrets([TOKEN])
    body = {"warnings": [f"got {TOKEN}"], "checks_failed": [{"observed": TOKEN}], "slice": "d"}
    assert run_command(lambda: body) == 0
    show_table("rows", ["a"], [[TOKEN]])
    captured = capsys.readouterr()
    assert "canary" not in captured.out + captured.err
    assert json.loads(captured.out)["slice"] == "d"
    rows: list[dict[str, Any]] = []
    monkeypatch.setattr("batchinfer.lake.runs.append_run", lambda _, row: rows.append(row))
    context = _opened(tmp_path)
    report: Any = type(
        "Report", (), {"status": "landed", "seconds": 1.0, "to_json": lambda _: body}
    )
    record_run(context, "extract", None, lambda: report())
    assert len(rows) == 1 and "canary" not in json.dumps(rows, default=str)


def test_data_of_a_report_stays_as_it_is() -> None:
    keep_secrets([TOKEN])
    body = {"found": True, "prediction": {"label": TOKEN}, "errors": [TOKEN]}
    assert told_without_secrets(body, {"prediction"}) == body | {"errors": ["***"]}


def test_what_a_pipeline_file_names_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from batchinfer.config.rules import keep_own_secrets

    monkeypatch.setenv("OF_SOURCE", "canary-of-the-source")
    monkeypatch.setenv("OF_OPTION", "canary-of-an-option")
    monkeypatch.setenv("OF_STORE", "canary-of-a-store")
    document = {
        "source": {"password_env": "OF_SOURCE", "options": {"auth_env": "OF_OPTION"}},
        "load": [{"url_env": "OF_STORE"}, None, {"url_env": 3}],
    }
    assert keep_own_secrets(document) == []
    told = hide_secrets("canary-of-the-source canary-of-an-option canary-of-a-store")
    assert told == "*** *** ***"
    assert keep_own_secrets({"load": 3, "source": []}) == []


@pytest.mark.parametrize("secret", ["user:canary-1@", ":canary-1@", ""])
def test_where_a_store_is_may_be_told_and_who_asks_may_not(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    from batchinfer.config.rules import keep_own_secrets

    address = f"redis://{secret}host:6379/0" + ("" if secret else "?password=canary-1")
    monkeypatch.setenv("OF_STORE", address)
    monkeypatch.setenv("OF_OTHER", "postgresql://database:5432/online")
    keep_own_secrets({"load": [{"url_env": "OF_STORE"}, {"url_env": "OF_OTHER"}]})
    assert hide_secrets(f"{address}: no") == "***: no"
    assert hide_secrets("said canary-1") == "said ***"
    told = "redis://host:6379/0 and postgresql://database:5432/online"
    assert hide_secrets(told) == told
