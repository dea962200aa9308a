"""Delta tables read in place: which slice a row belongs to, and rows that belong to none."""

from __future__ import annotations

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from spark.lakes import DAYS, LakeProject, rows_of

from batchinfer.errors import TooManyQuarantined


@pytest.mark.parametrize("partitioned", [True, False])
def test_rows_without_a_slice_are_quarantined(lake: LakeProject, partitioned: bool) -> None:
    lake.create(partitioned=partitioned)
    lake.insert(range(18))
    lake.sql(
        "INSERT INTO {here} VALUES (90, 'red', 1.0, 'no', NULL), (91, 'blue', 2.0, 'no', NULL)"
    )
    report = lake.extract(None)
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (20, 18, 2)
    assert sorted((row["key"], row["reason"], row["published"]) for row in lake.quarantined()) == [
        ('{"id":90}', "null_slice", True),
        ('{"id":91}', "null_slice", True),
    ]
    assert lake.extract(None).status == "unchanged"
    lake.sql("UPDATE {here} SET day = DATE'2026-11-20' WHERE id = 90")
    again = lake.extract(None)
    assert DAYS[0] in again.slices
    assert again.rows_quarantined == 1
    assert [row["key"] for row in lake.quarantined()] == ['{"id":91}']


def test_too_many_rows_without_a_slice_record_nothing(lake: LakeProject) -> None:
    lake.create()
    lake.insert(range(9))
    lake.sql("INSERT INTO {here} VALUES (90, 'red', 1.0, 'no', NULL)")
    with pytest.raises(TooManyQuarantined, match="1 of 10 rows belong to no slice of day"):
        lake.extract(None, "checks.max_quarantine_rate=0.05")
    assert [row["published"] for row in lake.quarantined()] == [False]
    assert not (lake.root / "var/lake/landed/lake").exists()
    assert lake.extract(None).rows_quarantined == 1
    assert [row["published"] for row in lake.quarantined()] == [True]


def test_text_that_cannot_name_a_slice_is_quarantined(lake: LakeProject) -> None:
    rows = rows_of(range(10)).set_column(4, "day", pa.array(["a", "b/../c"] * 5))
    write_deltalake(lake.place, rows)
    report = lake.extract(None, "source.slice=day")
    assert (report.slices, report.rows_landed, report.rows_quarantined) == (["a"], 5, 5)
    assert {row["reason"] for row in lake.quarantined()} == {"slice_name"}


@pytest.mark.parametrize(
    ("type_", "rule", "slices"),
    [
        ("timestamp", "{column: at, unit: hour}", ["2026-11-20T22", "2026-11-21T00"]),
        ("timestamp", "{column: at, unit: month}", ["2026-11"]),
        ("timestamp", "at", ["2026-11-20T22:30:00", "2026-11-21T00:30:00"]),
        ("timestamp_ntz", "{column: at, unit: day}", list(DAYS)),
        ("date", "at", list(DAYS)),
        ("int", "at", ["0", "1"]),
        ("boolean", "at", ["false", "true"]),
        ("decimal(6,2)", "at", ["0.00", "1.00"]),
        ("string", "at", ["s0", "s1"]),
    ],
)
@pytest.mark.parametrize("partitioned", [True, False])
def test_every_type_of_slice_column(
    lake: LakeProject, type_: str, rule: str, slices: list[str], partitioned: bool
) -> None:
    moment = "timestamp'2026-11-20 22:30:00' + make_interval(0, 0, 0, 0, 2 * (id % 2))"
    values = {
        "string": "concat('s', id % 2)",
        "int": "id % 2",
        "boolean": "id % 2 = 1",
        "decimal(6,2)": "id % 2",
    }
    frame = lake.spark.range(10).selectExpr(
        "cast(id as int) id",
        "'red' color",
        "1.5 * id size",
        "'no' big",
        f"cast({values.get(type_, moment)} as {type_}) at",
    )
    writer = (
        frame.selectExpr("id", "color", "cast(size as double) size", "big", "at")
        .coalesce(1)
        .write.format("delta")
    )
    (writer.partitionBy("at") if partitioned else writer).save(lake.place)
    lake.edit_lake("slice: {column: day, unit: day}", f"slice: {rule}")
    assert lake.extract(None).slices == slices
    for road in ("direct", "arrow"):
        for name in slices:
            assert lake.score(name, f"model.road={road}", force=True).rows_in == 10 // len(slices)
