"""A log of which files are missing or damaged is told before it is believed, with each file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from batchinfer.errors import DamagedFile
from batchinfer.lake.log_damage import check_counts, check_log

COMMIT, CHECKPOINT = "{:020d}.json", "{:020d}.checkpoint.parquet"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of a table with a checkpoint of version 3, and two commits behind it."""
    place = tmp_path / "table"
    for number in range(6):
        write_deltalake(place, pa.table({"a": [number]}), mode="append")
        if number == 3:
            DeltaTable(place).create_checkpoint()
    return place / "_delta_log"


def spoil(file: Path, change: Callable[[bytes], bytes]) -> None:
    file.write_bytes(change(file.read_bytes()))


def told(log: Path, version: int | None = None) -> str:
    with pytest.raises(DamagedFile) as caught:
        check_log(str(log.parent), version)
    assert caught.value.exit_code == 3 and caught.value.hint
    return str(caught.value)


def test_a_whole_log_is_read_without_a_word(log: Path) -> None:
    for version in (None, 0, 3, 5):
        check_log(str(log.parent), version)
    check_counts(DeltaTable(log.parent))


@pytest.mark.parametrize("version", [4, 5])
def test_a_commit_behind_the_checkpoint(log: Path, version: int) -> None:
    file = log / COMMIT.format(version)
    whole = file.read_bytes()
    for damaged, words in {
        b"": "it is empty",
        whole[: len(whole) // 2]: "is no JSON object",
        b"[1]\n" + whole: "line 1 is no JSON object: '[1]'",
        b"\xff" + whole: "cannot be read",
    }.items():
        file.write_bytes(damaged)
        assert str(file) in told(log) and words in told(log)
        check_log(str(log.parent), 3)
    file.unlink()
    if version == 4:
        assert f"{file} is missing" in told(log)
    else:
        check_log(str(log.parent))
        (log / f"{5:020d}.crc").write_text("{}")
        assert f"{file} is missing; {5:020d}.crc of it is there" in told(log)


def test_what_the_checkpoint_holds_already_may_be_damaged(log: Path) -> None:
    (log / COMMIT.format(0)).unlink()
    spoil(log / COMMIT.format(2), lambda _: b"")
    check_log(str(log.parent))
    assert f"{COMMIT.format(0)} is missing" in told(log, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: b"", "it is empty"),
        (lambda data: data[: len(data) // 2], "it cannot be decoded"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_a_damaged_checkpoint(
    log: Path, change: Callable[[bytes], bytes], words: str, named: bool
) -> None:
    file = log / CHECKPOINT.format(3)
    if not named:
        (log / "_last_checkpoint").unlink()
    spoil(file, change)
    assert f"{file} is damaged: {words}" in told(log)
    check_log(str(log.parent), 2)


def test_a_flipped_bit_of_a_checkpoint_with_checksums(log: Path) -> None:
    file = log / CHECKPOINT.format(3)
    rows = pq.read_table(file)
    pq.write_table(rows, file, write_page_checksum=True, use_dictionary=False)
    check_log(str(log.parent))
    column = pq.read_metadata(file).row_group(0).column(0)
    end = column.data_page_offset + column.total_compressed_size - 1
    spoil(file, lambda data: data[:end] + bytes([data[end] ^ 1]) + data[end + 1 :])
    assert "the checksum of a page does not match its bytes" in told(log)


def test_a_checkpoint_that_is_named_and_gone(log: Path) -> None:
    (log / CHECKPOINT.format(3)).unlink()
    assert "_last_checkpoint names the checkpoint of version 3, and there is none" in told(log)
    with pytest.raises(DamagedFile) as caught:
        check_log(str(log.parent))
    assert str(caught.value.hint).endswith("aside: the log can be read without it")
    (log / "_last_checkpoint").unlink()
    check_log(str(log.parent))
    (log / COMMIT.format(1)).unlink()
    assert f"{COMMIT.format(1)} is missing" in told(log)


@pytest.mark.parametrize("text", ["", "{nonsense", '{"size": 3}', '{"version": 1}'])
def test_a_name_of_a_checkpoint_that_all_readers_do_without(log: Path, text: str) -> None:
    (log / "_last_checkpoint").write_text(text)
    check_log(str(log.parent))
    DeltaTable(log.parent)


@pytest.mark.parametrize("text", ["null", "[]"])
def test_a_name_of_a_checkpoint_that_ends_a_reader(log: Path, text: str) -> None:
    (log / "_last_checkpoint").write_text(text)
    assert f"_last_checkpoint is damaged: got {text}" in told(log)


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_a_sidecar_of_a_checkpoint(log: Path, form: str) -> None:
    name = f"{3:020d}.checkpoint.00000000-0000-0000-0000-000000000000.{form}"
    (log / "_sidecars").mkdir()
    os.rename(log / CHECKPOINT.format(3), log / "_sidecars/a.parquet")
    (log / "_last_checkpoint").unlink()
    actions = [{"sidecar": {"path": "a.parquet"}}, {"sidecar": None}]
    if form == "json":
        (log / name).write_text("\n".join(map(json.dumps, actions[:1])))
    else:
        pq.write_table(pa.Table.from_pylist(actions), log / name)
    check_log(str(log.parent))
    spoil(log / "_sidecars/a.parquet", lambda data: data[:100])
    assert f"{log}/_sidecars/a.parquet is damaged" in told(log)
    (log / "_sidecars/a.parquet").unlink()
    assert f"{log}/_sidecars/a.parquet is missing" in told(log)


def test_a_commit_that_is_cut_behind_a_line_has_fewer_files_than_noted(log: Path) -> None:
    table = DeltaTable(log.parent)
    sizes = pa.table(table.get_add_actions())["size_bytes"].to_pylist()
    noted = log / f"{5:020d}.crc"
    noted.write_text(json.dumps({"numFiles": 6, "tableSizeBytes": sum(sizes)}))
    check_counts(table)
    lines = (log / COMMIT.format(5)).read_text().splitlines()
    (log / COMMIT.format(5)).write_text("".join(line for line in lines if "commitInfo" in line))
    check_log(str(log.parent))
    with pytest.raises(DamagedFile, match=r"version 5 has 5 files with .* says 6 files"):
        check_counts(DeltaTable(log.parent))
    noted.write_text("")
    check_counts(DeltaTable(log.parent))
