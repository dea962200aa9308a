"""What Great Expectations offers is told from the record of one release, and of another from its
source.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchinfer.checks import known_expectations
from batchinfer.checks.known_expectations import expectation_arguments, expectation_names


def forget() -> None:
    for known in (known_expectations._recorded, expectation_names, expectation_arguments):
        known.cache_clear()


@pytest.fixture
def of_another_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"release": "0.1", "expectations": {"expect_nothing": {}}}))
    monkeypatch.setattr(known_expectations, "_RECORD", path)
    forget()
    yield
    forget()


def test_of_another_release_the_source_is_read(of_another_release: None) -> None:
    assert "expect_nothing" not in expectation_names()
    found = expectation_arguments("expect_column_mean_to_be_between")
    assert found.required == {"column"} and "strict_min" in found.allowed


def test_of_the_recorded_release_no_source_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    forget()
    monkeypatch.setattr(known_expectations.ast, "parse", None)
    found = expectation_arguments("expect_column_mean_to_be_between")
    assert found.required == {"column"} and "strict_min" in found.allowed
    with pytest.raises(KeyError):
        expectation_arguments("expect_nothing")
