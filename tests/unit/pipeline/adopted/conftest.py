"""A fixture that lands rows in a project of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from ..conftest import place_files
from .landed_rows import LandedRows


@pytest.fixture
def landed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LandedRows]:
    """Lands a table, with further lines of the pipeline file."""
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    place_files(monkeypatch, tmp_path / "sent")

    def land(rows: pa.Table, more: str = "", land: bool = True) -> LandedRows:
        return LandedRows(tmp_path, rows, more, land)

    return land
