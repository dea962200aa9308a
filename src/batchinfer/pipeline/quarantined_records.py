"""`quarantine`: what stands in a pipeline's quarantine: how many records for each reason, and the
first of them. No JVM.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from batchinfer.contracts import RUN_ID, SLICE, SOURCE_FILE, SOURCE_LINE
from batchinfer.masking.hidden_words import HIDDEN
from batchinfer.masking.sensitive_columns import SensitiveColumns
from batchinfer.pipeline.damaged_files import remedies
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import check_slice

_EXAMPLES = 3
# Of a record as it was read: enough to know it by.
_SHOWN = 300


@dataclass(frozen=True)
class Example:
    """One record.

    Attributes:
        key, raw: `***` in place of sensitive values.
        raw: its beginning, where it is text; bytes that are none have U+FFFD in their place.
    """

    source_file: str | None
    source_line: int | None
    key: str | None
    message: str
    raw: str
    run_id: str


@dataclass(frozen=True)
class Reason:
    """Records of a slice that stand in quarantine for one reason.

    Attributes:
        slice: None where it could not be told.
        stage: where they failed: extract or score.
        published: the run that put them there landed or published the other rows.
        examples: the first by file and line.
    """

    slice: str | None
    stage: str
    reason: str
    published: bool
    records: int
    examples: tuple[Example, ...]


@dataclass
class QuarantineReport:
    """The fields of `quarantine`'s JSON line."""

    pipeline: str
    table: str
    slice: str | None
    reasons: list[Reason] = field(default_factory=list)

    @property
    def records(self) -> int:
        return sum(reason.records for reason in self.reasons)

    def to_json(self) -> dict[str, Any]:
        own = {} if self.slice is None else {"slice": self.slice}
        return {
            "pipeline": self.pipeline,
            "status": "ok",
            **own,
            "table": self.table,
            "records": self.records,
            "reasons": [asdict(reason) for reason in self.reasons],
        }


_Kind = tuple[str | None, str, str, bool]


def show_quarantined(context: Context, slice_: str | None = None) -> QuarantineReport:
    """The records in quarantine of a pipeline, or of one slice of it, by reason: the newest slice
    first, then the commonest reason.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: a name that no slice can have.
        DamagedFile, StorageError: the table cannot be read.
    """
    from batchinfer.lake.snapshots import exists

    report = QuarantineReport(context.name, context.quarantine, slice_)
    if slice_ is not None:
        check_slice(context.pipeline.source.slice, slice_)
    if not exists(context.quarantine):
        return report
    with remedies(context):
        counts, first = _read(context.quarantine, slice_, context.sensitive)
    report.reasons = [
        Reason(*kind, count, tuple(first[kind]))
        for kind, count in sorted(
            counts.items(), key=lambda each: (each[0][0] or "", each[1]), reverse=True
        )
    ]
    return report


def _read(
    table: str, slice_: str | None, sensitive: SensitiveColumns
) -> tuple[Counter[_Kind], dict[_Kind, list[Example]]]:
    """How many records there are of each kind, and the first few."""
    import pyarrow.dataset as ds

    from batchinfer.lake.snapshots import open_table
    from batchinfer.lake.table_rows import read_table_batches

    wanted = None if slice_ is None else ds.field(SLICE) == slice_
    own = [SLICE, "stage", "reason", "published"]
    told = [SOURCE_FILE, SOURCE_LINE, "key", "message", "raw", RUN_ID]
    counts: Counter[_Kind] = Counter()
    first: dict[_Kind, list[Example]] = {}
    for batch in read_table_batches(open_table(table), [*own, *told], wanted):
        kinds = list(zip(*(batch.column(name).to_pylist() for name in own), strict=True))
        counts.update(kinds)
        places: dict[_Kind, list[int]] = {}
        for row, kind in enumerate(kinds):
            places.setdefault(kind, []).append(row)
        for kind, rows in places.items():
            by_place = batch.select([SOURCE_FILE, SOURCE_LINE]).take(rows).to_pylist()
            order = sorted(range(len(rows)), key=lambda at: _place(**by_place[at]))[:_EXAMPLES]
            some = batch.select(told).take([rows[at] for at in order]).to_pylist()
            _, stage, *_ = kind
            examples = [_example(row, stage == "score", sensitive) for row in some]
            known = [*first.get(kind, ()), *examples]
            known.sort(key=lambda one: _place(one.source_file, one.source_line))
            first[kind] = known[:_EXAMPLES]
    return counts, first


def _place(source_file: str | None, source_line: int | None) -> tuple[str, int]:
    return source_file or "", source_line or 0


def _example(row: dict[str, Any], is_json: bool, sensitive: SensitiveColumns) -> Example:
    """What is shown of a record.

    Args:
        is_json: `raw` is a row as JSON; else a record as it was read.
    """
    raw, message, key = (
        bytes(row["raw"] or b"").decode(errors="replace"),
        row["message"],
        row["key"],
    )
    if sensitive:
        # Runs from before the columns were sensitive have masked nothing.
        message = sensitive.of_record(message)
        if is_json:
            message = sensitive.of_row(message, json.loads(raw))
        # Where the values stand in a record that could not be read, nobody knows.
        raw = sensitive.json_row(raw) if is_json else HIDDEN
        key = None if key is None else sensitive.json_row(key)
    shown = raw if len(raw) <= _SHOWN else f"{raw[:_SHOWN]}…"
    return Example(row[SOURCE_FILE], row[SOURCE_LINE], key, message, shown, row[RUN_ID])
