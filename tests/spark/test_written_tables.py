"""Tables that several writers wrote one after the other: whatever they did, all roads read what
Spark reads.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from spark.roads import SharedTable, same_rows

SCHEMA = pa.schema(
    {
        "id": pa.int32(),
        "part": pa.string(),
        "number": pa.float64(),
        "price": pa.decimal128(10, 2),
        "text": pa.string(),
        "at": pa.timestamp("us", "UTC"),
        "of": pa.struct({"x": pa.int64(), "y": pa.list_(pa.string())}),
        "by": pa.map_(pa.string(), pa.int32()),
    }
)
# Of the table's protocol: what Spark alone may write, and what every writer may.
FOR_ALL = ["", "delta.checkpointInterval=1", "delta.dataSkippingNumIndexedCols=1"]
FOR_SPARK = [
    "delta.enableDeletionVectors=true",
    "delta.columnMapping.mode=name",
    "delta.columnMapping.mode=id",
    "delta.checkpointPolicy=v2",
    "delta.enableTypeWidening=true",
]
texts = st.none() | st.sampled_from(["", "a", "ü'#%", "x" * 70, "\U0001f600" * 40])
rows = st.fixed_dictionaries(
    {
        "id": st.integers(0, 12),
        "part": st.sampled_from([None, "a b", "50%", "ü=/"]),
        "number": st.none() | st.sampled_from([math.nan, -0.0, 0.0, math.inf, 1e-300, 5.0]),
        "price": st.none() | st.sampled_from([Decimal("-0.01"), Decimal("99999999.99")]),
        "text": texts,
        "at": st.none() | st.sampled_from([-62_135_596_800_000_000, -1, 253_402_300_799_999_999]),
        "of": st.none()
        | st.fixed_dictionaries(
            {"x": st.none() | st.integers(-(2**63), 2**63 - 1), "y": st.none() | st.lists(texts)}
        ),
        "by": st.none()
        | st.dictionaries(st.text("ab", max_size=2), st.none() | st.integers(0, 9), max_size=3),
    }
)
batches = st.lists(rows, min_size=1, max_size=5, unique_by=lambda row: row["id"])
ACTIONS = ("append", "overwrite", "merge", "delete", "update", "compact", "checkpoint")
steps = st.tuples(
    st.sampled_from(ACTIONS), st.sampled_from(["spark", "delta-rs", "polars"]), batches
)


def table_of(batch: list[dict[str, Any]]) -> pa.Table:
    told = [row | {"by": None if row["by"] is None else list(row["by"].items())} for row in batch]
    return pa.Table.from_pylist(told, SCHEMA)


@dataclass
class Writers:
    """A table, and what each writer can do to it."""

    spark: Any
    place: str

    def make(self, batch: list[dict[str, Any]], told: str, partitioned: bool) -> None:
        frame = self.spark.createDataFrame(table_of(batch)).write.format("delta")
        name, _, value = told.partition("=")
        frame = frame.option(name, value) if told else frame
        (frame.partitionBy("part") if partitioned else frame).save(self.place)

    def do(self, action: str, writer: str, batch: list[dict[str, Any]]) -> None:
        if writer == "polars" and action in ("append", "overwrite"):
            pl.from_arrow(table_of(batch)).write_delta(self.place, mode=action)
        elif writer == "spark":
            self._by_spark(action, batch)
        else:
            self._by_delta_rs(action, batch)

    def _by_spark(self, action: str, batch: list[dict[str, Any]]) -> None:
        here = f"delta.`{self.place}`"
        frame = self.spark.createDataFrame(table_of(batch))
        if action in ("append", "overwrite"):
            frame.coalesce(1).write.format("delta").mode(action).save(self.place)
        elif action == "merge":
            frame.createOrReplaceTempView("coming")
            self.spark.sql(
                f"MERGE INTO {here} AS t USING coming ON t.id = coming.id "
                "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
            )
        elif action == "delete":
            self.spark.sql(f"DELETE FROM {here} WHERE id = {batch[0]['id']}")
        elif action == "update":
            self.spark.sql(f"UPDATE {here} SET number = -0.0D WHERE id > {batch[0]['id']}")
        elif action == "compact":
            self.spark.sql(f"OPTIMIZE {here}")
        else:
            log = self.spark._jvm.org.apache.spark.sql.delta.DeltaLog
            log.forTable(self.spark._jsparkSession, self.place).checkpoint()

    def _by_delta_rs(self, action: str, batch: list[dict[str, Any]]) -> None:
        table = DeltaTable(self.place)
        if action in ("append", "overwrite"):
            write_deltalake(table, table_of(batch), mode=action)
        elif action == "merge":
            merging = table.merge(table_of(batch), "t.id = s.id", "s", "t")
            merging.when_matched_update_all().when_not_matched_insert_all().execute()
        elif action == "delete":
            table.delete(f"id = {batch[0]['id']}")
        elif action == "update":
            table.update(updates={"number": "-0.0"}, predicate=f"id > {batch[0]['id']}")
        elif action == "compact":
            table.optimize.compact()
        else:
            table.create_checkpoint()


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    batches,
    st.sampled_from(FOR_ALL + FOR_SPARK),
    st.booleans(),
    st.lists(steps, min_size=1, max_size=4),
)
def test_whatever_writers_did_all_roads_read_what_spark_reads(
    spark: Any,
    first: list[dict[str, Any]],
    told: str,
    partitioned: bool,
    done: list[tuple[str, str, list[dict[str, Any]]]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shared = SharedTable(Path(folder), spark)
        writers = Writers(spark, shared.place)
        writers.make(first, told, partitioned)
        for action, writer, batch in done:
            note(f"{action} by {writer}")
            writers.do(action, writer if told in FOR_ALL else "spark", batch)
        wanted = shared.by_spark()
        for road, found in shared.by_roads().items():
            note(road)
            # The pandas road is looked at without columns that hold others.
            names = list(found[0]) if found else []
            same = [{name: row[name] for name in names} for row in wanted]
            same_rows(sorted(found, key=repr), sorted(same, key=repr))
