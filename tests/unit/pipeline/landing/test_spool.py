"""The folder of copies: whose it is, what becomes of a dead run's, how errors name the files in
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from batchinfer.config.uris import Uri
from batchinfer.errors import ConfigError, InputError, StorageError
from batchinfer.pipeline.landing.remote_listing import RemoteFile
from batchinfer.pipeline.landing.spool import FileSpool
from batchinfer.spark.hadoop import Stop, StoreEntry


def context(staging: Path | str, run_id: str = "run-2") -> Any:
    return SimpleNamespace(
        environment=SimpleNamespace(staging=str(staging)), name="small", run_id=run_id
    )


@dataclass
class Drive:
    """A store whose files are what the test says; an error in place of a content is raised."""

    contents: dict[str, bytes | Exception]

    def copy(self, listed: StoreEntry, target: Path, stop: Stop) -> None:
        content = self.contents[listed.path]
        if isinstance(content, Exception):
            raise content
        target.write_bytes(content)


def listed(name: str, size: int = 3) -> RemoteFile:
    uri = Uri.parse(f"s3a://bucket/in/{name}")
    return RemoteFile(uri, name, StoreEntry(uri.path, False, size, "tag 1"))


def test_copies_keep_their_names_whatever_the_keys_are(tmp_path: Path) -> None:
    names = ["2026/a.csv.gz", "x" * 900 + ".csv", "odd name+ü.csv", "no suffix", "a.b/c"]
    drive = Drive(
        {listed(name).entry.path: f"{number:03d}".encode() for number, name in enumerate(names)}
    )
    spool = FileSpool.open(context(tmp_path))
    copies = spool.fetch([listed(name) for name in names], lambda _: drive)
    assert [copy.name for copy in copies] == names
    assert [Path(copy.path).read_bytes() for copy in copies] == [
        b"000",
        b"001",
        b"002",
        b"003",
        b"004",
    ]
    assert [Path(copy.path).name for copy in copies] == [
        "000000.csv.gz",
        "000001.csv",
        "000002.csv",
        "000003",
        "000004",
    ]
    assert {Path(copy.path).parent for copy in copies} == {tmp_path / "spool/small/run-2"}
    spool.remove()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_first_error_ends_all_copies(tmp_path: Path) -> None:
    drive = Drive({listed(f"{number}.csv").entry.path: b"abc" for number in range(100)})
    drive.contents["/in/7.csv"] = InputError(
        "s3a://bucket/in/7.csv changed while it was being copied"
    )
    spool = FileSpool.open(context(tmp_path))
    with pytest.raises(InputError, match=r"in/7.csv changed"):
        spool.fetch([listed(f"{number}.csv") for number in range(100)], lambda _: drive)
    spool.remove()
    assert not spool.folder.exists()


def test_a_dead_runs_copies_are_removed_and_a_living_ones_stay(tmp_path: Path) -> None:
    parent = tmp_path / "spool/small"
    (parent / "dead").mkdir(parents=True)
    (parent / "dead/000000.csv").write_bytes(b"abc")
    (parent / "dead.lock").touch()
    living = FileSpool.open(context(tmp_path, "living"))
    assert not (parent / "dead").exists() and not (parent / "dead.lock").exists()
    other = FileSpool.open(context(tmp_path, "other"))
    assert living.folder.is_dir() and other.folder.is_dir()
    living.remove()
    other.remove()


def test_errors_name_the_uri(tmp_path: Path) -> None:
    spool = FileSpool.open(context(tmp_path))
    [copy] = spool.fetch([listed("a.csv.gz")], lambda _: Drive({"/in/a.csv.gz": b"abc"}))
    with pytest.raises(InputError) as caught, spool.told_by_uri():
        raise InputError([f"{copy.path} is cut short", "another"], hint="a hint")
    assert caught.value.problems == ("s3a://bucket/in/a.csv.gz is cut short", "another")
    assert str(caught.value) == "s3a://bucket/in/a.csv.gz is cut short\nanother"
    assert caught.value.hint == "a hint"
    spool.remove()


def test_staging_has_to_be_a_folder_with_room(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"staging: got s3a://bucket/staging; allowed .* a folder"
    ):
        FileSpool.open(context("s3a://bucket/staging"))
    spool = FileSpool.open(context(tmp_path))
    with pytest.raises(StorageError, match=r"s3a://bucket/in/big.csv, do not fit into"):
        spool.fetch([listed("big.csv", 2**60)], lambda _: Drive({}))
    spool.remove()
