"""Tables say which format they have; a build that does not know it refuses them in a sentence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from batchinfer import __version__, table_format
from batchinfer.contracts import KEY_PROPERTY, SLICE
from batchinfer.errors import StorageError, TableTooNew
from batchinfer.lake import creation, delta, ledger, log, quarantine, runs, snapshots
from batchinfer.lookups.tables import lookup_rows
from batchinfer.table_format import FORMAT_PROPERTY, TABLE_FORMAT

SCHEMA = pa.schema([("k", pa.int64()), (SLICE, pa.string())])


def make_table(folder: Path) -> str:
    uri = str(folder / "table")
    delta.ensure_table(uri, SCHEMA, [SLICE], configuration={KEY_PROPERTY: "k"})
    delta.commit(uri, [], transactions={"slice:a": 1})
    return uri


def set_format(uri: str, told: str) -> None:
    properties = {FORMAT_PROPERTY: told}
    DeltaTable(uri).alter.set_table_properties(properties, raise_if_not_exists=False)


def format_of(uri: str) -> str | None:
    return DeltaTable(uri).metadata().configuration.get(FORMAT_PROPERTY)


def files_of(uri: str) -> set[str]:
    return {str(path) for path in Path(uri).rglob("*") if path.name != "_commit.lock"}


def a_run(uri: str) -> int:
    now = dt.datetime.now(dt.timezone.utc)
    return runs.append_run(uri, {"run_id": "r", "pipeline": "p", "started_at": now})


# Every way to a table of ours that there is.
WAYS: dict[str, Callable[[str], Any]] = {
    "open": snapshots.open_table,
    "version": delta.table_version,
    "columns": delta.table_schema,
    "files": delta.snapshot_files,
    "facts": snapshots.reading_facts,
    "transactions": log.read_transactions,
    "slices": ledger.landed_slices,
    "source files": lambda uri: ledger.landed_files(uri, "*", ["a.csv"]),
    "position": lambda uri: ledger.read_mark(uri, "jdbc:t:at"),
    "contract": lambda uri: delta.ensure_table(uri, SCHEMA, [SLICE]),
    "commit": lambda uri: delta.commit(uri, [], transactions={"slice:b": 2}),
    "quarantined records": lambda uri: quarantine.read_scored(uri, "a"),
    "quarantine": lambda uri: quarantine.commit_quarantine(
        uri, [], slice="a", published=True, run_id="r"
    ),
    "runs": lambda uri: runs.latest_runs(uri, "p"),
    "record of a run": a_run,
    "lookup": lambda uri: lookup_rows(uri, [{"k": 1}]),
}


def test_tables_that_are_made_say_their_format(tmp_path: Path) -> None:
    assert format_of(make_table(tmp_path)) == str(TABLE_FORMAT) == "1"
    a_run(str(tmp_path / "runs"))
    assert format_of(str(tmp_path / "runs")) == "1"


@pytest.mark.parametrize("way", WAYS)
def test_a_table_of_a_newer_format_is_refused_whichever_way_it_is_opened(
    tmp_path: Path, way: str
) -> None:
    uri = make_table(tmp_path)
    set_format(uri, "2")
    before = files_of(uri)
    with pytest.raises(TableTooNew) as caught:
        WAYS[way](uri)
    assert caught.value.problems == (
        f"{uri}: the table is of format 2, and this build, batchinfer {__version__}, knows formats "
        "up to 1; allowed: a build that knows the table's format, so upgrade batchinfer",
    )
    assert (caught.value.exit_code, isinstance(caught.value, StorageError)) == (8, True)
    assert files_of(uri) == before


@pytest.mark.parametrize("way", ["open", "transactions", "lookup"])
def test_the_format_is_read_from_a_checkpoint_too(tmp_path: Path, way: str) -> None:
    uri = make_table(tmp_path)
    set_format(uri, "2")
    table = DeltaTable(uri)
    table.create_checkpoint()
    delta_log = Path(uri, "_delta_log")
    for commit in sorted(delta_log.glob("*.json"))[:-1]:
        commit.unlink()
    (last,) = delta_log.glob("*.json")
    last.write_text("".join(f"{line}\n" for line in last.read_text().splitlines()[:1]))
    assert "metaData" not in last.read_text()
    with pytest.raises(TableTooNew, match="is of format 2"):
        WAYS[way](uri)


@pytest.mark.parametrize("told", ["two", "", "-1", "1.5", "²"])
def test_a_format_that_is_no_number_is_an_unknown_one(tmp_path: Path, told: str) -> None:
    uri = make_table(tmp_path)
    set_format(uri, told)
    with pytest.raises(TableTooNew, match="knows formats up to 1"):
        snapshots.open_table(uri)


def test_older_tables_and_those_without_a_format_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the next format will need: the build that knows it goes on with what is there."""
    old, plain = make_table(tmp_path / "old"), str(tmp_path / "plain")
    DeltaTable.create(plain, SCHEMA, partition_by=[SLICE])
    assert format_of(plain) is None
    for module in (table_format, creation):
        monkeypatch.setattr(module, "TABLE_FORMAT", 2)
    for uri in (old, plain):
        assert delta.commit(uri, [], transactions={"slice:b": 2}) > 0
        assert log.read_transactions(uri)["slice:b"] == 2
        delta.ensure_table(uri, SCHEMA, [SLICE])
    assert (format_of(old), format_of(plain)) == ("1", None), "only what changes a table marks it"
    new = make_table(tmp_path / "new")
    assert format_of(new) == "2"
    assert snapshots.open_table(new).version() == 1
    monkeypatch.undo()
    with pytest.raises(TableTooNew):
        snapshots.open_table(new)


def test_a_version_from_before_the_upgrade_can_still_be_read(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    version = delta.table_version(uri)
    set_format(uri, "2")
    assert snapshots.open_table(uri, version).version() == version
    assert log.read_transactions(uri, version) == {"slice:a": 1}
    with pytest.raises(TableTooNew):
        snapshots.open_table(uri, version + 1)


def test_tables_of_others_have_no_format_and_those_of_another_lake_are_held_to_theirs(
    tmp_path: Path,
) -> None:
    place = str(tmp_path / "theirs")
    write_deltalake(place, pa.table({"a": [1]}), configuration={"delta.appendOnly": "true"})
    assert snapshots.open_table(place).version() == 0
    DeltaTable(place).alter.set_table_properties({"format": "9"}, raise_if_not_exists=False)
    assert snapshots.open_table(place).version() == 1
    set_format(place, "2")
    with pytest.raises(TableTooNew):
        snapshots.open_table(place)


def test_a_lookup_pays_nothing_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The format stands in the snapshot that is read anyway, once for each state of the table."""
    uri = make_table(tmp_path)
    calls = {"log": 0, "format": 0}

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            calls[name] += 1
            return function(*args, **named)

        return call

    checked = counted("format", snapshots.check_format)
    monkeypatch.setattr(snapshots, "DeltaTable", counted("log", DeltaTable))
    monkeypatch.setattr(snapshots, "check_format", checked)
    for _ in range(50):
        assert lookup_rows(uri, [{"k": 1}]) == [None]
    assert calls == {"log": 1, "format": 1}
    # Another state of the table is another snapshot: a table that was upgraded is not served on.
    set_format(uri, "2")
    with pytest.raises(TableTooNew):
        lookup_rows(uri, [{"k": 1}])
    assert calls == {"log": 2, "format": 2}
