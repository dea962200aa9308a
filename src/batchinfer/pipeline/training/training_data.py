"""What `train` reads: the slices asked for, or all that landed, or labelled data with a source of
their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from batchinfer.config.sources import DeltaSource, ParquetSource
from batchinfer.errors import ConfigError, InputMissing
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import check_slice, slices_between
from batchinfer.pipeline.landing.increment import Landing
from batchinfer.pipeline.landing.land import land
from batchinfer.pipeline.slices.landed import find_slice, read_data, read_landed_slices
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.training.labelled import check_readable, read_labelled

if TYPE_CHECKING:
    from batchinfer.config.pipeline import Train
    from batchinfer.spark.session import OpenSession

# The scope under which labelled data with a source of its own is landed.
_TRAINING_SLICE = "train"


def training_data(
    context: Context, settings: Train, slices: Sequence[str], open_session: OpenSession
) -> SliceData:
    """The landed table to learn from; labelled data with a source of its own is landed first,
    unless it is read in place.

    Runs on: driver; labelled data are landed on executors.

    Raises:
        ConfigError: slices named, where labelled data have a source of their own.
        InputMissing: a slice that never landed.
        InputError: labelled data that break their contract.
    """
    from batchinfer.lake.delta import snapshot_files, table_version

    if settings.source is None:
        for name in slices:
            find_slice(context, name)
        data = read_data(context, slices or None)
    elif slices:
        raise ConfigError(
            "train.source names labelled data of its own: got --slice as well; allowed: train "
            "without slices"
        )
    elif isinstance(context.pipeline.source, DeltaSource):
        data = read_labelled(context, context.pipeline.source, settings.source.path, open_session)
    else:
        table = context.landed_for_training
        own: dict[str, Any] = {
            "path": settings.source.path,
            "slice": "ingest_date",
            "on_changed": "replace",
        }
        # Labelled data are named by their path, also where the data to be scored are named by a
        # table.
        own |= {"table": None} if isinstance(context.pipeline.source, ParquetSource) else {}
        source = context.pipeline.source.model_copy(update=own)
        land(Landing(context.with_new_run(), source, table, _TRAINING_SLICE), open_session)
        files, version = snapshot_files(table, None), table_version(table)
        data = SliceData(table, (), files, version, version, sum(file.known_rows for file in files))
    if data.fields is not None:
        check_readable(data, settings.target.column, by_spark=bool(context.pipeline.prepare))
    # One order, whatever order the log lists the files in: the same table version gives the same
    # model.
    return replace(data, files=sorted(data.files, key=lambda file: file.path))


def slices_to_learn_from(
    context: Context, slices: Sequence[str], start: str | None, end: str | None
) -> list[str]:
    """The slices that `--slice …` or `--from`/`--to` name; none means all.

    Raises:
        ConfigError: both ways at once, half a range, or a name that the pipeline cannot have.
        InputMissing: a range in which nothing has landed.
    """
    rule = context.pipeline.source.slice
    if start is None and end is None:
        return [check_slice(rule, name) for name in slices]
    if slices or start is None or end is None:
        raise ConfigError(
            "train: got a mix of --slice, --from and --to; allowed: --slice … or both --from and "
            "--to"
        )
    bounds = check_slice(rule, start, "--from"), check_slice(rule, end, "--to")
    landed = read_landed_slices(context)
    found = [name for name in slices_between(rule, landed, *bounds) if name in landed]
    if not found:
        raise InputMissing(
            f"no slice between {start} and {end} has landed in {context.landed}; landed: "
            f"{', '.join(sorted(landed)) or 'none'}"
        )
    return found
