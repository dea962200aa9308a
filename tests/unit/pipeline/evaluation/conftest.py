"""A project of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from .published_tables import Told


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    return Told(tmp_path)
