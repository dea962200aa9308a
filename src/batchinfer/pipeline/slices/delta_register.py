"""The register of a Delta source: which slices it has, and at which version; the rows stay where
they are.

A small Delta table at `landed/<pipeline>`, one row a slice, rewritten whole by each `extract`. Its
application transactions `slice:<S>` hold the source's version at which the slice last changed, as
those of a landed table do. Reading it starts no JVM.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchinfer.contracts import RUN_ID, SLICE, SOURCE_TABLE, SOURCE_VERSION, DataFile, commented
from batchinfer.errors import InputError
from batchinfer.json_values import from_json, to_json
from batchinfer.lake.ledger import slice_id
from batchinfer.pipeline.definition.context import Context

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class RegisteredSlice:
    """One slice of a Delta source; the slice None is that of the rows that belong to none.

    Attributes:
        version: of the source, at which the slice is read.
        rows: that it has at this version.
        changed_at: version of the source at which the slice was last seen to have changed.
        recorded_at: when that was recorded.
        table_id: what tells the source that it is read from from another table in its place.
        files: the slice's files, where it holds only what came since the slice before; None: as the
            version has them.
    """

    version: int
    rows: int
    changed_at: int
    recorded_at: dt.datetime
    run_id: str
    table_id: str
    files: list[DataFile] | None = None


@dataclass(frozen=True)
class Register:
    """What the last `extract` recorded of a Delta source.

    Attributes:
        place: path or URI of the source's folder.
        table_id: of the source that was seen last; slices of days may be of one that lay there
            before.
        rule: how slices are cut, as text.
        columns: Spark SQL types of the source's columns, as last seen.
    """

    place: str
    table_id: str
    rule: str
    columns: Mapping[str, str]
    entries: Mapping[str | None, RegisteredSlice] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """The version of the source that was looked at last, where slices come from a column."""
        return max(entry.version for entry in self.entries.values())


def register_schema() -> pa.Schema:
    """Schema of the register."""
    import pyarrow as pa

    return pa.schema(
        [
            commented(
                SLICE,
                pa.string(),
                "The slice; null for the rows of the source that belong to none.",
            ),
            commented(
                SOURCE_TABLE, pa.string(), "Delta table that the slice is read from, in place."
            ),
            commented(
                SOURCE_VERSION,
                pa.int64(),
                "Delta version of that table at which the slice is read.",
            ),
            commented(
                "changed_at",
                pa.int64(),
                "Delta version of that table at which the slice was last seen to have changed.",
            ),
            commented("rows", pa.int64(), "Rows of the slice at that version."),
            commented(
                "recorded_at",
                pa.timestamp("us", tz="UTC"),
                "When its last change was recorded, UTC.",
            ),
            commented(RUN_ID, pa.string(), "The run that recorded its last change."),
            commented(
                "files",
                pa.string(),
                "Files of a slice that holds only what came since the slice before, as JSON.",
            ),
            commented("slice_rule", pa.string(), "How the source is cut into slices, as JSON."),
            commented(
                "table_id",
                pa.string(),
                "Id of the source table: another table in its place has another.",
            ),
            commented(
                "columns", pa.string(), "Columns of the source and their Spark SQL types, as JSON."
            ),
        ]
    )


def read_register(landed: str) -> Register | None:
    """What the last extract recorded; None: nothing yet.

    Runs on: driver, without Spark.

    Raises:
        StorageError: the register cannot be read.
    """
    from batchinfer.lake.delta import exists
    from batchinfer.lake.snapshots import open_table
    from batchinfer.lake.table_rows import read_table_rows

    if not exists(landed):
        return None
    _check_kind(landed)
    rows = read_table_rows(open_table(landed)).to_pylist()
    if not rows:
        return None
    entries = {
        row[SLICE]: RegisteredSlice(
            row[SOURCE_VERSION],
            row["rows"],
            row["changed_at"],
            row["recorded_at"],
            row[RUN_ID],
            row["table_id"],
            None if row["files"] is None else from_json(list[DataFile], row["files"]),
        )
        for row in rows
    }
    # What the source looks like is told by what was recorded last; the other rows may be older
    # slices.
    last = max(rows, key=lambda row: (row["recorded_at"], row[SOURCE_VERSION]))
    return Register(
        last[SOURCE_TABLE],
        last["table_id"],
        last["slice_rule"],
        json.loads(last["columns"]),
        entries,
    )


def _check_kind(table: str) -> None:
    from batchinfer.lake.delta import table_schema

    names = table_schema(table).names
    if not {"changed_at", "table_id"} <= set(names):
        raise InputError(
            f"{table} holds records that this pipeline landed from another kind of "
            "source; allowed with kind delta: a pipeline name that has not landed anything",
            hint="give the pipeline another name",
        )


def write_register(context: Context, register: Register, changed: set[str]) -> int:
    """Puts the register in place of the former one; the slices that changed are recorded with it,
    in the same commit.

    Runs on: driver.

    Raises:
        StorageError: the lake cannot be written.
    """
    from batchinfer.lake.delta import ensure_table
    from batchinfer.lake.small_tables import replace_all_rows

    schema = register_schema()
    ensure_table(
        context.landed,
        schema,
        (),
        f"Slices of the Delta table that pipeline {context.name} reads in place.",
        stats_columns=[SLICE],
    )
    return replace_all_rows(
        context.landed,
        schema,
        _rows(register),
        stats_columns=[SLICE],
        transactions={slice_id(name): register.entries[name].changed_at for name in changed},
        run_id=context.run_id,
        command="extract",
    )


def _rows(register: Register) -> list[dict[str, Any]]:
    common = {
        SOURCE_TABLE: register.place,
        "slice_rule": register.rule,
        "columns": json.dumps(dict(register.columns)),
    }
    return [
        {
            SLICE: name,
            SOURCE_VERSION: entry.version,
            "changed_at": entry.changed_at,
            "rows": entry.rows,
            "recorded_at": entry.recorded_at,
            RUN_ID: entry.run_id,
            "table_id": entry.table_id,
            "files": None if entry.files is None else to_json(entry.files),
            **common,
        }
        for name, entry in sorted(
            register.entries.items(), key=lambda item: (item[0] is not None, item[0] or "")
        )
    ]
