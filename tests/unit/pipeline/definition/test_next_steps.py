"""What to do after an error that says only what is wrong: commands that the command line takes."""

from __future__ import annotations

import shlex

import pytest
from hinted import commands_in, problem_of

from batchinfer import errors
from batchinfer.hinted_commands import Asked
from batchinfer.hints import commands_of
from batchinfer.pipeline.definition.next_steps import next_step

ASKED = Asked("my files/churn.yaml")
DAY = "2026-11-21"


@pytest.mark.parametrize(
    ("error", "command", "names"),
    [
        (errors.SliceHeld("held"), "score", ["score", "status"]),
        (errors.SliceHeld("held"), "train", ["train", "status"]),
        (errors.ChecksFailed("wrong"), "score", ["score"]),
        (errors.TooManyQuarantined("many"), "score", ["quarantine"]),
        (errors.InputError("columns changed"), "extract", ["extract"]),
        (errors.InputError("input check"), "score", ["extract", "score"]),
        (errors.ModelError("none"), "score", ["models"]),
        (errors.StorageError("full"), "score", ["score"]),
    ],
)
def test_each_kind_has_commands_that_run(
    error: errors.BatchInferError, command: str, names: list[str]
) -> None:
    hint = next_step(ASKED, command, DAY, error)
    found = commands_in(str(hint))
    assert [shlex.split(line)[1] for line in commands_of(hint)] == names
    assert [words[0] for words in found] == names
    for words in found:
        assert problem_of(words) is None
        assert words[1:3] == ["-p", "my files/churn.yaml"]


def test_a_failed_check_names_the_report_of_the_run() -> None:
    error = errors.ChecksFailed("wrong")
    error.facts = {"run_id": "20261121T021500-1f2e3d4c", "report": "var/reports/x.html"}
    hint = str(next_step(ASKED, "score", DAY, error))
    assert "which is var/reports/x.html" in hint
    [report, score] = commands_in(hint)
    assert report[0] == "report" and "20261121T021500-1f2e3d4c" in report
    assert (problem_of(report), problem_of(score)) == (None, None)


@pytest.mark.parametrize("error", [errors.ConfigError("wrong"), errors.SetupError("no Java")])
def test_what_the_sentence_says_needs_no_more(error: errors.BatchInferError) -> None:
    assert next_step(ASKED, "score", DAY, error) is None
