"""`extract` of a Delta table: it is read in place, never copied. The contract is checked, the
version is recorded.

Order: contract, what changed, rows that belong to no slice into the quarantine, the register last,
in one commit.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batchinfer.command_reports import ExtractReport
from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.config.sources import DeltaSource
from batchinfer.config.types import spark_name
from batchinfer.errors import TooManyQuarantined
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.landing.delta_came_since import find_arrivals
from batchinfer.pipeline.landing.delta_contract import check_contract
from batchinfer.pipeline.landing.delta_unsliced import commit_unsliced, stage_unsliced
from batchinfer.pipeline.slices.delta_changes import Counts, FoundSlices, History, find_slices
from batchinfer.pipeline.slices.delta_opened import Opened, find_place, open_source
from batchinfer.pipeline.slices.delta_register import (
    Register,
    RegisteredSlice,
    read_register,
    write_register,
)

if TYPE_CHECKING:
    from batchinfer.spark.session import OpenSession


@dataclass(frozen=True)
class Recording:
    """What one extract found, and is to record.

    Attributes:
        register: as it is to be.
        changed: slices that are new, or whose rows changed; None among them: the rows that belong
            to no slice.
        files: how many files were looked at.
        warnings: what people should know.
    """

    register: Register
    changed: set[str | None]
    files: int
    warnings: tuple[str, ...] = ()

    @property
    def rows_landed(self) -> int:
        return sum(self.register.entries[name].rows for name in self.changed if name is not None)

    @property
    def rows_unsliced(self) -> int:
        return self.register.entries[None].rows if None in self.changed else 0


def extract_in_place(
    context: Context, source: DeltaSource, slice_: str | None, open_session: OpenSession
) -> ExtractReport:
    """Records which slices of a Delta table are new or changed, at which version.

    Runs on: driver; executors only where rows must be counted or quarantined.

    Raises:
        InputError: no such table or version, or columns that break the contract.
        TooManyQuarantined: more rows than allowed belong to no slice; nothing was recorded.
        SliceHeld: another extract of this pipeline is running.
    """
    from batchinfer.lake.orphans import hold_and_sweep
    from batchinfer.lake.storage import check_writable

    started = time.perf_counter()
    lake, tables = context.environment.lake, context.staged_tables
    check_writable(lake)
    # All slices are rows of one register: one extract at a time.
    with hold_and_sweep(lake, context.name, "extract *", context.run_id, tables) as swept:
        opened = open_source(
            find_place(context.environment, context.root, source, open_session), source
        )
        known = read_register(context.landed)
        warnings = check_contract(context.pipeline, source, opened, known)
        warnings += _went_back(source, opened, known)
        found = _find(context.run_id, source, opened, known, slice_, open_session)
        report = _record(context, opened, known, found, open_session)
    report.warnings = [*swept, *warnings, *found.warnings, *report.warnings]
    report.seconds = round(time.perf_counter() - started, 3)
    return report


def _went_back(source: DeltaSource, opened: Opened, known: Register | None) -> list[str]:
    """A table whose latest version is older than the one that was read last: RESTORE makes new
    versions, so it is another copy, or its log has lost commits.
    """
    options = source.options
    if known is None or options.version is not None or options.as_of is not None:
        return []
    if known.table_id != opened.id or opened.version >= known.version:
        return []
    return [
        f"{opened.place}: its latest version is {opened.version}, and the last extract read "
        f"version {known.version}: an older copy of the table was put there, or commits of its log "
        "are missing"
    ]


def _find(
    run_id: str,
    source: DeltaSource,
    opened: Opened,
    known: Register | None,
    slice_: str | None,
    open_session: OpenSession,
) -> Recording:
    rule = rule_text(source)
    columns = {name: spark_name(type_) for name, type_ in opened.fields.items()}
    register = Register(opened.place, opened.id, rule, columns, known.entries if known else {})
    same = known is not None and (known.place, known.table_id, known.rule) == (
        opened.place,
        opened.id,
        rule,
    )
    since = known.version if known is not None and same else None
    if slice_ is not None:
        return _find_day(run_id, source, opened, register, slice_, same)
    assert isinstance(source.slice, SliceColumn)
    return _find_slices(run_id, source.slice, opened, register, since, open_session)


def _find_slices(
    run_id: str,
    rule: SliceColumn,
    opened: Opened,
    register: Register,
    since: int | None,
    open_session: OpenSession,
) -> Recording:
    """Slices of a column; `since` is the version recorded, None where there is none to compare
    with.
    """
    history = None if since is None else History(opened, since)
    counts: Counts = {name: entry.rows for name, entry in register.entries.items()}
    found = find_slices(opened, rule, history, counts, open_session)
    warning = (
        f"{opened.place}: its log no longer tells what changed since version {since}: every "
        "slice counts as changed"
    )
    changed = _changed(register, found)
    entries = {
        name: _entry(
            run_id,
            opened,
            found.counts.get(name, 0),
            register.entries.get(name),
            name in changed,
        )
        for name in {*found.counts, *register.entries, None}
    }
    lost = since is not None and found.changed is None
    return Recording(
        replace(register, entries=entries), changed, found.files, (warning,) if lost else ()
    )


def _changed(register: Register, found: FoundSlices) -> set[str | None]:
    """Slices that are new, that changed, or that have no rows any more."""
    if found.changed is not None:
        return set(found.changed)
    had = {name for name, entry in register.entries.items() if entry.rows}
    return had | {name for name, count in found.counts.items() if count}


def _entry(
    run_id: str, opened: Opened, rows: int, former: RegisteredSlice | None, changed: bool
) -> RegisteredSlice:
    """A slice as it is recorded: at the version just read, whether it changed or not, so that
    VACUUM cannot outrun it.
    """
    if former is not None and not changed:
        return replace(former, version=opened.version, rows=rows, table_id=opened.id)
    return RegisteredSlice(
        opened.version,
        rows,
        opened.version,
        dt.datetime.now(dt.timezone.utc),
        run_id,
        opened.id,
    )


def _find_day(
    run_id: str,
    source: DeltaSource,
    opened: Opened,
    register: Register,
    slice_: str,
    same: bool,
) -> Recording:
    """A slice of a day: the whole table as it is now, or what came since the slice before; of a
    former table, nothing counts.
    """
    known = {
        name: entry
        for name, entry in register.entries.items()
        if same and entry.table_id == opened.id
    }
    if source.options.changes_since is not None:
        found = find_arrivals(opened, known, slice_)
        if found is None:
            return Recording(
                register,
                set(),
                0,
                (f"slice {slice_} is followed by later slices: it stays as it is",),
            )
        files, count, fresh = found
        entry = replace(_entry(run_id, opened, count, None, True), files=files)
    else:
        former = known.get(slice_)
        changes = None if former is None else History(opened, former.version).changes
        fresh = former is None or changes is None or bool(changes)
        files = opened.files
        entry = _entry(run_id, opened, opened.rows, former, fresh)
    entries = {**register.entries, slice_: entry}
    return Recording(replace(register, entries=entries), {slice_} if fresh else set(), len(files))


def rule_text(source: DeltaSource) -> str:
    """How slices are cut, as the register has it."""
    import json

    rule = source.slice if isinstance(source.slice, str) else source.slice.model_dump()
    return json.dumps({"slice": rule, "changes_since": source.options.changes_since})


def _record(
    context: Context,
    opened: Opened,
    known: Register | None,
    found: Recording,
    open_session: OpenSession,
) -> ExtractReport:
    report = ExtractReport(
        context.run_id, context.name, "landed", table=opened.place, quarantine=context.quarantine
    )
    report.version, report.files_read = opened.version, found.files
    report.rows_landed, report.rows_quarantined = found.rows_landed, found.rows_unsliced
    report.rows_in = report.rows_landed + report.rows_quarantined
    changed = {name for name in found.changed if name is not None}
    report.slices = sorted(changed)
    if None in found.changed:
        _quarantine_unsliced(context, opened, found, open_session)
    if known != found.register:
        write_register(context, found.register, changed)
    if not found.changed:
        report.status = "unchanged"
        report.warnings.append(f"nothing new: no slice changed up to version {opened.version}")
    elif report.rows_in == 0:
        report.warnings.append("the slices that changed have no rows now")
    return report


def _quarantine_unsliced(
    context: Context, opened: Opened, found: Recording, open_session: OpenSession
) -> None:
    """Rows that belong to no slice, into the quarantine; too many of them end the run."""
    rule = context.pipeline.source.slice
    assert isinstance(rule, SliceColumn)
    if not found.rows_unsliced:
        commit_unsliced(context, opened, [], published=True)
        return
    staged, reasons = stage_unsliced(context, opened, rule, open_session)
    count, total = sum(reasons.values()), opened.rows
    if count != found.rows_unsliced:
        raise RuntimeError(
            f"rows were lost: {found.rows_unsliced} belong to no slice, {count} quarantined"
        )
    allowed = context.pipeline.checks.max_quarantine_rate
    too_many = count / max(1, total) > allowed
    commit_unsliced(context, opened, staged, published=not too_many)
    if too_many:
        told = ", ".join(f"{reason} {number:,}" for reason, number in sorted(reasons.items()))
        refused = TooManyQuarantined(
            f"{opened.place}: {count:,} of {total:,} rows belong to no slice of {rule.column} "
            f"({told}): a rate of "
            f"{count / total:.4f}; allowed: checks.max_quarantine_rate {allowed}. Nothing was "
            "recorded; the rows are in "
            f"{context.quarantine} with published = false"
        )
        refused.facts = {"rows_in": total, "rows_quarantined": count}
        raise refused
