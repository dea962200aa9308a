"""The engine as a pandas UDF.

Owns the way from pandas columns to Arrow rows of the model's signature, and back to a struct of
predictions. The only module of the engine that knows Spark; imported only where a session is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

import pandas as pd
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf

from batchinfer.contracts import ScoringHandler
from batchinfer.errors import ModelError
from batchinfer.inference.engine import MAX_BYTES, BatchScorer
from batchinfer.inference.pandas_columns import Columns, arrow_rows, pandas_frame
from batchinfer.inference.rows import ERROR, input_types, score_rows
from batchinfer.inference.workers import load_once


def scoring_udf(
    loader: Callable[[], ScoringHandler],
    signature: Mapping[str, Any],
    digest: str,
    *,
    batch_rows: int | Literal["auto"] = "auto",
    max_bytes: int = MAX_BYTES,
    threads: int | None = 1,
) -> Any:
    """An iterator pandas UDF that scores with one model, for DataFrames and, once registered, for
    SQL.

    Called with one struct column (its fields are matched by name), or with the columns in the order
    of the signature. It returns a struct of the prediction columns and `error string`: null where
    the row was scored, else reason and message, with null predictions. One bad row never ends a
    query. It is declared non-deterministic, so that Spark does not evaluate it twice when a filter
    refers to it. Timestamps reach it in the session's time zone at this moment.

    Args:
        loader: loads the handler on an executor; picklable. Called once a worker process.
        signature: `{inputs: [{name, type}], outputs: [{name, type}]}`, types as Spark SQL.
        digest: of the bundle.
        batch_rows: rows of a batch; Spark's `spark.sql.execution.arrow.maxRecordsPerBatch` is an
            upper limit.
        max_bytes: most bytes of a batch.
        threads: threads of a forward pass; one for each worker is right where there are as many
            workers as cores.

    Runs on: driver; the function itself on executors.

    Raises:
        ModelError: a type of the inputs is not Spark SQL's, or an output is called `error`.
    """
    outputs = {column["name"]: column["type"] for column in signature["outputs"]}
    if ERROR in outputs:
        raise ModelError(
            f"the model declares an output called {ERROR!r}; the UDF's own column has that name: "
            "rename the output"
        )
    task = _Task(
        loader, digest, input_types(signature), batch_rows, max_bytes, threads, _time_zone()
    )

    def predict(batches: Iterator[Any]) -> Iterator[pd.DataFrame]:
        # Spark hands a single column over bare, whatever the annotation says.
        return task.run(
            columns if isinstance(columns, tuple) else (columns,) for columns in batches
        )

    # Spark reads the kind of a UDF from its annotations, which must be the classes themselves.
    predict.__annotations__ = {
        "batches": Iterator[tuple[Union[pd.Series, pd.DataFrame], ...]],  # noqa: UP007
        "return": Iterator[pd.DataFrame],
    }
    returned = ", ".join(f"`{name}`: {ddl}" for name, ddl in {**outputs, ERROR: "string"}.items())
    build: Any = pandas_udf
    return build(predict, returnType=f"struct<{returned}>").asNondeterministic()


def _time_zone() -> str:
    session = SparkSession.getActiveSession()
    return "UTC" if session is None else str(session.conf.get("spark.sql.session.timeZone"))


@dataclass(frozen=True)
class _Task:
    """What travels to the executors."""

    loader: Callable[[], ScoringHandler]
    digest: str
    fields: Mapping[str, pa.DataType]
    batch_rows: int | Literal["auto"]
    max_bytes: int
    threads: int | None
    time_zone: str

    def run(self, batches: Iterator[Columns]) -> Iterator[pd.DataFrame]:
        scorer = BatchScorer(
            load_once(self.digest, self.loader, self.threads), self.batch_rows, self.max_bytes
        )
        for columns in batches:
            rows, misfits = arrow_rows(columns, self.fields, self.time_zone)
            yield pandas_frame(score_rows(scorer, rows, misfits))
