"""Delta tables read in place, where a slice is a day: the whole table as it was, or what came since
the day before.
"""

from __future__ import annotations

import pytest
from deltalake import write_deltalake
from spark.lakes import DAYS, LakeProject, clean_log, rows_of

from batchinfer.errors import InputError


def test_each_day_is_the_whole_table_as_it_was(lake: LakeProject) -> None:
    lake.edit_lake("slice: {column: day, unit: day}", "slice: ingest_date")
    lake.create()
    lake.insert(range(20))
    first = lake.extract("2026-11-20")
    assert (first.slices, first.rows_in) == (["2026-11-20"], 20)
    lake.insert(range(20, 40))
    assert lake.extract("2026-11-21").rows_in == 40
    assert lake.score("2026-11-20").rows_in == 20
    assert lake.score("2026-11-21").rows_in == 40
    assert lake.extract("2026-11-21").status == "unchanged"
    lake.sql("OPTIMIZE {here}")
    assert lake.extract("2026-11-21").status == "unchanged"
    assert lake.states() == dict.fromkeys(DAYS, "published")


@pytest.mark.parametrize("road", ["direct", "arrow"])
def test_each_day_is_what_came_since_the_day_before(lake: LakeProject, road: str) -> None:
    lake.edit_lake("slice: {column: day, unit: day}", "slice: ingest_date\n  changes_since: auto")
    lake.create(partitioned=False)
    lake.insert(range(20))
    assert lake.extract("2026-11-20").rows_in == 20
    lake.insert(range(20, 30))
    lake.insert(range(30, 32))
    assert lake.extract("2026-11-21").rows_in == 12
    for day in DAYS:
        lake.score(day, f"model.road={road}")
    of_days = {row["id"]: row["slice"] for row in lake.table_of("predictions").to_pylist()}
    assert of_days == {n: DAYS[n >= 20] for n in range(32)}
    assert lake.extract("2026-11-20").status == "unchanged"
    assert lake.extract("2026-11-22").rows_in == 0
    with pytest.raises(InputError, match="slices in their order"):
        lake.extract("2026-11-19")


def test_what_optimize_put_together_is_read_from_the_files_as_they_came(lake: LakeProject) -> None:
    lake.edit_lake("slice: {column: day, unit: day}", "slice: ingest_date\n  changes_since: auto")
    lake.create(partitioned=False)
    lake.insert(range(20))
    lake.extract("2026-11-20")
    lake.insert(range(20, 30))
    lake.sql("OPTIMIZE {here}")
    assert lake.extract("2026-11-21").rows_in == 10
    assert lake.score("2026-11-21").rows_in == 10
    assert sorted(lake.published()) == list(range(20, 30))
    lake.insert(range(30, 40))
    lake.sql("OPTIMIZE {here}")
    lake.sql("UPDATE {here} SET size = 1.0 WHERE id = 3")
    with pytest.raises(InputError, match="OPTIMIZE had put together with new ones"):
        lake.extract("2026-11-22")


def test_what_came_since_a_log_that_was_cleaned_up_cannot_be_told(lake: LakeProject) -> None:
    lake.edit_lake("slice: {column: day, unit: day}", "slice: ingest_date\n  changes_since: auto")
    write_deltalake(lake.place, rows_of(range(20)))
    lake.extract("2026-11-20")
    for start in (20, 24):
        write_deltalake(lake.place, rows_of(range(start, start + 4)), mode="append")
    clean_log(lake.place)
    with pytest.raises(
        InputError, match="its log no longer tells what came between versions 0 and 2"
    ) as caught:
        lake.extract("2026-11-21")
    assert caught.value.exit_code == 3
    assert list(lake.states()) == ["2026-11-20"]
