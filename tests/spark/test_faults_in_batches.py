"""A fault inside a batch, on a real executor: the table is that of an undisturbed run, less the row
to blame.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from spark.projects import SmallProject, csv_of

POISON = 40
# What happens is told by a file, so that the disturbed run and the other one score with the same
# bundle.
NET = """
import ctypes
import time
from pathlib import Path

import torch

FAULT = Path(__file__).with_name("fault")


class Net(torch.nn.Module):
    def __init__(self, features, outputs):
        super().__init__()
        self.layer = torch.nn.Linear(features, outputs)

    def forward(self, features):
        result = self.layer(features)
        fault = FAULT.read_text() if FAULT.exists() else "none"
        if fault == "memory" and len(features) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        poisoned = features[:, 0] > 5
        if fault != "none" and bool(poisoned.any()):
            if fault == "greedy":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            if fault == "raise":
                raise ValueError("this size is too large for me")
            if fault == "sleep":
                time.sleep(3600)
            if fault == "crash":
                ctypes.string_at(0)
            if fault == "nan":
                result = torch.where(poisoned[:, None], torch.nan, result)
        return result
"""


@pytest.fixture
def faulty(small: SmallProject) -> SmallProject:
    """Forty rows, one more of which the model may not like, and the predictions of all of them."""
    # A worker that has imported a module keeps it: each test has one of its own.
    module = f"faults_{small.root.name}"
    small.write(f"{module}.py", NET)
    small.edit("train:\n", f"train:\n  model: {{python: '{module}:Net'}}\n")
    small.edit("hidden: [4], ", "")
    small.write("in/b.csv", csv_of(range(0)) + f"{POISON},red,9999.0,no\n")
    small.overrides = ("model.batch={rows: 4, timeout_s: 3}",)
    small.extract()
    small.train()
    assert small.score().rows_scored == 41
    return small


def _rows(project: SmallProject) -> pa.Table:
    """The predictions, without what differs from run to run."""
    return project.table("predictions").drop_columns(["run_id", "scored_at"]).sort_by("id")


def _disturbed(project: SmallProject, fault: str) -> dict[str, Any]:
    before = _rows(project)
    Path(project.root / "fault").write_text(fault)
    report = project.score(force=True)
    assert report.rows_in == report.rows_scored + report.rows_reused + report.rows_quarantined == 41
    after = _rows(project)
    aside = (
        [row for row in project.table("quarantine").to_pylist() if row["stage"] == "score"]
        if report.rows_quarantined
        else []
    )
    left = [row["key"] for row in aside]
    assert left in ([], [f'{{"id":{POISON}}}'])
    expected = before.filter([id_ != POISON or not left for id_ in before["id"].to_pylist()])
    exact = [name for name in after.column_names if name != "score"]
    assert after.select(exact) == expected.select(exact)
    assert after["score"].to_pylist() == pytest.approx(
        expected["score"].to_pylist(), rel=1e-5, abs=1e-6
    )
    return aside[0] if aside else {}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", "model_error"),
        ("nan", "not_finite"),
        ("greedy", "out_of_memory"),
        ("sleep", "hang"),
        ("crash", "crash"),
    ],
)
def test_a_row_that_fells_a_model_costs_itself_alone(
    faulty: SmallProject, fault: str, reason: str
) -> None:
    aside = _disturbed(faulty, fault)
    assert (aside["reason"], aside["published"], aside["source_line"]) == (reason, True, 2)
    assert '"size":9999' in aside["raw"].decode()


def test_batches_that_memory_does_not_hold_are_split_and_no_row_is_lost(
    faulty: SmallProject,
) -> None:
    assert _disturbed(faulty, "memory") == {}
