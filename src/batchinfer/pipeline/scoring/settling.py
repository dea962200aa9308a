"""What a replay leaves that is cut off between its commits: rows that stand in the predictions and
in the quarantine. They leave the quarantine, without being scored again.

Owns which records of a slice's quarantine are of rows that can be scored, and which of those are
published. Scores nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from batchinfer.contracts import SLICE
from batchinfer.pipeline.scoring.published import Published
from batchinfer.pipeline.scoring.quarantined import is_key, keys_in, repeated_keys
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedInputs
from batchinfer.pipeline.slices.prepared import prepared_frame, remaining
from batchinfer.spark.frames import version_frame

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from batchinfer.spark.session import OpenSession


def remaining_rows(inputs: ResolvedInputs, open_session: OpenSession) -> DataFrame:
    """The slice's rows that no step removed; lazily, no row is read."""
    columns = inputs.columns
    return remaining(prepared_frame(open_session(), columns, inputs.data, columns.landed))


def scorable(inputs: ResolvedInputs, records: pa.Table) -> pa.Table:
    """Those of the records that a model could be asked about: they have a key, and no step removed
    them.
    """
    removed = inputs.columns.preparation.reasons()
    return those(
        records,
        [row["reason"] not in removed and is_key(row["key"]) for row in records.to_pylist()],
    )


def those(records: pa.Table, wanted: Sequence[bool]) -> pa.Table:
    """The records that are wanted."""
    import pyarrow as pa

    return records.filter(pa.array(wanted, pa.bool_()))


def of_one_row(
    inputs: ResolvedInputs, waiting: pa.Table, rows: Callable[[], DataFrame]
) -> pa.Table:
    """Those of the records whose keys have one row: of two rows of a key, nothing tells which of
    them is in quarantine. Keys are looked at where nobody has checked that they are unique.
    """
    if inputs.columns.context.pipeline.source.unique != "assumed":
        return waiting
    keys = waiting["key"].to_pylist()
    repeated = repeated_keys(rows(), keys, inputs.columns.key)
    if repeated:
        inputs.report.warnings.append(
            f"slice {inputs.data.slice}: {len(repeated):,} keys in quarantine stand on several "
            f"rows, such as {min(repeated)}; "
            "these rows stay there, since nothing tells them apart (source.unique: assumed)"
        )
    return those(waiting, [key not in repeated for key in keys])


def take_out_published(
    inputs: ResolvedInputs, published: Published, waiting: pa.Table, open_session: OpenSession
) -> pa.Table:
    """The records of rows that are published leave the quarantine; the others.

    Args:
        waiting: of an unsettled slice, each of one row.

    Runs on: driver, with a Spark job where there are records.
    """
    from batchinfer.lake.quarantine import commit_replayed

    quarantine = inputs.columns.context.quarantine
    there = _are_published(inputs, waiting, open_session) if waiting.num_rows else []
    commit_replayed(
        quarantine,
        those(waiting, there),
        [],
        slice=inputs.data.slice,
        run=published.publisher.run,
    )
    inputs.report.warnings.append(
        f"a replay was interrupted after it had published {sum(there):,} rows; they have left "
        f"{quarantine} now"
    )
    return those(waiting, [not one for one in there])


def settle(inputs: ResolvedInputs, published: Published, open_session: OpenSession) -> None:
    """Takes the rows of an unsettled slice, which is up to date otherwise, out of one of the two
    tables that they stand in.

    Runs on: driver.
    """
    from batchinfer.lake.quarantine import read_scored

    waiting = scorable(inputs, read_scored(inputs.columns.context.quarantine, inputs.data.slice))
    if waiting.num_rows:
        waiting = of_one_row(inputs, waiting, lambda: remaining_rows(inputs, open_session))
    take_out_published(inputs, published, waiting, open_session)


def _are_published(
    inputs: ResolvedInputs, waiting: pa.Table, open_session: OpenSession
) -> list[bool]:
    """Which of the rows the slice has predictions of."""
    from pyspark.sql import functions as F

    from batchinfer.lake.delta import table_version

    table, slice_ = inputs.columns.context.predictions, inputs.data.slice
    rows = version_frame(open_session(), table, table_version(table), [slice_])
    rows = rows.where(F.col(SLICE) == slice_)
    keys = waiting["key"].to_pylist()
    found = set(keys_in(rows, keys, inputs.columns.key))
    return [key in found for key in keys]
