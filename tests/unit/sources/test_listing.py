"""Listing: patterns, names, links, roots, and what is said when nothing is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batchinfer.errors import ConfigError, InputError, InputMissing
from batchinfer.sources.listing import SourceFile, list_files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in [
        "in/b.csv",
        "in/a.csv",
        "in/2020/05/c.csv",
        "in/_tmp.csv",
        "in/.hid.csv",
        "in/_spark/x.csv",
        "in/odd[1].csv",
        "out/d.csv",
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def names(root: Path, *patterns: str) -> list[str]:
    return [file.name for file in list_files(patterns, root)]


def test_names_start_behind_the_last_folder_before_a_wildcard(tree: Path) -> None:
    assert names(tree, "in/a.csv") == ["a.csv"]
    assert names(tree, "in/*.csv") == ["a.csv", "b.csv", "odd[1].csv"]
    assert names(tree, "in") == ["2020/05/c.csv", "a.csv", "b.csv", "odd[1].csv"]
    assert names(tree, "in/**/*.csv") == ["2020/05/c.csv", "a.csv", "b.csv", "odd[1].csv"]
    assert names(tree, "in/20*/05/*.csv") == ["2020/05/c.csv"]
    assert names(tree, "in/20*") == ["2020/05/c.csv"]
    assert names(tree, "*/?.csv") == ["in/a.csv", "in/b.csv", "out/d.csv"]
    assert names(tree, "in/_t*.csv") == ["_tmp.csv"]
    assert names(tree, "in/odd[1].csv") == ["odd[1].csv"]
    assert names(tree / "in", "../out/d.csv", f"file://{tree}/in/a.csv") == ["a.csv", "d.csv"]
    assert names(tree, "in/*.csv", "in/a.csv") == ["a.csv", "b.csv", "odd[1].csv"]


def test_what_is_known_of_a_file(tree: Path) -> None:
    (file,) = list_files(["in/a.csv"], tree)
    status = os.stat(tree / "in/a.csv")
    assert file == SourceFile(str(tree / "in/a.csv"), "a.csv", status.st_size, status.st_mtime_ns)
    assert 0 <= file.fingerprint() < 2**63
    touched = SourceFile(file.path, file.name, file.size, file.mtime_ns + 1)
    assert touched.fingerprint() == file.fingerprint(), "the content is the same"
    content = (tree / "in/a.csv").read_bytes()
    before = file.fingerprint()
    (tree / "in/a.csv").write_bytes(bytes(reversed(content)))
    os.utime(file.path, ns=(file.mtime_ns, file.mtime_ns))
    assert list_files(["in/a.csv"], tree)[0].fingerprint() != before, (
        "other content under the same size and time"
    )
    (tree / "in/a.csv").write_bytes(bytes(reversed(content)) + b"x")
    with pytest.raises(InputError, match="changed while it was being read"):
        file.fingerprint()
    (changed,) = list_files(["in/a.csv"], tree)
    assert changed.fingerprint() != before
    large = SourceFile(file.path, file.name, 2**30, file.mtime_ns)
    assert (
        large.fingerprint()
        != SourceFile(file.path, file.name, 2**30, file.mtime_ns + 1).fingerprint()
    )


def test_nothing_there_says_where_it_looked_and_what_is_near(tree: Path) -> None:
    with pytest.raises(
        InputMissing, match=r"'in/a.cvs'.*holds 2020, _spark, _tmp.csv, a.csv, b.csv and 1 more"
    ) as caught:
        list_files(["in/a.cvs"], tree)
    assert caught.value.hint == "did you mean 'a.csv'?"
    assert caught.value.exit_code == 3
    with pytest.raises(InputMissing, match=f"'no/where/\\*.csv' in {tree}, which holds in, out"):
        list_files(["no/where/*.csv"], tree)
    with pytest.raises(InputMissing, match=r"'\*.json' in .*/in, which holds"):
        list_files(["in/*.json"], tree)
    (tree / "empty").mkdir()
    with pytest.raises(InputMissing, match="which holds nothing"):
        list_files(["empty"], tree)


def test_links_may_not_lead_out(tree: Path) -> None:
    (tree / "in/link.csv").symlink_to(tree / "in/a.csv")
    assert "link.csv" in names(tree, "in/*.csv")
    (tree / "in/out.csv").symlink_to(tree / "out/d.csv")
    with pytest.raises(InputError, match="leads out of"):
        list_files(["in/*.csv"], tree)
    assert names(tree, "in/out.csv") == ["out.csv"]
    (tree / "in/out.csv").unlink()
    (tree / "in/folder").symlink_to(tree / "out")
    for pattern in ("in", "in/*/*.csv", "in/**/*.csv"):
        with pytest.raises(InputError, match="leads out of"):
            list_files([pattern], tree)


def test_files_that_cannot_be_read(tree: Path) -> None:
    (tree / "in/loop.csv").symlink_to("loop.csv")
    with pytest.raises(InputError, match=r"loop.csv"):
        list_files(["in/l*.csv"], tree)
    (tree / "in/gone.txt").symlink_to("nothing.txt")
    with pytest.raises(InputError, match=r"gone.txt cannot be read"):
        list_files(["in/*.txt"], tree)
    os.mkfifo(tree / "pipe")
    with pytest.raises(InputError, match=r"not a regular file"):
        list_files(["pipe"], tree)


def test_roots(tree: Path) -> None:
    assert [file.name for file in list_files(["in/*.csv"], tree, ["in"])][:1] == ["a.csv"]
    for pattern in ("out/*.csv", "in/../out/d.csv"):
        with pytest.raises(ConfigError, match=r"outside source.roots"):
            list_files([pattern], tree, ["in"])
    (tree / "in/out.csv").symlink_to(tree / "out/d.csv")
    with pytest.raises(ConfigError, match=r"outside source.roots"):
        list_files(["in/out.csv"], tree, ["in"])


def test_one_name_is_one_file(tree: Path) -> None:
    (tree / "out/a.csv").write_text("other")
    with pytest.raises(InputError, match=r"two files would both be source_file 'a.csv'"):
        list_files(["in/*.csv", "out/*.csv"], tree)
    with pytest.raises(InputError, match="matched by two patterns"):
        list_files(["in/2020/*/*.csv", "in/2020/05/*.csv"], tree)


def test_other_schemes(tree: Path) -> None:
    with pytest.raises(ConfigError, match="allowed: a local path"):
        list_files(["s3://bucket/a.csv"], tree)


def test_signs_in_the_name_of_the_root_are_no_pattern(tmp_path: Path) -> None:
    root = tmp_path / "a[b]*"
    (root / "in").mkdir(parents=True)
    (root / "in/1.csv").write_text("x")
    assert [file.name for file in list_files(["in/*.csv"], root)] == ["1.csv"]
    assert [file.path for file in list_files(["../*/in/*.csv"], root)] == [str(root / "in/1.csv")]
    with pytest.raises(InputMissing, match=r"looked for '\*\.json' in .*a\[b\]\*/in"):
        list_files(["in/*.json"], root)
