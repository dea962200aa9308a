"""Signals: whoever swallows their error, the command ends as interrupted, and commits nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pytest

from batchinfer import errors, stopping
from batchinfer.command import run_command
from batchinfer.lake.delta import commit, ensure_table, snapshot_files
from batchinfer.lake.orphans import hold_and_sweep, remove_interrupted
from batchinfer.lake.runs import append_run
from batchinfer.lake.staging import StagedWriter

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.fixture(autouse=True)
def own_handlers() -> Generator[None]:
    before = {number: signal.getsignal(number) for number, _ in SIGNALS}
    hook = sys.unraisablehook
    yield
    stopping.forget()
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


def told_to_stop(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def ended(
    work: Callable[[], Any], capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, Any]]:
    code = run_command(work, {"pipeline": "p"})
    [line] = capsys.readouterr().out.splitlines()
    return code, json.loads(line)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_signals_have_their_codes(
    number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    found, body = ended(lambda: told_to_stop(number), capsys)
    assert (found, body["status"], body["exit_code"]) == (code, "interrupted", code)


@pytest.mark.parametrize("swallowed", [Exception, BaseException])
@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_whoever_swallows_it_the_end_is_an_interruption(
    number: int, code: int, swallowed: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    """A library goes on after the error of a signal; the work comes to its own end."""

    def work() -> dict[str, Any]:
        with contextlib.suppress(swallowed):
            told_to_stop(number)
        return {"run_id": "r1", "status": "published"}

    found, body = ended(work, capsys)
    assert (found, body["status"]) == (code, "interrupted")
    assert body.get("run_id") == ("r1" if swallowed is BaseException else None)


@pytest.mark.parametrize(
    "wake", [AttributeError("half a module"), errors.ConfigError("conf: no such thing")]
)
def test_an_error_in_the_wake_of_a_signal_is_an_interruption(
    wake: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def masked() -> NoReturn:
        with contextlib.suppress(KeyboardInterrupt):
            told_to_stop()
        raise wake

    found, body = ended(masked, capsys)
    assert (found, body["status"], body["errors"]) == (
        143, "interrupted", ["interrupted by SIGTERM: what was committed stands, and nothing else"],
    )  # fmt: skip


def test_the_first_signal_decides(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with contextlib.suppress(KeyboardInterrupt):
            told_to_stop(signal.SIGINT)
        told_to_stop(signal.SIGTERM)

    assert ended(work, capsys)[0] == 130


def test_a_signal_behind_the_line_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(dict, capsys)[0] == 0
    told_to_stop()
    assert stopping.asked() is None


def table_of(folder: Path, run_id: str = "") -> tuple[str, list[Any]]:
    """An empty table, and a staged file for it."""
    schema = pa.schema([("id", pa.int64())])
    uri = str(folder / "table")
    ensure_table(uri, schema)
    with StagedWriter(uri, schema, (), (), run_id=run_id) as writer:
        writer.write(pa.record_batch({"id": [1, 2]}), {})
        return uri, writer.close()


def test_nothing_is_committed_after_a_signal(tmp_path: Path) -> None:
    uri, staged = table_of(tmp_path)
    stopping.listen()
    with contextlib.suppress(KeyboardInterrupt):
        told_to_stop()
    with pytest.raises(errors.Interrupted) as caught:
        commit(uri, staged)
    assert caught.value.exit_code == 143
    with ThreadPoolExecutor(1) as pool, pytest.raises(errors.Interrupted):
        pool.submit(commit, uri, staged).result()
    assert snapshot_files(uri) == []


def test_what_a_worker_staged_goes_and_what_stands_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The worker was ended before it could say what it had written."""
    uri, committed = table_of(tmp_path, "mine")
    commit(uri, committed)
    of_another = table_of(tmp_path, "another")[1]

    def work() -> None:
        tables = (uri, str(tmp_path / "never made"))
        with hold_and_sweep(str(tmp_path / "lake"), "p", "s", "mine", tables):
            table_of(tmp_path, "mine")
            told_to_stop()

    assert ended(work, capsys)[0] == 143
    left = {file.name for file in (tmp_path / "table").glob("*.parquet")}
    assert left == {committed[0].path, of_another[0].path}


def test_what_stays_staged_without_a_signal_is_nobodys_to_remove(tmp_path: Path) -> None:
    with hold_and_sweep(str(tmp_path / "lake"), "p", "s", "mine", (str(tmp_path / "table"),)):
        staged = table_of(tmp_path, "mine")[1]
    remove_interrupted()
    assert (tmp_path / "table" / staged[0].path).exists()


def test_the_record_of_the_run_is_written_all_the_same(tmp_path: Path) -> None:
    stopping.listen()
    with contextlib.suppress(KeyboardInterrupt):
        told_to_stop()
    uri = str(tmp_path / "runs")
    append_run(uri, {"run_id": "r1", "pipeline": "p", "command": "score", "exit_code": 143})
    assert len(snapshot_files(uri)) == 1


def test_an_import_comes_to_its_end_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a module would fail in ways of its own, and may crash."""
    (tmp_path / "slow_module.py").write_text(
        "import os, signal, time\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "time.sleep(0.1)\n"
        "whole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    stopping.listen()
    with pytest.raises(errors.Interrupted):
        import_module("slow_module")
        time.sleep(5)
    assert sys.modules.pop("slow_module").whole


def test_the_try_of_the_temporary_folder_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python finds the folder by writing a file into it."""
    opened = os.open

    def interrupted(*arguments: Any) -> int:
        number = opened(*arguments)
        told_to_stop()
        return number

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(os, "open", interrupted)
    stopping.listen()
    with pytest.raises(errors.Interrupted):
        tempfile.gettempdir()
        time.sleep(5)
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_raised_it_comes_again() -> None:
    class Finalizer:
        def __del__(self) -> None:
            told_to_stop()

    stopping.listen()
    gone = Finalizer()
    with pytest.raises(errors.Interrupted):
        del gone
        time.sleep(5)
