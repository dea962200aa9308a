"""Where a Delta table is looked for: what stands there instead, and folders that may not be looked
into.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from batchinfer.config.sources import DeltaSource
from batchinfer.errors import InputError, InputMissing
from batchinfer.pipeline.slices.delta_opened import open_source

SOURCE = DeltaSource.model_validate({"kind": "delta", "path": "t", "key": "id"})


def test_a_name_that_nearly_is_one_is_asked_about(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    with pytest.raises(InputMissing, match="no such Delta table") as caught:
        open_source(str(tmp_path / "tabel"), SOURCE)
    assert caught.value.hint == "did you mean table?"


@pytest.mark.parametrize("call", ["lstat", "listdir"])
def test_a_folder_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (tmp_path / "t").mkdir()

    def refuse(path: Any, **_: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(
        InputError, match=r"/t cannot be read: .*: Permission denied; allowed: a folder"
    ) as caught:
        open_source(str(tmp_path / "t"), SOURCE)
    assert not isinstance(caught.value, InputMissing)
