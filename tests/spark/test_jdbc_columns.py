"""Columns that a table of a database has besides those of the schema, or lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from spark.items import PIPELINE, items_project, run
from spark.projects import DAY, SmallProject

from batchinfer.errors import InputError

NEXT_DAY, THIRD_DAY = "2026-11-22", "2026-11-23"
DECLARED = PIPELINE.replace("  key:", "  schema: {id: bigint, size: double}\n  key:")


@pytest.fixture
def store(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    return items_project(tmp_path, spark, monkeypatch, DECLARED)


def rows(project: SmallProject, *columns: str) -> list[tuple[Any, ...]]:
    found = project.table("landed").to_pylist()
    return sorted(tuple(row[name] for name in ("slice", "id", *columns)) for row in found)


def test_columns_that_came_end_the_run_or_are_left_out_added_or_rescued(
    store: SmallProject,
) -> None:
    run(store, 'create table items (id INTEGER, size REAL, "Sell By" TEXT, n INTEGER)')
    run(store, "insert into items values (1, 0.5, 'x', 7), (2, 1.5, null, null)")
    with pytest.raises(InputError) as caught:
        store.extract()
    assert list(caught.value.problems) == [
        "items: column Sell By (text) is not in source.schema; allowed: id, size",
        "items: column n (integer) is not in source.schema; allowed: id, size",
    ]
    assert "source.columns: {new: ignore}" in str(caught.value.hint)
    assert store.extract(DAY, "source.columns.new=ignore").warnings == []
    with pytest.raises(InputError, match="column 'Sell By' cannot be landed under this name"):
        store.extract(NEXT_DAY, "source.columns.new=add")
    report = store.extract(NEXT_DAY, "source.columns.rescue=true")
    assert report.warnings[-1].endswith("null in what landed before: _rescued_data string")
    assert rows(store, "_rescued_data") == [
        (DAY, 1, None),
        (DAY, 2, None),
        (NEXT_DAY, 1, '{"Sell By":"x","n":7}'),
        (NEXT_DAY, 2, None),
    ]
    # What is rescued is content, too.
    assert store.extract(NEXT_DAY, "source.columns.rescue=true").status == "unchanged"
    run(store, "update items set n = 8 where id = 1")
    with pytest.raises(InputError, match="its rows changed after they were landed"):
        store.extract(NEXT_DAY, "source.columns.rescue=true")
    run(store, 'alter table items drop column "Sell By"')
    store.extract(THIRD_DAY, "source.columns.new=add")
    assert rows(store, "n")[-2:] == [(THIRD_DAY, 1, 8), (THIRD_DAY, 2, None)]


def test_a_missing_column_is_null_with_a_warning_and_a_look_alike_ends_the_run(
    store: SmallProject,
) -> None:
    store.edit("size: double", "size: double, color: string")
    run(store, "create table items (id INTEGER, size REAL)", "insert into items values (1, 0.5)")
    with pytest.raises(InputError, match=r"items: it has no column color, which source.schema"):
        store.extract(DAY, "source.columns.missing=fail")
    assert store.extract().warnings == ["column color is missing in items: null in its rows"]
    assert rows(store, "size", "color") == [(DAY, 1, 0.5, None)]
    assert store.extract(NEXT_DAY, "source.columns.missing=null").warnings == []
    run(store, "alter table items add column Color TEXT")
    with pytest.raises(InputError) as caught:
        store.extract(THIRD_DAY)
    assert "no column color (did you mean Color?)" in caught.value.problems[0]
    assert 'select "Color" as color' in str(caught.value.hint)
    # The key cannot be null.
    run(store, "alter table items rename column id to nr")
    with pytest.raises(InputError, match="it has no column id"):
        store.extract(THIRD_DAY, "source.columns.missing=null", "source.columns.new=ignore")


def test_the_target_may_be_missing(store: SmallProject) -> None:
    store.edit("size: double", "size: double, label: string")
    store.edit(
        "model:",
        "features: [{standardize: {columns: size}}]\n"
        'train: {target: {column: label, positive: ["yes"]}}\nmodel:',
    )
    run(store, "create table items (id INTEGER, size REAL)", "insert into items values (1, 0.5)")
    assert store.extract(DAY, "source.columns.missing=fail").warnings == []


def test_without_a_schema_what_has_landed_is_wanted(store: SmallProject) -> None:
    store.edit("  schema: {id: bigint, size: double}\n", "")
    run(store, "create table items (id INTEGER, size REAL)", "insert into items values (1, 0.5)")
    store.extract()
    run(store, "alter table items add column n INTEGER", "update items set n = 3")
    with pytest.raises(InputError, match=r"column n .* is not among those that have landed"):
        store.extract(NEXT_DAY, "source.columns.new=fail")
    assert store.extract(NEXT_DAY).warnings == [
        "new in the landed table, and null in what landed before: n bigint"
    ]
    run(store, "alter table items rename column size to Size")
    with pytest.raises(InputError, match=r"it has no column size .*which has landed"):
        store.extract(THIRD_DAY)


def test_a_field_that_is_added_to_the_schema_lands_no_row_twice(store: SmallProject) -> None:
    store.edit("  key: id", "  watermark: id\n  key: id")
    run(store, "create table items (id INTEGER, size REAL)", "insert into items values (1, 0.5)")
    store.extract()
    run(store, "alter table items add column n INTEGER", "update items set n = 3")
    store.edit("size: double", "size: double, n: bigint")
    # The row at the watermark is known by the columns that it landed with.
    assert store.extract(NEXT_DAY).rows_in == 0
    assert store.table("landed").schema.field("n").type == "int64"
    run(store, "insert into items values (2, 1.5, 4)")
    report = store.extract(NEXT_DAY)
    assert report.rows_in == 1
    assert rows(store, "n") == [(DAY, 1, None), (NEXT_DAY, 2, 4)]
