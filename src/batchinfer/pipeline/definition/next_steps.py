"""What to do next after an error that says only what is wrong: one sentence by its kind, with the
command filled in.

Owns these sentences. Whoever raises an error knows more, so a hint that it has stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchinfer.errors import (
    BatchInferError,
    ChecksFailed,
    InputError,
    ModelError,
    SliceHeld,
    StorageError,
    TooManyQuarantined,
)
from batchinfer.hinted_commands import Asked
from batchinfer.hints import Hint

# Commands that a hint can name whole: the others take more than a pipeline and a slice.
_OF_SLICE = ("extract", "score", "replay")


def next_step(asked: Asked, command: str, slice_: str | None, error: BatchInferError) -> str | None:
    """The hint of an error that has none; None where nothing is known that would help.

    Args:
        asked: how the pipeline was asked for.
        command: that ended with the error.
        slice_: that it was for, if it was for one.

    Runs on: driver.
    """
    again = _again(asked, command, slice_)
    if isinstance(error, SliceHeld):
        runs = asked.command("status")
        return Hint("wait for that run to end, then: ", again, "; ", runs, " shows what runs")
    if isinstance(error, ChecksFailed):
        return _of_checks(asked, error.facts, again)
    if isinstance(error, TooManyQuarantined):
        return Hint(asked.command("quarantine", *_slice(slice_)), " shows them")
    if isinstance(error, InputError):
        return _of_input(asked, command, slice_, again)
    if isinstance(error, ModelError):
        listing = asked.command("models")
        return Hint(listing, " lists the versions that there are, and their aliases")
    if isinstance(error, StorageError) and error.worth_a_retry:
        return Hint("once the storage answers: ", again)
    return None


def _again(asked: Asked, command: str, slice_: str | None) -> str:
    if command in _OF_SLICE or command == "train":
        return asked.command(command, *_slice(slice_ if command in _OF_SLICE else None))
    return f"the same {command} again"


def _slice(slice_: str | None) -> list[str]:
    return [] if slice_ is None else ["--slice", slice_]


def _of_checks(asked: Asked, facts: Mapping[str, Any], again: str) -> str:
    """The page of the run says more than the sentences; the predictions of a slice follow from its
    data, its model and its suite.
    """
    if not (run := facts.get("run_id")):
        return Hint("once the data, the model or the suite is right: ", again)
    page = facts.get("report")
    where = f", which is {page}" if page else ""
    return Hint(
        asked.command("report", "--run", run),
        f" shows the report of the run{where}; once the data, the model or the suite is right: ",
        again,
    )


def _of_input(asked: Asked, command: str, slice_: str | None, again: str) -> str | None:
    if command == "extract":
        return Hint("once the source and the pipeline file agree: ", again)
    if command not in ("score", "replay") or slice_ is None:
        return None
    anew = asked.command("extract", "--slice", slice_, "--force")
    return Hint("once the source is right: ", anew, " lands the slice anew, and then: ", again)
