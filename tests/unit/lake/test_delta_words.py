"""What deltalake says of a broken table is told in words, with what helps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from batchinfer.errors import StorageError
from batchinfer.lake.delta_words import delta_words
from batchinfer.lake.snapshots import exists, open_table, snapshot_files

COMMIT = "{:020d}.json"
OF_RUST = ("Kernel error", "Generic", "Url {", "Os {", "ParsedLogPath", "Error:")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    for number in range(4):
        write_deltalake(tmp_path / "table", pa.table({"a": [number]}), mode="append")
    return tmp_path / "table" / "_delta_log"


def protocol(log: Path, action: dict[str, object]) -> None:
    (log / COMMIT.format(4)).write_text(json.dumps(action) + "\n")


def cut_checkpoint(log: Path) -> None:
    DeltaTable(log.parent).create_checkpoint()
    [file] = log.glob("*.checkpoint.parquet")
    file.write_bytes(file.read_bytes()[:100])


def feature(log: Path) -> None:
    names = {"readerFeatures": ["catFeature"], "writerFeatures": ["catFeature"]}
    protocol(log, {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **names}})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda log: (log / COMMIT.format(2)).unlink(), "commits between 1 and 3 are missing"),
        (lambda log: (log / COMMIT.format(0)).unlink(), "its first commits are missing"),
        (lambda log: [file.unlink() for file in log.glob("*.json")], "its log holds no commit"),
        (lambda log: (log / COMMIT.format(1)).write_text("{x"), "is damaged: it is no JSON"),
        (cut_checkpoint, "is damaged: it is no whole Parquet file"),
        (feature, "the feature catFeature of Delta, which is not known here"),
        (
            lambda log: protocol(log, {"protocol": {"minReaderVersion": 9, "minWriterVersion": 9}}),
            "version 9 of Delta's reader protocol",
        ),
    ],
)
def test_a_table_that_cannot_be_read(
    log: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(log)
    with pytest.raises(StorageError) as caught:
        snapshot_files(str(log.parent))
    assert words in str(caught.value) and caught.value.hint
    assert not any(one in str(caught.value) for one in OF_RUST)


def test_a_version_that_is_not_there(log: Path) -> None:
    with pytest.raises(StorageError, match="cannot open version 99 of the Delta table: its newest"):
        open_table(str(log.parent), 99)


def test_a_file_where_a_table_should_be(tmp_path: Path) -> None:
    """Here it is deltalake's file system that speaks, and no DeltaError."""
    (tmp_path / "table").write_text("")
    with pytest.raises(StorageError) as caught:
        exists(str(tmp_path / "table"))
    place = tmp_path / "table"
    assert str(caught.value) == f"{place}: cannot look for a Delta table: Not a directory"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Generic LocalFileSystem error: Unable to write: Os { code: 28, kind: StorageFull, "
            'message: "No space left on device" }',
            "No space left on device",
        ),
        ("Transaction failed: Concurrent Append", "another writer committed at the same moment"),
        ("Kernel error: Generic delta kernel error: something new", "something new"),
        ("Kernel error: a Thing { b: Other { c: 1 } } is odd", "a … is odd"),
        ("Kernel error: ", "Kernel error: "),
    ],
)
def test_what_is_not_known_is_shown_without_the_words_of_its_layers(text: str, words: str) -> None:
    assert delta_words(text)[0] == words
