"""What the tasks of one source have staged: counted, judged, then committed.

Order of commits: the quarantine first, the landed table last, each one atomic. Which files have
been landed is recorded in the landed table's own commit, so a crash between two steps can neither
land a file twice nor lose one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchinfer.command_reports import ExtractReport
from batchinfer.config.types import spark_name
from batchinfer.contracts import RESCUED, SLICE, SOURCE_FILE, SOURCE_LINE, commented
from batchinfer.errors import TooManyQuarantined
from batchinfer.lake.ledger import file_transactions, mark_transactions, size_transactions, slice_id
from batchinfer.pipeline.definition.quarantine_rate import is_too_many, shows_quarantine, told_rate
from batchinfer.pipeline.definition.small_runs import workplace_opener
from batchinfer.pipeline.definition.table_steps import mends_keys
from batchinfer.pipeline.landing.increment import Landing, NewRecords, StagedRecords
from batchinfer.pipeline.landing.landing_task import LandingPlan, LandingResult, landed_stats
from batchinfer.pipeline.landing.missing_columns import check_json_keys
from batchinfer.pipeline.landing.new_keys import check_new_keys
from batchinfer.pipeline.landing.slice_anew import check_rows
from batchinfer.pipeline.slices.landed_rule import rule_transactions
from batchinfer.pipeline.slices.staged_rows import StagedRows
from batchinfer.report.terminal import step

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.spark.session import OpenSession


@dataclass
class Staged(StagedRows):
    """What the tasks of one extraction staged and counted.

    Attributes:
        elsewhere: rows of other slices than the one that is landed anew.
    """

    rows: Counter[str] = field(default_factory=Counter)
    blank_lines: int = 0
    without_items: int = 0
    replaced: int = 0
    elsewhere: int = 0
    cut: int = 0
    results: list[LandingResult] = field(default_factory=list)

    @classmethod
    def of(cls, results: Sequence[LandingResult]) -> Staged:
        staged = cls()
        for result in results:
            staged._add(result)
        return staged

    @property
    def rows_landed(self) -> int:
        return sum(self.rows.values())

    def _add(self, result: LandingResult) -> None:
        self.add_counts(result)
        self.results.append(result)
        self.rows.update(result.rows)
        self.blank_lines += result.blank_lines
        self.without_items += result.without_items
        self.replaced += result.replaced
        self.elsewhere += result.elsewhere
        self.cut += result.cut

    def warnings(self, files: Sequence[str]) -> list[str]:
        """What people should know of the rows.

        Args:
            files: names of those that were read.
        """
        told: list[str] = []
        if self.replaced:
            told.append(
                f"{_counted(self.replaced, 'value')} of the log with bytes that are not UTF-8: "
                "U+FFFD stands for these; unescape: false lands values as the server wrote them"
            )
        if self.cut:
            told.append(
                f"{_counted(self.cut, 'time')} with parts of a microsecond, which Delta does not "
                "hold: these are cut off"
            )
        if self.without_items:
            told.append(
                f"{_counted(self.without_items, 'record')} gave no row: the list that "
                "source.options.explode names is missing or empty there"
            )
        elif self.rows_in == 0:
            told.append(f"all input files are empty: {', '.join(files[:3])}")
        return told


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def landing_plan(landing: Landing, new: NewRecords) -> LandingPlan:
    """What the tasks that stage new records are told."""
    context = landing.context
    return LandingPlan(
        source=landing.source,
        fields={name: spark_name(type_) for name, type_ in new.fields.items()},
        landed=landing.table,
        quarantine=context.quarantine,
        pipeline=context.name,
        run_id=context.run_id,
        ingest_slice=landing.ingest_slice,
        landed_until=new.landed_until,
        only=landing.anew,
        sensitive=tuple(sorted(context.sensitive.names)),
    )


def land_staged(
    landing: Landing, read: StagedRecords, open_session: OpenSession, report: ExtractReport
) -> None:
    """Judges what was staged, and commits it; where that may not be, what was staged goes.

    Args:
        report: gets what was counted.

    Raises:
        InputError: keys that repeat, or that the contract of the columns does not allow.
        TooManyQuarantined: nothing was landed; the quarantine is written with published=false.
    """
    from batchinfer.lake.staged_files import remove_staged

    new, staged = read.records, Staged.of(read.results)
    report.files_read = len(new.fingerprints)
    report.rows_in, report.rows_quarantined, report.blank_lines = (
        staged.rows_in - staged.elsewhere,
        staged.rows_quarantined,
        staged.blank_lines,
    )
    report.stage_seconds = {stage: round(seconds, 3) for stage, seconds in staged.seconds.items()}
    try:
        _check_counts(staged)
        if landing.anew is not None:
            report.warnings += check_rows(landing, staged.rows_landed)
        report.warnings += check_json_keys(landing, staged.results)
        report.warnings += check_new_keys(landing, staged.results)
        _check_rate(landing, staged, new)
        _check_keys(landing, staged, new, open_session)
        report.warnings += _changed_columns(landing, new)
        with step(f"landing {staged.rows_landed:,} rows"):
            report.version = _commit(landing, staged, new)
    except BaseException:
        remove_staged(landing.table, staged.files)
        remove_staged(landing.context.quarantine, staged.quarantine)
        raise
    report.rows_landed = staged.rows_landed
    own = landing.anew or landing.ingest_slice
    report.slices = sorted(staged.rows) or ([own] if own else [])
    report.warnings += staged.warnings(list(new.fingerprints))


def _changed_columns(landing: Landing, new: NewRecords) -> list[str]:
    """What is to be told of columns that only the landed table has, or only what lands now."""
    from batchinfer.lake.delta import exists
    from batchinfer.pipeline.slices.table_columns import table_fields

    if not exists(landing.table):
        return []
    landed = table_fields(landing.table)
    added = [
        f"{name} {spark_name(type_)}" for name, type_ in new.fields.items() if name not in landed
    ]
    gone = [name for name in landed if name not in new.fields]
    return [
        *(
            [f"new in the landed table, and null in what landed before: {', '.join(added)}"]
            if added
            else []
        ),
        *([f"landed before, and null in what lands now: {', '.join(gone)}"] if gone else []),
    ]


def _check_counts(staged: Staged) -> None:
    if staged.rows_in != staged.rows_landed + staged.rows_quarantined + staged.elsewhere:
        raise RuntimeError(
            f"rows were lost: {staged.rows_in} in, {staged.rows_landed} landed, "
            f"{staged.rows_quarantined} quarantined, {staged.elsewhere} of other slices"
        )


def _check_rate(landing: Landing, staged: Staged, new: NewRecords) -> None:
    allowed = landing.context.pipeline.checks.max_quarantine_rate
    failed, of = staged.rows_quarantined, staged.rows_in
    if not is_too_many(failed, of, allowed):
        return
    _commit_quarantine(landing, staged, new, published=False)
    reasons = dict(staged.reasons.most_common())
    refused = TooManyQuarantined(
        f"{told_rate(failed, of, allowed, reasons, 'records cannot be landed')} "
        f"{_first_bad(landing)}Nothing was landed; the records are in {landing.context.quarantine} "
        "with published = false",
        shows_quarantine(landing.context.asked, landing.anew or landing.ingest_slice),
    )
    refused.facts = {"rows_in": of, "rows_quarantined": failed}
    raise refused


def _first_bad(landing: Landing) -> str:
    from batchinfer.lake.quarantine import first_record

    record = first_record(landing.context.quarantine, landing.context.run_id)
    return (
        f"First: {record['source_file']}:{record['source_line']}: {record['message']}. "
        if record
        else ""
    )


def _check_keys(
    landing: Landing, staged: Staged, new: NewRecords, open_session: OpenSession
) -> None:
    """Duplicate keys inside a slice end the run, whether they come together or with rows that
    landed before.

    A key of file and line cannot repeat where these number the records. Where a
    step of `prepare` leaves one row a key, repeated keys may land.
    """
    from batchinfer.lake.delta import exists, snapshot_files
    from batchinfer.pipeline.slices.duplicate_keys import raise_duplicates

    source = landing.source
    by_line = source.numbers_records and set(source.key) >= {SOURCE_FILE, SOURCE_LINE}
    if (
        source.unique == "assumed"
        or by_line
        or mends_keys(landing.context.pipeline)
        or not staged.files
    ):
        return
    landed = snapshot_files(landing.table) if exists(landing.table) else []
    former = [file for file in landed if file.partition[SLICE] in staged.rows]
    if new.replaces_keys or landing.anew is not None:
        former = []  # whatever has such a key goes
    before = [(file.partition[SLICE], file.path) for file in former]
    coming = [(file.partition[SLICE], file.path) for file in staged.files]
    hint = new.repeats_hint
    if hint is None and source.numbers_records:
        hint = (
            f"key: [{SOURCE_FILE}, {SOURCE_LINE}] in the source tells all records of files apart; "
            "or choose other columns for it, remove the duplicates, or say source.unique: assumed "
            "to skip this check"
        )
    compared = (*former, *staged.files)
    size, rows = sum(file.size for file in compared), sum(file.rows or 0 for file in compared)
    open_workplace = workplace_opener(landing.context.environment, open_session, size, rows)
    raise_duplicates(
        open_workplace, landing.table, before, coming, source.key, new.replaced, hint,
        landing.context.sensitive,
    )  # fmt: skip


def _commit_quarantine(landing: Landing, staged: Staged, new: NewRecords, published: bool) -> None:
    from batchinfer.lake.quarantine import commit_extract_quarantine

    commit_extract_quarantine(
        landing.context.quarantine,
        staged.quarantine,
        scope=landing.quarantine_scope,
        slice=landing.scope_slice,
        published=published,
        files=dict(new.fingerprints),
        replaced=[*new.replaced, *new.retried],
        anew=landing.anew is not None,
    )


def _commit(landing: Landing, staged: Staged, new: NewRecords) -> int:
    """The quarantine, then the landed rows together with the record of each file and each slice
    that changed.
    """
    import pyarrow as pa

    from batchinfer.lake.delta import commit, ensure_table

    _commit_quarantine(landing, staged, new, published=True)
    schema = landed_schema({**new.fields, SOURCE_FILE: pa.string(), SOURCE_LINE: pa.int64()})
    description = f"Records of pipeline {landing.context.name} as extracted, one row a record."
    ensure_table(
        landing.table,
        schema,
        [SLICE],
        description,
        stats_columns=landed_stats(landing.source.key),
        evolve=True,
    )
    recorded = file_transactions(landing.scope, new.fingerprints) | mark_transactions(new.marks)
    recorded |= size_transactions(landing.scope, new.sizes)
    recorded |= rule_transactions(landing.source.slice)
    # A slice that landed without rows has landed all the same.
    slice_ = landing.anew or landing.ingest_slice
    own = [slice_id(slice_)] if slice_ else []
    replaced = [{SOURCE_FILE: new.replaced, SLICE: landing.scope_slice}] if new.replaced else []
    return commit(
        landing.table,
        staged.files,
        replace=None if landing.anew is None else {SLICE: landing.anew},
        replace_rows=[*replaced, *(_former_rows(landing, staged) if new.replaces_keys else [])],
        transactions=lambda version: recorded | dict.fromkeys(own, version),
        touch=lambda partition: slice_id(partition[SLICE]),
        metadata={"run_id": landing.context.run_id, "command": "extract"},
        schema=schema,
    )


def _former_rows(landing: Landing, staged: Staged) -> list[dict[str, Any]]:
    """The keys of what was staged, so that the rows that have them now go; where the data decides,
    from whatever slice.
    """
    from batchinfer.lake.staged_files import read_staged

    if not staged.files:
        return []
    keys = read_staged(landing.table, staged.files, landing.source.key)
    return [{**{name: keys[name] for name in landing.source.key}, SLICE: landing.ingest_slice}]


def landed_schema(fields: Mapping[str, pa.DataType]) -> pa.Schema:
    """Schema of a landed table: the source's columns, the place of each record, the slice."""
    import pyarrow as pa

    comments = {
        SOURCE_FILE: "File, page or table that the record stands in; files relative to the folder "
        "that the source names.",
        SOURCE_LINE: "1-based physical line at which the record starts; the record's number where "
        "there are no lines.",
        RESCUED: "What the record has that no column takes, as a JSON object.",
    }
    columns = [
        commented(name, type_, comments.get(name, "As in the source."))
        for name, type_ in fields.items()
    ]
    return pa.schema(
        [
            *columns,
            commented(
                SLICE, pa.string(), "The slice that the record belongs to; partition column."
            ),
        ]
    )
