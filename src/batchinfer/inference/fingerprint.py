"""The 128-bit fingerprint of a row's model inputs.

Owns its promise: equal inputs have equal fingerprints on every road, in every batch, in every
release (golden values in a test hold it). Not keyed: it guards against accidents, not against
someone who crafts collisions. How values are hashed is `multilinear`. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from batchinfer.errors import InputError
from batchinfer.inference.logical_types import spark_type
from batchinfer.inference.multilinear import ColumnRun, column_runs, hash_rows

# Another one gives other fingerprints: stored ones would equal none any more.
_SEED = "batchinfer.fingerprint.2"


class Fingerprinter:
    """Hashes the named columns of batches, in that order, to 16 bytes a row; what depends on the
    schema is done once.

    The Spark type of a column is part of its hash, its Arrow layout is not (dictionary or plain,
    large or small offsets, slices). Null differs from every value; all NaN are one value, and so
    are 0.0 and -0.0. Timestamps count as microseconds in UTC.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._schema: pa.Schema | None = None
        self._runs: tuple[ColumnRun, ...] = ()
        self._at: tuple[int, ...] = ()

    def __call__(self, batch: pa.RecordBatch) -> pa.Array:
        """One `binary` value of 16 bytes for each row.

        Runs on: executor.

        Raises:
            InputError: a column is missing, or has a type that Spark does not have.
        """
        if self._schema is None or not batch.schema.equals(self._schema):
            self._learn(batch.schema)
        columns = [batch.column(at) for at in self._at]
        return hash_rows(columns, self._runs, batch.num_rows, _SEED)

    def _learn(self, schema: pa.Schema) -> None:
        names = schema.names
        missing = [name for name in self._columns if name not in names]
        if missing:
            raise InputError(
                f"columns to fingerprint: got none called {', '.join(missing)}; there are "
                f"{', '.join(names)}"
            )
        for name in self._columns:
            try:
                spark_type(schema.field(name).type)
            except InputError as error:
                raise InputError(f"column {name}: {error}") from error
        self._at = tuple(names.index(name) for name in self._columns)
        self._runs = tuple(column_runs(schema.field(at).type for at in self._at))
        self._schema = schema


def fingerprint(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.Array:
    """Hashes the named columns of one batch; see `Fingerprinter`."""
    return Fingerprinter(columns)(batch)


def words(fingerprints: pa.Array) -> np.ndarray:
    """The halves of each fingerprint, `(rows, 2) uint64`, of `binary` or `binary(16)`; none is
    null.
    """
    start, rows = fingerprints.offset, len(fingerprints)
    return np.frombuffer(fingerprints.buffers()[-1] or b"", np.dtype("<u8")).reshape(-1, 2)[
        start : start + rows
    ]


def first_words(fingerprints: pa.Array) -> np.ndarray:
    """The first half of each fingerprint, `(rows,) uint64`: equal rows have equal ones, others
    hardly ever.
    """
    return words(fingerprints)[:, 0]
