"""The published predictions of slices, as `evaluate` reads them: which slices, which columns.

Owns the choice of slices. Knows no outcomes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from batchinfer.contracts import BUNDLE_DIGEST, MODEL_NAME, MODEL_VERSION, SERVED, SLICE
from batchinfer.errors import ConfigError, InputError, InputMissing
from batchinfer.hints import Hint
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.slice_names import check_slice
from batchinfer.pipeline.scoring.published import read_published
from batchinfer.predictions_table import LINEAGE

if TYPE_CHECKING:
    from deltalake import DeltaTable

# Which model a row is of.
MODEL = (MODEL_NAME, MODEL_VERSION, BUNDLE_DIGEST)
_OUTPUTS = ("label", "score", "scores", "prediction")


@dataclass(frozen=True)
class PredictedRows:
    """Published rows of some slices.

    Attributes:
        key: columns of the key, in order.
        types: Arrow types of the columns that are read besides the key.
        rows: how many there are.
        outputs: all columns that the model published, in the order of the table.
    """

    place: str
    version: int
    slices: tuple[str, ...]
    key: tuple[str, ...]
    key_types: tuple[pa.DataType, ...]
    types: Mapping[str, pa.DataType]
    rows: int
    table: DeltaTable
    outputs: tuple[str, ...] = ()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The key as `key_0`, `key_1` and so on, then the columns of `types`, of served rows.

        Raises:
            DamagedFile, StorageError: a file cannot be read.
        """
        import pyarrow.dataset as ds

        from batchinfer.lake.table_rows import read_table_batches

        names = [*self.key, *self.types]
        wanted = ds.field(SLICE).isin(list(self.slices)) & ds.field(SERVED)
        keys = [f"key_{place}" for place in range(len(self.key))]
        for batch in read_table_batches(self.table, names, wanted):
            columns = [batch.column(name) for name in names]
            yield pa.record_batch(columns, [*keys, *self.types])


def choose_slices(
    context: Context, slice_: str | None, start: str | None, end: str | None
) -> tuple[str, ...]:
    """The published slices that are asked for: one, or all from `start` to `end`, both included.

    Runs on: driver, without Spark.

    Raises:
        ConfigError: neither one slice nor a span, both, or names that no slice can have.
        InputMissing: nothing is published of them.
    """
    rule = context.pipeline.source.slice
    if (slice_ is None) == (start is None and end is None):
        got = "nothing" if slice_ is None else "both"
        raise ConfigError(f"got {got} of --slice and --from or --to; allowed: one of the two")
    if slice_ is not None:
        check_slice(rule, slice_)
    first = None if start is None else check_slice(rule, start, "--from")
    last = None if end is None else check_slice(rule, end, "--to")
    if first is not None and last is not None and first > last:
        raise ConfigError(f"--from {start} is after --to {end}; allowed: --from before --to")
    published = [name for name, one in read_published(context, slice_).items() if one.other is None]
    chosen = [
        name
        for name in sorted(published)
        if slice_ == name
        or (slice_ is None and (first is None or name >= first) and (last is None or name <= last))
    ]
    if not chosen:
        told = (
            f"slice {slice_}"
            if slice_
            else f"slices from {start or 'the first'} to {end or 'the last'}"
        )
        what = context.asked.command("score", "--slice", slice_) if slice_ else None
        raise InputMissing(
            f"{context.predictions}: nothing is published of {told}; allowed: slices that "
            f"{context.asked.command('status')} tells as published",
            hint=None if what is None else Hint(what, " publishes it"),
        )
    return tuple(chosen)


def open_predicted(context: Context, slices: Sequence[str]) -> PredictedRows:
    """The rows of published slices, at the table's latest version.

    Runs on: driver, without Spark.

    Raises:
        InputError: predictions of columns that nothing is known of.
        StorageError: the table cannot be opened.
    """
    from batchinfer.lake.snapshots import arrow_schema, open_table, table_files

    table = open_table(context.predictions)
    types = {field.name: field.type for field in arrow_schema(table)}
    key = tuple(context.pipeline.source.key)
    if absent := [name for name in key if name not in types]:
        raise InputError(
            f"{context.predictions}: no key column {', '.join(absent)}; allowed: the predictions "
            f"of a pipeline whose key is {', '.join(key)}"
        )
    outputs = {name: types[name] for name in _OUTPUTS if name in types}
    others = {*key, SLICE, *(context.pipeline.sink.carry or ()), *LINEAGE}
    counts = [file.known_rows for name in slices for file in table_files(table, {SLICE: name})]
    return PredictedRows(
        context.predictions,
        table.version(),
        tuple(slices),
        key,
        tuple(types[name] for name in key),
        outputs | {name: types[name] for name in MODEL},
        sum(counts),
        table,
        tuple(name for name in types if name not in others),
    )


def count_quarantined(context: Context, slices: Sequence[str]) -> int:
    """How many rows of published slices scoring has put aside; the logs tell. Runs on: driver."""
    from batchinfer.lake.snapshots import exists, open_table, table_files

    if not exists(context.quarantine):
        return 0
    table = open_table(context.quarantine)
    wanted = {"stage": "score", "published": "true"}
    return sum(
        file.rows or 0 for name in slices for file in table_files(table, {SLICE: name, **wanted})
    )
