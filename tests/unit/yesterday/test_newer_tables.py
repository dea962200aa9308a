"""A lake of which a newer build has changed a table: every command that needs it ends with exit 8,
and none of them has changed anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from yesterday import answers, rows
from yesterday.archive import unpack

import batchinfer
from batchinfer.errors import BatchInferError
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.plan import plan_slice
from batchinfer.table_format import FORMAT_PROPERTY

DAY, UNSCORED, NEXT = rows.DAYS[1], rows.UNSCORED, rows.NEXT
COMMANDS: dict[str, Callable[[str], Any]] = {
    "status": batchinfer.status,
    "lookup": lambda file: batchinfer.lookup(file, {"id": 2000}),
    "plan": lambda file: plan_slice(Context.open(file), UNSCORED),
    "extract": lambda file: batchinfer.extract(file, NEXT),
    "score": lambda file: batchinfer.score(file, UNSCORED),
    "replay": lambda file: batchinfer.replay(file, DAY),
    "backfill": lambda file: batchinfer.backfill(file, DAY, UNSCORED),
    "train": batchinfer.train,
}
# Tables, and the commands that do not need them.
UNHELD = {
    "landed/loans": {"lookup"},
    "quarantine/loans": {"lookup", "train"},
    "predictions/loans": {"extract", "train"},
    "runs": {"lookup"},
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    unpack("format-1", tmp_path)
    rows.write_loans(tmp_path, NEXT)
    return tmp_path


def upgrade(root: Path, table: str) -> str:
    uri = str(root / "var" / "lake" / table)
    properties = {FORMAT_PROPERTY: "2"}
    DeltaTable(uri).alter.set_table_properties(properties, raise_if_not_exists=False)
    return uri


def files_of(root: Path) -> set[str]:
    """The files of the tables but for locks, and for the runs, which say what failed."""
    lake = root / "var" / "lake"
    parts = ("landed", "quarantine", "predictions")
    found = (path for part in parts for path in (lake / part).rglob("*"))
    return {str(path) for path in found if path.name != "_commit.lock"}


def ending(command: Callable[[str], Any], file: str) -> tuple[int, Sequence[str]]:
    """Exit code and problems; `plan` lists its problems instead of ending with the first."""
    try:
        result = command(file)
    except BatchInferError as error:
        return error.exit_code, error.problems
    return getattr(result, "exit_code", 0), result["problems"]


@pytest.mark.parametrize(
    ("table", "command"),
    [(table, name) for table, free in UNHELD.items() for name in COMMANDS if name not in free],
)
def test_a_newer_table_ends_what_needs_it(root: Path, table: str, command: str) -> None:
    uri = upgrade(root, table)
    before, runs = files_of(root), DeltaTable(str(root / "var/lake/runs")).version()
    code, problems = ending(COMMANDS[command], answers.pipeline_file(root, "loans"))
    told = f"{uri}: the table is of format 2, and this build, batchinfer {batchinfer.__version__}"
    assert code == 8 and any(told in problem for problem in problems)
    assert files_of(root) == before
    if table == "runs":
        assert DeltaTable(uri).version() == runs


def test_a_lookup_needs_the_predictions_alone(root: Path) -> None:
    for table in ("landed/loans", "quarantine/loans", "runs"):
        upgrade(root, table)
    assert COMMANDS["lookup"](answers.pipeline_file(root, "loans"))["id"] == 2000


@pytest.mark.parametrize(
    ("table", "arguments"),
    [
        ("predictions/loans", ("lookup", "--key", "id=2000")),
        ("quarantine/loans", ("status",)),
        ("landed/loans", ("score", "--slice", UNSCORED)),
        ("runs", ("extract", "--slice", NEXT)),
    ],
)
def test_the_command_line_says_it_in_a_sentence(
    root: Path, table: str, arguments: tuple[str, ...]
) -> None:
    uri = upgrade(root, table)
    told = answers.command(root, arguments[0], "-p", "loans", *arguments[1:])
    assert (told["exit"], told["status"], told["errors"]) == (
        8,
        "failed",
        [
            f"{uri}: the table is of format 2, and this build, batchinfer {batchinfer.__version__},"
            " knows formats up to 1; allowed: a build that knows the table's format, so upgrade "
            "batchinfer"
        ],
    )
    assert "another try will not help" in told["hint"]


def test_a_source_that_is_read_in_place_is_held_to_its_format_too(root: Path) -> None:
    """Predictions of another lake, say: what their rows mean, only a newer build knows."""
    place = root / "in" / "shipments"
    properties = {FORMAT_PROPERTY: "2"}
    DeltaTable(str(place)).alter.set_table_properties(properties, raise_if_not_exists=False)
    with pytest.raises(BatchInferError, match="is of format 2") as caught:
        batchinfer.extract(answers.pipeline_file(root, "shipments"))
    assert caught.value.exit_code == 8
    # The version that was recorded is from before: it is what it was.
    found = plan_slice(Context.open(answers.pipeline_file(root, "shipments")), UNSCORED)
    assert (found["rows"], found.exit_code) == (10, 0)


def test_a_recorded_version_of_a_newer_format_is_not_taken_for_one_that_is_gone(
    root: Path,
) -> None:
    """A newer build has recorded it; to extract again, as of a version that is gone, is no way."""
    first = root / "in" / "shipments" / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in first.read_text().splitlines()]
    for action in actions:
        if "metaData" in action:
            action["metaData"]["configuration"] = {FORMAT_PROPERTY: "2"}
    first.write_text("".join(f"{json.dumps(action)}\n" for action in actions))
    found = plan_slice(Context.open(answers.pipeline_file(root, "shipments")), UNSCORED)
    assert found.exit_code == 8
    assert [problem for problem in found["problems"] if "is of format 2" in problem]
