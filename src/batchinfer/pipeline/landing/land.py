"""Lands what is new of one source, if anything is.

Owns the order: the lease, what is new, staged by executors. A file for each family of sources says
how what is new is found and staged: `new_files` for everything that is files, `remote_files` for
those on a store, `new_pages` for HTTP APIs, `new_rows` for databases. A Delta table is never
landed: see `delta_in_place`. A stream would be one more of these. How what was staged is judged and
committed stands in `landed_commits`, which is loaded only then.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from batchinfer.command_reports import ExtractReport
from batchinfer.config.sources import FileSource, HttpSource, JdbcSource
from batchinfer.config.uris import are_remote
from batchinfer.pipeline.landing.increment import Increment, Landing
from batchinfer.pipeline.slices.landed_rule import check_landed_rule
from batchinfer.report.terminal import step

if TYPE_CHECKING:
    from batchinfer.spark.session import OpenSession


def land(landing: Landing, open_session: OpenSession) -> ExtractReport:
    """Lands what is new in a source in a table; see `extract`."""
    from batchinfer.lake.orphans import hold_and_sweep
    from batchinfer.lake.storage import check_writable

    started = time.perf_counter()
    context = landing.context
    report = ExtractReport(
        context.run_id, context.name, "landed", table=landing.table, quarantine=context.quarantine
    )
    lake, tables = context.environment.lake, context.staged_tables
    check_writable(lake)
    scope = f"extract {landing.scope}"
    with hold_and_sweep(lake, context.name, scope, context.run_id, tables) as swept:
        report.warnings += swept
        if landing.table == context.landed:
            # Labelled data with a source of their own have one slice, whatever the file says.
            check_landed_rule(context, landing.known)
        with step("looking for what is new in the source"):
            new = find_increment(landing, open_session)
        if new is None:
            _say_nothing_new(report, landing)
        else:
            _land_increment(landing, new, open_session, report)
    report.seconds = round(time.perf_counter() - started, 3)
    return report


def find_increment(landing: Landing, open_session: OpenSession) -> Increment | None:
    """What is new in a source; None: nothing.

    Runs on: driver.

    Raises:
        InputError: a source that is missing, changed after it was landed, or breaks the contract of
            its columns.
        StorageError: a database or a server that does not answer.
    """
    # Each knows its own libraries; only that of the source at hand is imported.
    if isinstance(landing.source, HttpSource):
        from batchinfer.pipeline.landing.new_pages import find_new_pages

        return find_new_pages(landing, open_session)
    if isinstance(landing.source, JdbcSource):
        from batchinfer.pipeline.landing.new_rows import find_new_rows

        return find_new_rows(landing, open_session)
    if isinstance(landing.source, FileSource) and are_remote(landing.source.path):
        from batchinfer.pipeline.landing.remote_files import find_remote_files

        return find_remote_files(landing, open_session)
    from batchinfer.pipeline.landing.new_files import find_new_files

    return find_new_files(landing, open_session)


def _land_increment(
    landing: Landing, new: Increment, open_session: OpenSession, report: ExtractReport
) -> None:
    from batchinfer.pipeline.landing.landed_commits import land_staged, landing_plan

    report.warnings += new.records.notes
    with new.staging(landing_plan(landing, new.records), open_session) as staged:
        if staged is None:
            _say_nothing_new(report, landing)
        else:
            land_staged(landing, staged, open_session, report)


def _say_nothing_new(report: ExtractReport, landing: Landing) -> None:
    from batchinfer.lake.delta import table_version

    report.status = "unchanged"
    report.version = table_version(landing.table)
    report.warnings.append(
        "nothing new: everything in the source has been landed, and nothing of it changed since"
    )
