"""A project whose rows have landed and whose model is registered: what `:predict` needs. Without
Spark.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from service.served_project import KEY, Served, new_project, post, rows, write_generation

from batchinfer.contracts import KEY_PROPERTY, SLICE
from batchinfer.lake import delta
from batchinfer.lake.ledger import slice_id
from batchinfer.lake.staging import StagedWriter

HANDLER = """\
import time
import pyarrow as pa
import batchinfer

class Halves(batchinfer.Handler):
    output = {"score": "double", "day": "date"}
    def encode(self, batch):
        return {"spend": batch.column("spend").to_pylist(), "day": batch.column("day").to_pylist()}
    def forward(self, tensors):
        # One who spends a million is thought about for as many seconds as the rest says.
        time.sleep(max([spend - 1e6 for spend in tensors["spend"] if spend and spend > 1e6] or [0]))
        return [(spend / 2, day) for spend, day in zip(tensors["spend"], tensors["day"])]
    def decode(self, output):
        return {
            "score": pa.array([one[0] for one in output], pa.float64()),
            "day": pa.array([one[1] for one in output], pa.date32()),
        }
"""
LANDED = pa.schema(
    [
        ("customer", pa.string()),
        ("order", pa.int64()),
        ("day", pa.date32()),
        ("spend", pa.float64()),
        (SLICE, pa.string()),
    ]
)
PATH = "/v1/predictions/churn:predict"
ROW: Mapping[str, Any] = {"customer": "new", "order": 1, "day": "2026-11-22", "spend": 8}
_STEPS = "prepare:\n  - deduplicate: {by: order}\n"


def scored_project(folder: Path) -> Path:
    """`churn` has rows of two slices and a model; `steps` has rows that need other rows, and that
    model; `bare` has neither rows nor a model.
    """
    project = new_project(folder, "churn", "steps", "bare")
    (project / "own_handlers.py").write_text(HANDLER)
    file = project / "conf/pipelines/steps.yaml"
    file.write_text(file.read_text().replace("model:", _STEPS + "model:"))
    land(project, "2026-11-20", 10, spend=1.0)
    land(project, "2026-11-21", 5, spend=100.0)
    write_generation(project, "churn", "g1", rows(10))
    for name in ("churn", "steps"):
        register(project, name)
    return project


def await_model(served: Served) -> None:
    """Asks a service of one worker until it has the model."""
    until = time.monotonic() + 60
    while post(served, PATH, json={"rows": [ROW]}).status_code == 503:
        assert time.monotonic() < until, "the model is never loaded"


def land(project: Path, slice_: str, count: int, spend: float) -> None:
    """Lands customers c0 to cN, who spend more the greater N is, as `extract` does."""
    place = str(project / "var" / "lake" / "landed" / "churn")
    day = dt.date.fromisoformat(slice_)
    told = [
        {"customer": f"c{n}", "order": n, "day": day, "spend": spend + n, SLICE: slice_}
        for n in range(count)
    ]
    batch = pa.RecordBatch.from_pylist(told, LANDED)
    delta.ensure_table(place, LANDED, [SLICE], configuration={KEY_PROPERTY: ",".join(KEY)})
    with StagedWriter(place, LANDED, [SLICE], KEY) as writer:
        writer.write(batch.drop_columns(SLICE), {SLICE: slice_})
        files = writer.close()
    delta.commit(place, files, transactions=lambda at: {slice_id(slice_): at})


def register(project: Path, name: str) -> None:
    """Registers the handler by the real command."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("BATCHINF")}
    command = [sys.executable, "-m", "batchinfer", "register", "-p", name]
    ended = subprocess.run(
        [*command, "--artifact", "own_handlers:Halves"],
        cwd=project, env=plain, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
