"""The engine as a pandas UDF.

Owns the way from pandas columns to Arrow rows of the model's signature, and back to a struct of predictions. The only
module of the engine that knows Spark; imported only where a session is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf

from batchinfer.config.types import parse_ddl
from batchinfer.contracts import Handler
from batchinfer.errors import ModelError
from batchinfer.inference.engine import MAX_BYTES, BatchScorer
from batchinfer.inference.pandas_columns import Columns, arrow_rows, pandas_frame
from batchinfer.inference.workers import load_once

ERROR = "error"


def predict_udf(
    spark: SparkSession,
    loader: Callable[[], Handler],
    outputs: Mapping[str, str],
    input_fields: Mapping[str, str],
    digest: str,
    *,
    batch_rows: int | Literal["auto"] = "auto",
    max_bytes: int = MAX_BYTES,
    threads: int | None = 1,
) -> Any:
    """An iterator pandas UDF that scores with one model, for DataFrames and, once registered, for SQL.

    Called with one struct column (its fields are matched by name), or with the columns in the order of the signature.
    It returns a struct of the prediction columns and `error string`: null where the row was scored, else reason and
    message, with null predictions. One bad row never ends a query. It is declared non-deterministic, so that Spark does
    not evaluate it twice when a filter refers to it.

    Args:
        spark: its time zone at this moment is the one in which timestamps reach the model's process.
        loader: loads the handler on an executor; picklable. Called once a worker process.
        outputs: Spark SQL type of each prediction column.
        input_fields: Spark SQL type of each column of the signature, in order.
        digest: of the bundle.
        batch_rows: rows of a batch; Spark's `spark.sql.execution.arrow.maxRecordsPerBatch` is an upper limit.
        max_bytes: most bytes of a batch.
        threads: threads of a forward pass; one for each worker is right where there are as many workers as cores.

    Runs on: driver; the function itself on executors.

    Raises:
        ModelError: a type of the outputs or inputs is not Spark SQL's, or an output is called `error`.
    """
    if ERROR in outputs:
        raise ModelError(f"the model declares an output called {ERROR!r}; the UDF's own column has that name: rename the output")
    task = _Task(loader, digest, _arrow_types(input_fields), batch_rows, max_bytes, threads, _time_zone(spark))

    def predict(batches: Iterator[tuple[Any, ...]]) -> Iterator[pd.DataFrame]:
        # Spark hands a single column over bare, whatever the annotation says.
        return task.run(columns if isinstance(columns, tuple) else (columns,) for columns in batches)

    # Spark reads the kind of a UDF from its annotations, which must be the classes themselves.
    predict.__annotations__ = {"batches": Iterator[tuple[Union[pd.Series, pd.DataFrame], ...]], "return": Iterator[pd.DataFrame]}  # noqa: UP007
    returned = ", ".join(f"`{name}`: {ddl}" for name, ddl in {**outputs, ERROR: "string"}.items())
    build: Any = pandas_udf
    return build(predict, returnType=f"struct<{returned}>").asNondeterministic()


def _arrow_types(fields: Mapping[str, str]) -> dict[str, pa.DataType]:
    try:
        return {name: parse_ddl(ddl) for name, ddl in fields.items()}
    except ValueError as error:
        raise ModelError(f"the model's signature: {error}") from error


def _time_zone(spark: SparkSession) -> str:
    return str(spark.conf.get("spark.sql.session.timeZone"))


@dataclass(frozen=True)
class _Task:
    """What travels to the executors."""

    loader: Callable[[], Handler]
    digest: str
    fields: Mapping[str, pa.DataType]
    batch_rows: int | Literal["auto"]
    max_bytes: int
    threads: int | None
    time_zone: str

    def run(self, batches: Iterator[Columns]) -> Iterator[pd.DataFrame]:
        scorer = BatchScorer(load_once(self.digest, self.loader, self.threads), self.batch_rows, self.max_bytes)
        for columns in batches:
            rows, misfits = arrow_rows(columns, self.fields, self.time_zone)
            yield _score(scorer, rows, misfits)


def _score(scorer: BatchScorer, rows: pa.RecordBatch, misfits: Mapping[int, str]) -> pd.DataFrame:
    """Predictions and errors of some rows, one for each, in their order."""
    total = rows.num_rows
    errors: list[str | None] = [misfits.get(row) for row in range(total)]
    positions = np.array([row for row in range(total) if row not in misfits], dtype=np.int64)
    first = scorer.counts["rows_in"]
    results = list(scorer.score([rows.take(pa.array(positions)) if misfits else rows]))
    for scored in results:
        for at, record in zip(scored.failed_at, scored.failed, strict=True):
            errors[positions[at - first]] = f"{record.reason}: {record.message}"
    # Rows without a prediction point nowhere: `take` makes them null.
    scored_rows = np.array([error is None for error in errors], dtype=bool)
    index = pa.array(np.cumsum(scored_rows) - 1, mask=~scored_rows)
    columns = {
        name: pa.concat_arrays([part.predictions[name] for part in results] or [pa.nulls(0, type_)]).take(index)
        for name, type_ in scorer.declared.items()
    }
    return pandas_frame(columns | {ERROR: pa.array(errors, pa.string())})
