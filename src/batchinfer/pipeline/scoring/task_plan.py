"""What every task of one scoring run shares, as it travels to the executors."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from batchinfer.pipeline.scoring.task_result import Rates


@dataclass(frozen=True)
class ScoringPlan:
    """What every task of one run shares; travels as JSON.

    Attributes:
        columns: source columns to read: key, signature, and the record's place, in the order of the
            landed table.
        key: key columns with their Spark SQL types.
        inputs: columns that the fingerprint is made of, in the order of the signature.
        archive: name that the bundle travels under.
        max_weight: most that a batch weighs, padding counted; None: no limit, or the handler knows
            no weights.
        timeout_s: seconds after which a batch counts as hanging.
        threads: of one forward pass.
        max_failures: rows of one task after which it stops looking for single rows that fail.
        modules: folder that a module of the user's own is looked for in, besides PYTHONPATH.
        trust: `pickle` where the pipeline allows models that run code of their own when they are
            loaded.
        precision: what the model computes in.
        compile: compile the module.
        compiled: name that what earlier runs compiled travels under; empty: there is nothing.
        known_rates: of earlier runs of the bundle.
        row_progress: folder that tasks tell of their rows in, where they share the driver's
            machine.
        deduplicate: score equal rows of a batch once.
        removals: reasons that table transforms remove rows for, and what each says; the rows then
            come with a reason.
    """

    pipeline: str
    slice: str
    run_id: str
    predictions: str
    quarantine: str
    columns: tuple[str, ...]
    key: Mapping[str, str]
    inputs: tuple[str, ...]
    outputs: Mapping[str, str]
    model_name: str
    model_version: str
    bundle_digest: str
    archive: str
    source_table: str
    source_version: int
    scored_at_us: int
    device: str
    batch_rows: int | Literal["auto"]
    max_bytes: int
    max_weight: float | None
    timeout_s: float
    threads: int
    max_failures: int
    modules: str
    trust: Literal["none", "pickle"] = "none"
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    compile: bool = False
    compiled: str = ""
    known_rates: Rates = field(default_factory=Rates)
    removals: Mapping[str, str] = field(default_factory=dict)
    deduplicate: bool = True
    row_progress: str = ""


def now_us() -> int:
    """Microseconds since the epoch, UTC."""
    return int(dt.datetime.now(dt.UTC).timestamp() * 1e6)
