"""A place where no folder can ever be is a fault of the configuration; one that waiting may cure is
not.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batchinfer.errors import ConfigError, StorageError
from batchinfer.lake.storage import check_writable


@pytest.mark.parametrize("place", ["file", "file/lake", "x" * 256, "loop/lake"])
def test_a_place_that_can_never_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    with pytest.raises(ConfigError) as caught:
        check_writable(str(tmp_path / place))
    assert len(caught.value.problems) == 1
    assert str(tmp_path / place) in str(caught.value)
    assert "lake in conf/environments" in str(caught.value.hint)
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
def test_a_place_of_the_kernel() -> None:
    with pytest.raises((ConfigError, StorageError), match="/proc/lake"):
        check_writable("/proc/lake")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write")
def test_a_folder_of_others_may_be_opened_later(tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    folder.mkdir(mode=0o500)
    with pytest.raises(StorageError) as caught:
        check_writable(str(folder))
    assert f"ls -ld {folder}" in str(caught.value.hint)


def test_a_full_disk_is_worth_a_retry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import errno

    from batchinfer.lake import storage

    def full(root: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(root))

    monkeypatch.setattr(storage, "_probe", full)
    with pytest.raises(StorageError) as caught:
        check_writable(str(tmp_path))
    assert "No space left" in str(caught.value) and "df -h" in str(caught.value.hint)
