"""`extract`: source files -> landed Delta table, bad records -> quarantine table.

Order of commits: the quarantine first, the landed table last, each one atomic. Which files have
been landed is recorded in the landed table's own commit, so a crash between two steps can neither
land a file twice nor lose one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchinfer.command_reports import ExtractReport
from batchinfer.config.sources import DeltaSource
from batchinfer.errors import ConfigError
from batchinfer.hints import Hint
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import check_slice
from batchinfer.pipeline.landing.increment import Landing
from batchinfer.pipeline.landing.land import land
from batchinfer.pipeline.run_record import recorded
from batchinfer.pipeline.slices.landed import find_slice

if TYPE_CHECKING:
    from batchinfer.spark.session import OpenSession


@recorded("extract")
def extract_source(
    context: Context, slice_: str | None, open_session: OpenSession, force: bool = False
) -> ExtractReport:
    """Lands what is new in the pipeline's source.

    Args:
        force: lands the slice anew in place of what it holds, which is not read.

    Runs on: driver.

    Raises:
        ConfigError: `ingest_date` slices without a slice, or a slice with one given that the data
            decides; a source of which no slice can be landed anew.
        InputError: files that are missing, changed since they landed, or break the contract of
            their columns; duplicate keys.
        TooManyQuarantined: nothing was landed; the quarantine is written with published=false.
    """
    rule = context.pipeline.source.slice
    if force:
        return _land_anew(context, slice_, open_session)
    if rule == "ingest_date" and slice_ is None:
        raise ConfigError(
            f"pipeline {context.name} has slice: ingest_date: got no --slice; allowed: --slice "
            "with a day such as 2026-11-21",
            Hint(context.extract_command(), " lands it as today's (in UTC)"),
        )
    if rule != "ingest_date" and slice_ is not None:
        raise ConfigError(
            f"--slice {slice_}: pipeline {context.name} cuts slices from column {rule.column}; "
            "allowed: extract without --slice, or with --force as well"
        )
    if slice_ is not None:
        check_slice(rule, slice_)
    if isinstance(context.pipeline.source, DeltaSource):
        from batchinfer.pipeline.landing.delta_in_place import extract_in_place

        return extract_in_place(context, context.pipeline.source, slice_, open_session)
    return land(Landing(context, context.pipeline.source, context.landed, slice_), open_session)


def _land_anew(context: Context, slice_: str | None, open_session: OpenSession) -> ExtractReport:
    source = context.pipeline.source
    if slice_ is None:
        raise ConfigError("--force: got no --slice; allowed: --slice with the one to land anew")
    check_slice(source.slice, slice_)
    if why := source.never_anew:
        raise ConfigError(f"--force: no slice of pipeline {context.name} can be landed anew: {why}")
    is_day = source.slice == "ingest_date"
    if not is_day:
        find_slice(context, slice_)
    landing = Landing(context, source, context.landed, slice_ if is_day else None, slice_)
    return land(landing, open_session)
