"""Hadoop's file systems on a local disk: listing by the rules of local files, copies, errors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchinfer.config.uris import Uri
from batchinfer.errors import ConfigError, InputError, InputMissing, StorageError
from batchinfer.pipeline.landing.remote_listing import RemoteFile, check_roots, list_remote
from batchinfer.sources.listing import list_files
from batchinfer.spark import hadoop
from batchinfer.spark.hadoop import Stop, Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NAMES = (
    "in/b.csv", "in/a.csv", "in/2020/05/c.csv", "in/2020/06/_x/d.csv", "in/2020/e.csv",
    "in/_tmp.csv", "in/.hid.csv",
    "in/_spark/x.csv",
    "in/odd[1].csv", "in/odd1.csv", "in/sp ace+%41ü.csv", "in/a:b.csv", "out/d.csv",
    "out/deep/a/b/c/f.csv",
)  # fmt: skip
PATTERNS = (
    "in/a.csv", "in/*.csv", "in", "in/**/*.csv", "in/20*/05/*.csv", "in/20*", "*/?.csv",
    "in/_t*.csv", "in/odd[1].csv",
    "in/odd[!2].csv",
    "**/c.csv", "**", "in/**", "*/**/f.csv", "out/**/b/**/*.csv", "in/.h*.csv", "in/*/*/*.csv",
    "in/2020/0[56]",
    "in/sp ace*", "in/a:b.csv",
)  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def listed(spark: SparkSession, *uris: str) -> list[RemoteFile]:
    return list_remote(uris, lambda uri: Store(spark, uri))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_names_the_same_files_as_on_a_local_disk(
    spark: SparkSession, tree: Path, pattern: str
) -> None:
    local = {file.name: (file.path, file.size) for file in list_files([pattern], tree)}
    found = listed(spark, f"file://{tree}/{pattern}")
    assert {file.name: (file.uri.path, file.entry.size) for file in found} == local
    assert [file.name for file in found] == sorted(local)


def test_a_fingerprint_changes_with_size_and_time_and_reads_nothing(
    spark: SparkSession, tree: Path
) -> None:
    path = tree / "in/a.csv"
    os.utime(path, ns=(10**18, 10**18))
    [first], [same] = listed(spark, f"file://{path}"), listed(spark, f"file://{tree}/in/a*.csv")[:1]
    assert first.fingerprint() == same.fingerprint()
    os.utime(path, ns=(10**18, 10**18 + 10**9))
    [touched] = listed(spark, f"file://{path}")
    path.write_text("longer than it was")
    os.utime(path, ns=(10**18, 10**18))
    [longer] = listed(spark, f"file://{path}")
    assert len({file.fingerprint() for file in (first, touched, longer)}) == 3


def test_nothing_there_says_where_it_looked_and_what_is_near(
    spark: SparkSession, tree: Path
) -> None:
    with pytest.raises(
        InputMissing, match=r"looked for 'a.cvs' in file://.*/in, which holds 2020, _spark, .* and "
    ) as caught:
        listed(spark, f"file://{tree}/in/a.cvs")
    assert caught.value.hint == "did you mean 'a.csv'?"
    with pytest.raises(
        InputMissing, match=r"looked for 'no/where/\*.csv' in file://.*, which holds in, out"
    ):
        listed(spark, f"file://{tree}/no/where/*.csv")
    (tree / "empty").mkdir()
    with pytest.raises(InputMissing, match="which holds nothing"):
        listed(spark, f"file://{tree}/empty")


def test_one_name_is_one_file(spark: SparkSession, tree: Path) -> None:
    (tree / "out/a.csv").write_text("other")
    with pytest.raises(InputError, match=r"two files would both be source_file 'a.csv'"):
        listed(spark, f"file://{tree}/in/*.csv", f"file://{tree}/out/*.csv")
    with pytest.raises(InputError, match="matched by two patterns"):
        listed(spark, f"file://{tree}/in/2020/*/*.csv", f"file://{tree}/in/2020/05/*.csv")


def test_roots() -> None:
    check_roots(["s3a://b/in/*.csv", "s3a://b/in"], ["/local", "s3a://b/in"])
    for outside in ("s3a://b/inner/x.csv", "s3a://b/*/x.csv", "s3a://c/in/x.csv"):
        with pytest.raises(ConfigError, match=r"outside source.roots; allowed: below s3a://b/in"):
            check_roots([outside], ["s3a://b/in"])


def test_a_copy_is_the_file(spark: SparkSession, tree: Path) -> None:
    (tree / "in/big.csv").write_bytes(os.urandom(3 * 2**20 + 7))
    for name in ("in/big.csv", "in/sp ace+%41ü.csv"):
        [file] = listed(spark, f"file://{tree}/{name}")
        target = tree / "copy"
        target.touch()
        _store(spark, file).copy(file.entry, target, Stop())
        assert target.read_bytes() == (tree / name).read_bytes()


def test_a_file_that_changed_or_went_since_it_was_listed_is_no_copy(
    spark: SparkSession, tree: Path
) -> None:
    target = tree / "copy"
    target.touch()
    for change in (
        lambda path: path.write_text("longer than it was"),
        lambda path: os.utime(path, (1, 1)),
    ):
        [file] = listed(spark, f"file://{tree}/in/a.csv")
        change(tree / "in/a.csv")
        with pytest.raises(
            InputError, match=r"in/a.csv changed while it was being copied: it had \d+ bytes"
        ):
            _store(spark, file).copy(file.entry, target, Stop())
    [file] = listed(spark, f"file://{tree}/in/a.csv")
    (tree / "in/a.csv").unlink()
    with pytest.raises(InputMissing, match=r"in/a.csv is gone since it was listed"):
        _store(spark, file).copy(file.entry, target, Stop())


def test_a_stopped_copy_ends(spark: SparkSession, tree: Path) -> None:
    target, stop = tree / "copy", Stop()
    target.touch()
    out = spark._jvm.java.io.FileOutputStream(str(target))
    with stop.holding(out):
        stop.now()
        with pytest.raises(Exception, match="Stream Closed"):
            out.write(1)
    late = spark._jvm.java.io.FileOutputStream(str(target))
    with stop.holding(late), pytest.raises(Exception, match="Stream Closed"):
        late.write(1)


def test_a_store_that_keeps_silent_is_not_waited_for(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr(hadoop, "ANSWER_WITHIN_S", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = Uri.parse(f"hdfs://127.0.0.1:{silent.getsockname()[1]}/x")
        with pytest.raises(StorageError, match=r"cannot be reached: no answer in 0.5 seconds"):
            Store(spark, uri).reach(uri.path)


@pytest.mark.parametrize(
    ("uri", "error", "said"),
    [
        ("gs://b/x", ConfigError, "no file system for gs://"),
        ("abfss://c@a.dfs.core.windows.net/x", ConfigError, "no file system for abfss://"),
        ("hdfs:///x", ConfigError, "Incomplete HDFS URI"),
        ("hdfs://127.0.0.1:1/x", StorageError, "ConnectException: Connection refused"),
        (
            "hdfs://no.such.host.invalid/x",
            StorageError,
            "UnknownHostException: no.such.host.invalid",
        ),
    ],
)
def test_what_is_said_of_stores_that_are_not_there(
    spark: SparkSession, uri: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        listed(spark, uri)


def _store(spark: SparkSession, file: RemoteFile) -> Store:
    store = Store(spark, file.uri)
    store.reach(file.uri.path)
    return store
