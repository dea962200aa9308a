"""Hints are words and commands: texts for a log, lines to paste on a terminal, a list for JSON."""

from __future__ import annotations

import copy
import io
import pickle
import sys

import pytest

from batchinfer.errors import ConfigError
from batchinfer.hinted_commands import Asked
from batchinfer.hints import CommandLine, Hint, commands_of, hint_fields
from batchinfer.report.terminal import show_error, show_hint

ASKED = Asked("my files/churn.yaml")
TRAIN, STATUS = ASKED.command("train"), ASKED.command("status")
BOTH = Hint("once it is right: ", TRAIN, " makes a version; ", STATUS, " shows it")
TEXT = f"once it is right: {TRAIN} makes a version; {STATUS} shows it"


def test_a_hint_is_a_text_and_its_commands() -> None:
    assert BOTH == TEXT and commands_of(BOTH) == [TRAIN, STATUS]
    assert commands_of(TRAIN) == [TRAIN], "a command alone is a hint too"
    assert commands_of("batchinfer train") == [] and commands_of(None) == []
    twice = Hint.joined([BOTH, Hint(TRAIN, " again")], "; ")
    assert twice == f"{TEXT}; {TRAIN} again" and commands_of(twice) == [TRAIN, STATUS]


def test_the_commands_of_a_hint_cross_processes_and_errors() -> None:
    for there in (pickle.loads(pickle.dumps(BOTH)), copy.copy(BOTH)):
        assert there == TEXT and commands_of(there) == [TRAIN, STATUS]
    error = pickle.loads(pickle.dumps(ConfigError("wrong", BOTH)))
    assert commands_of(error.hint) == [TRAIN, STATUS]
    assert commands_of(ConfigError("wrong", TRAIN).hint) == [TRAIN]


def test_no_part_of_a_hint_shows_a_credential() -> None:
    place = "https://ann:secret@host/x"
    error = ConfigError("wrong", Hint(f"{place} or: ", CommandLine(f"cp {place} .")))
    assert "secret" not in str(error.hint) and "secret" not in str(commands_of(error.hint))
    assert len(commands_of(error.hint)) == 1


def test_json_has_the_text_and_the_commands() -> None:
    assert hint_fields(BOTH) == {"hint": TEXT, "next": [TRAIN, STATUS]}
    assert hint_fields("just words") == {"hint": "just words"} and hint_fields(None) == {}


def shown(hint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    written = io.StringIO()
    monkeypatch.setattr(written, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "40")
    show_hint(hint)
    return written.getvalue()


def test_each_command_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(BOTH, monkeypatch) == (
        "Hint: once it is right:\n"
        "  batchinfer train -p 'my files/churn.yaml'\n"
        "makes a version;\n"
        "  batchinfer status -p 'my files/churn.yaml'\n"
        "shows it\n"
    ), "the width of 40 breaks no command"
    assert shown(TRAIN, monkeypatch) == f"Hint:\n  {TRAIN}\n"
    assert shown("only words", monkeypatch) == "Hint: only words\n"


def test_an_error_that_is_shown_has_its_hint_below(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(ConfigError("wrong", BOTH))
    assert capsys.readouterr().err == (
        f"Error: wrong\nHint: once it is right:\n  {TRAIN}\n"
        f"makes a version;\n  {STATUS}\nshows it\n"
    )
