"""What has landed of a pipeline: the slices of its landed table, or of the Delta table that it
reads in place. No JVM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from batchinfer.config.pipeline import Pipeline
from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.contracts import SLICE
from batchinfer.errors import InputError, InputMissing, StorageError, TableTooNew
from batchinfer.lake.ledger import landed_slices, slices_of
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import check_slice
from batchinfer.pipeline.definition.table_steps import reads_history
from batchinfer.pipeline.slices.landed_rule import check_landed_rule
from batchinfer.pipeline.slices.slice_data import LandedSlice, SliceData

if TYPE_CHECKING:
    from batchinfer.pipeline.slices.delta_opened import Opened
    from batchinfer.pipeline.slices.delta_register import Register, RegisteredSlice


def read_landed(context: Context) -> dict[str, LandedSlice]:
    """Every slice that has landed, by name.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: they were cut by another rule than that of the pipeline file.
    """
    landed = _read_each(context)
    return _with_history(landed) if reads_history(context.pipeline) else landed


def _with_history(landed: Mapping[str, LandedSlice]) -> dict[str, LandedSlice]:
    """The slices, each changed when it or one before it last changed: its rows look back into
    those.
    """
    found: dict[str, LandedSlice] = {}
    changed_at, recorded_at = -1, None
    for name, slice_ in sorted(landed.items()):
        changed_at = max(changed_at, slice_.changed_at)
        recorded_at = max(
            (moment for moment in (recorded_at, slice_.recorded_at) if moment is not None),
            default=None,
        )
        found[name] = LandedSlice(slice_.rows, changed_at, recorded_at)
    return found


def _before(
    pipeline: Pipeline, landed: Iterable[str], names: Sequence[str] | None
) -> tuple[str, ...]:
    """The landed slices that sort before the last of those named, and that steps look back into."""
    if not names or not reads_history(pipeline):
        return ()
    return tuple(sorted(name for name in landed if name < max(names) and name not in names))


def _read_each(context: Context) -> dict[str, LandedSlice]:
    from batchinfer.lake.delta import snapshot_files

    landed = read_landed_slices(context)
    if context.pipeline.source.is_in_place:
        from batchinfer.pipeline.slices.delta_register import read_register

        register = read_register(context.landed)
        entries = {
            name: entry
            for name, entry in (register.entries if register else {}).items()
            if name is not None
        }
        return {
            name: LandedSlice(entry.rows, entry.changed_at, entry.recorded_at)
            for name, entry in entries.items()
        }
    rows: dict[str | None, int] = {}
    for file in snapshot_files(context.landed) if landed else []:
        rows[file.partition[SLICE]] = rows.get(file.partition[SLICE], 0) + file.known_rows
    return {name: LandedSlice(rows.get(name, 0), version) for name, version in landed.items()}


def read_data(context: Context, names: Sequence[str] | None) -> SliceData:
    """The files and rows of slices that have landed; None: of everything that has.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: what has landed was cut by another rule than that of the pipeline file.
        InputMissing: nothing has landed.
        InputError: the version of a table that is read in place is gone.
    """
    if context.pipeline.source.is_in_place:
        return _read_in_place(context, names)
    from batchinfer.lake.snapshots import exists, open_table, table_files

    if not exists(context.landed):
        raise _nothing(context)
    landed = read_landed_slices(context)
    table = open_table(context.landed)
    version = table.version()
    files = [file for file in table_files(table) if names is None or file.partition[SLICE] in names]
    history = _before(context.pipeline, landed, names)
    changed_at = max(
        (landed[name] for name in (*names, *history)) if names else landed.values(), default=version
    )
    rows = sum(file.known_rows for file in files)
    return SliceData(
        context.landed, tuple(names or ()), files, version, changed_at, rows, history=history
    )


def _nothing(context: Context) -> InputMissing:
    return InputMissing(
        f"{context.landed}: nothing has landed; allowed: extract first",
        hint=context.extract_command(),
    )


def _read_in_place(context: Context, names: Sequence[str] | None) -> SliceData:
    from batchinfer.pipeline.slices.delta_register import read_register

    register = read_register(context.landed)
    if register is None:
        raise _nothing(context)
    rule = context.pipeline.source.slice
    if isinstance(rule, SliceColumn):
        wanted = (
            tuple(name for name in register.entries if name is not None)
            if names is None
            else tuple(names)
        )
        return _of_column(context, register, rule, wanted)
    return _of_days(context, register, names)


def _of_column(
    context: Context, register: Register, rule: SliceColumn, names: tuple[str, ...]
) -> SliceData:
    from batchinfer.pipeline.slices.delta_changes import files_of_slices

    entries = {name: register.entries[name] for name in names}
    opened = _open(context, register, register.version, entries)
    history = _before(
        context.pipeline, (name for name in register.entries if name is not None), names
    )
    seen = [*entries.values(), *(register.entries[name] for name in history)]
    return SliceData(
        register.place,
        names,
        files_of_slices(opened, rule, names),
        opened.version,
        max((entry.changed_at for entry in seen), default=opened.version),
        sum(entry.rows for entry in entries.values()),
        max((entry.recorded_at for entry in seen), default=None),
        register.columns,
        opened.rules,
        rule,
        history=history,
    )


def _of_days(context: Context, register: Register, names: Sequence[str] | None) -> SliceData:
    """Each slice is the whole table as it was that day, or the files that came since the day
    before.
    """
    known = sorted(name for name in register.entries if name is not None)
    entries = {name: register.entries[name] for name in (known if names is None else names)}
    if names is None and all(entry.files is None for entry in entries.values()):
        entries = {known[-1]: register.entries[known[-1]]}
    if len(entries) > 1 and any(entry.files is None for entry in entries.values()):
        raise InputError(
            f"slices {', '.join(entries)} of pipeline {context.name} are each the whole of "
            f"{register.place}; allowed: one of them"
        )
    newest = max(entries.values(), key=lambda entry: entry.version)
    opened = _open(context, register, newest.version, entries)
    files = (
        opened.files
        if newest.files is None
        else [file for entry in entries.values() for file in entry.files or ()]
    )
    return SliceData(
        register.place,
        tuple(entries),
        files,
        newest.version,
        newest.changed_at,
        sum(entry.rows for entry in entries.values()),
        newest.recorded_at,
        register.columns,
        opened.rules,
        only_files=newest.files is not None,
        days={file.path: name for name, entry in entries.items() for file in entry.files or ()},
    )


def _open(
    context: Context, register: Register, version: int, entries: Mapping[str, RegisteredSlice]
) -> Opened:
    """The table at a version, if it is the one that these slices were recorded of, and whole."""
    from batchinfer.lake.log_damage import check_counts, check_log
    from batchinfer.lake.snapshots import exists, open_table
    from batchinfer.pipeline.slices.delta_opened import Opened

    if not exists(register.place):
        raise InputMissing(
            f"{register.place}: the Delta table that pipeline {context.name} reads is no longer "
            "there"
        )
    try:
        opened = Opened(register.place, open_table(register.place, version))
        check_log(register.place, version)
        check_counts(opened.table)
    except TableTooNew:
        raise
    except StorageError as error:
        check_log(register.place)
        raise InputError(
            f"{register.place}: version {version}, which was recorded, can no longer be read: "
            f"{'; '.join(error.problems)}",
            hint=context.extract_command(),
        ) from error
    if gone := [name for name, entry in entries.items() if entry.table_id != opened.id]:
        raise InputError(
            f"{register.place}: another table lies there now; of the one before it were recorded: "
            f"{', '.join(gone)}; allowed: slices of the table that is there",
            hint=context.extract_command()
            if isinstance(context.pipeline.source.slice, SliceColumn)
            else None,
        )
    return opened


def read_slices(table: str) -> dict[str, int]:
    """Every slice that a landed or predictions table has ever had, and the version that last
    changed it; no table, no slices.

    Runs on: driver, without Spark.
    """
    from batchinfer.lake.delta import exists

    found = landed_slices(table) if exists(table) else {}
    return {name: version for name, version in found.items() if name is not None}


def read_landed_slices(context: Context) -> dict[str, int]:
    """Every slice that has ever landed of a pipeline, and the version that last changed it; no
    table, no slices.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: they were cut by another rule than that of the pipeline file.
    """
    from batchinfer.lake.delta import exists
    from batchinfer.lake.log import read_transactions

    known = read_transactions(context.landed) if exists(context.landed) else {}
    check_landed_rule(context, known)
    return {name: version for name, version in slices_of(known).items() if name is not None}


def find_slice(context: Context, slice_: str) -> SliceData:
    """The landed slice as it is now.

    Raises:
        ConfigError: a name that no slice can have, or slices that were cut by another rule.
        InputMissing: nothing has landed for it (exit 3); says which slices there are.
    """
    rule = context.pipeline.source.slice
    check_slice(rule, slice_)
    landed = read_landed_slices(context)
    if slice_ not in landed:
        some = ", ".join(sorted(landed)[-5:]) or "none"
        raise InputMissing(
            f"slice {slice_} of pipeline {context.name} has never landed in {context.landed}; "
            f"landed: {some}",
            hint=context.extract_command(slice_),
        )
    return read_data(context, [slice_])
