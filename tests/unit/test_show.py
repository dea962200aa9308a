"""Numbers in tables, as people read them."""

from __future__ import annotations

import pytest

from batchinfer.report.safe_text import bytes_told
from batchinfer.show import show_plan


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 B"), (812, "812 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (64 * 2**20, "64.0 MiB"),
        (2**20 - 1, "1.0 MiB"), (5 * 2**30 // 2, "2.5 GiB"), (3 * 2**42, "12,288.0 GiB"),
    ],
)  # fmt: skip
def test_sizes(count: int, told: str) -> None:
    assert bytes_told(count) == told


def test_values_are_told_by_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    plan = {
        "pipeline": "p", "slice": "s", "problems": [], "rows": 1234567, "bytes": 3 * 2**20,
        "estimated_s": 12345.678, "memory_needed": 2**31, "workers": 2, "share": 0.123456,
    }  # fmt: skip
    assert show_plan(plan) is plan
    shown = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().err.splitlines()[3:]
             if line.strip()}  # fmt: skip
    assert shown["rows"] == ["1,234,567"] and shown["bytes"] == ["3.0", "MiB"]
    assert shown["estimated_s"] == ["3", "h", "26", "min"]
    assert shown["memory_needed"] == ["2.0", "GiB"] and shown["share"] == ["0.1235"]
