"""Columns of a Delta table that nobody declared: read in place, they are left out where the
pipeline says so.
"""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from spark.projects import SmallProject

from batchinfer.errors import ConfigError, InputError

DAY = "2026-11-20"
PIPELINE = """\
name: small
source:
  kind: delta
  path: in/table
  schema: {id: int, size: double, big: string, day: date}
  key: id
  unique: assumed
  slice: {column: day, unit: day}
features: [{standardize: {columns: size}}]
train: {target: {column: big, positive: ["yes"]}, params: {hidden: [4], epochs: 2, seed: 1}}
model: {uri: "models:/small@champion", road: direct}
sink: {table: predictions/small}
"""


def test_columns_that_nobody_declared_are_left_out(local: SmallProject) -> None:
    local.write("conf/pipelines/small.yaml", PIPELINE)
    place = str(local.root / "in/table")
    table = pa.table(
        {
            "id": pa.array(range(20), pa.int32()),
            "size": [float(number) for number in range(20)],
            "big": ["yes" if number > 9 else "no" for number in range(20)],
            "day": [dt.date(2026, 11, 20)] * 20,
        }
    )
    write_deltalake(place, table, partition_by=["day"])
    local.extract(None)
    local.train()
    local.score(DAY)
    expected = local.predictions(DAY)
    wider = table.append_column("later", pa.array([[number] for number in range(20)]))
    write_deltalake(place, wider, mode="overwrite", schema_mode="overwrite", partition_by=["day"])
    with pytest.raises(InputError, match="has a column later") as caught:
        local.extract(None)
    assert "source.columns: {new: ignore}" in str(caught.value.hint)
    local.edit("  key: id", "  columns: {new: ignore}\n  key: id")
    assert local.extract(None).rows_in == 20
    assert local.score(DAY, force=True).rows_scored == 20
    assert local.predictions(DAY) == expected


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  key: id", "  columns: {missing: warn}\n  key: id", "with the columns that it has"),
        ("  key: id", "  columns: {new: add}\n  key: id", "its new columns are there already"),
        ("  key: id", "  columns: {rescue: true}\n  key: id", "its new columns are there already"),
        (
            "  schema: {id: int, size: double, big: string, day: date}",
            "  columns: {new: ignore}",
            "all columns of the table are known; allowed: source.schema",
        ),
    ],
)
def test_what_a_table_in_place_cannot_do_is_told_from_the_file_alone(
    local: SmallProject, old: str, new: str, said: str
) -> None:
    local.write("conf/pipelines/small.yaml", PIPELINE)
    local.edit(old, new)
    with pytest.raises(ConfigError) as caught:
        local.extract(None)
    assert said in str(caught.value)
