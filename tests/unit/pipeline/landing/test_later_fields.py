"""A field that is added to the schema later: the landed table gets it, and what landed before has
null there. CSV is in `test_file_columns`, databases in `tests/spark/test_jdbc_columns`.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from http_api import Api, serving
from spark.projects import DAY, SmallProject

NEXT_DAY = "2026-11-22"
PIPELINE = """\
name: small
source:
  kind: KIND
  PLACE
  schema: {id: int}
  slice: ingest_date
features: [{standardize: {columns: id}}]
model: {uri: "models:/small@champion"}
sink: {table: predictions/small}
"""


def of_kind(project: SmallProject, kind: str, place: str) -> None:
    text = PIPELINE.replace("KIND", kind).replace("PLACE", place)
    project.write("conf/pipelines/small.yaml", text)


def check(project: SmallProject) -> None:
    """Extracts, once without and once with the field `n`."""
    first = project.extract(DAY, "source.columns.new=ignore")
    assert (first.rows_landed, first.warnings) == (1, [])
    project.edit("schema: {id: int}", "schema: {id: int, n: long}")
    report = project.extract(NEXT_DAY)
    assert report.warnings == ["new in the landed table, and null in what landed before: n bigint"]
    rows = project.table("landed").to_pylist()
    assert {row["slice"]: row["n"] for row in rows} == {DAY: None, NEXT_DAY: 7}


def test_of_json(local: SmallProject) -> None:
    of_kind(local, "json", "path: in/*")
    local.write("in/a.json", '{"id": 1, "n": 7}\n')
    check(local)


def test_of_parquet(local: SmallProject) -> None:
    of_kind(local, "parquet", "path: in/*")
    (local.root / "in").mkdir()
    table = pa.table({"id": pa.array([1], pa.int32()), "n": pa.array([7])})
    pq.write_table(table, local.root / "in/a.parquet")
    check(local)


def test_of_an_api(local: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Api([{"id": 1, "n": 7}])) as api:
        monkeypatch.setenv("ORDERS_API", api.url)
        of_kind(local, "http", "url: ${ORDERS_API}")
        check(local)


def test_a_group_that_is_added_to_the_pattern_of_a_log(local: SmallProject) -> None:
    of_kind(local, "text_log", "path: in/*\n  pattern: '(?P<id>\\d+) .*'")
    local.write("in/a.log", "1 7\n")
    assert local.extract().rows_landed == 1
    local.edit("(?P<id>\\d+) .*", "(?P<id>\\d+) (?P<n>.*)")
    local.edit("schema: {id: int}", "schema: {id: int, n: long}")
    assert local.extract(NEXT_DAY).rows_landed == 1
    rows = local.table("landed").to_pylist()
    assert {row["slice"]: row["n"] for row in rows} == {DAY: None, NEXT_DAY: 7}
