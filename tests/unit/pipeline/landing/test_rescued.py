"""`rescue: true`: what no column takes is kept as one JSON text a row."""

from __future__ import annotations

import datetime
import decimal
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from http_api import Api, serving
from spark.projects import DAY, SmallProject

from batchinfer.errors import ConfigError, InputError

NEXT_DAY = "2026-11-22"
PART = pa.struct([("a", pa.string()), ("b", pa.bool_())])
RESCUE = "source.columns.rescue=true"
PIPELINE = """\
name: small
source:
  kind: KIND
  path: in/*
  schema: {id: int, size: double}
  slice: ingest_date
features: [{standardize: {columns: size}}]
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/small}
"""


def of_kind(project: SmallProject, kind: str) -> SmallProject:
    project.write("conf/pipelines/small.yaml", PIPELINE.replace("KIND", kind))
    return project


def rescued(project: SmallProject) -> dict[int, str | None]:
    return {row["id"]: row["_rescued_data"] for row in project.table("landed").to_pylist()}


def test_csv_cells_are_kept_as_text(local: SmallProject) -> None:
    project = of_kind(local, "csv")
    project.write("in/a.csv", "id,size\n1,2.5\n")
    project.extract()
    project.write("in/b.csv", 'id,more,size,A b\n2,007,3.5,"x ""y"" ü"\n3,,1,\nx,1,1,bad\n')
    with pytest.raises(InputError) as caught:
        project.extract()
    assert "{rescue: true}" in str(caught.value.hint)
    report = project.extract(DAY, RESCUE)
    assert report.warnings == [
        "new in the landed table, and null in what landed before: _rescued_data string"
    ]
    assert (report.rows_landed, report.rows_quarantined) == (2, 1)
    texts = rescued(project)
    assert texts == {1: None, 2: '{"more":"007","A b":"x \\"y\\" ü"}', 3: None}
    # A file that fits has nothing to rescue; one that names a column twice has no JSON.
    project.write("in/c.csv", "size,id\n2.5,4\n")
    assert project.extract(DAY, RESCUE, "source.columns.new=ignore").warnings == []
    assert rescued(project)[4] is None
    project.write("in/d.csv", "id,size,x,x\n5,1,2,3\n")
    with pytest.raises(InputError, match="twice: 'x'"):
        project.extract(DAY, RESCUE)


def test_a_look_alike_of_a_missing_column_still_ends_the_run(local: SmallProject) -> None:
    project = of_kind(local, "csv")
    project.write("in/a.csv", "id,Size\n1,2.5\n")
    with pytest.raises(InputError, match="'Size' stands for 'size'"):
        project.extract(DAY, RESCUE)
    project.extract(DAY, RESCUE, "source.columns.missing=warn")
    assert rescued(project) == {1: '{"Size":"2.5"}'}


def json_lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def test_json_keys_keep_every_digit_and_their_places(local: SmallProject) -> None:
    project = of_kind(local, "json")
    project.edit("size: double", 'size: {type: double, path: "sums[0].net"}')
    project.write(
        "in/a.json",
        '{"id": 1, "sums": [{"net": 1, "vat": 0.10000000000000000001}, {"x": null}], "n": null}\n'
        '{"id": 2, "sums": [{"net": 1}]}\n'
        '{"id": 3, "sums": null, "half": "\\ud800", "ü": {"a b": [12345678901234567890]}}\n'
        '{"id": "x", "other": 1}\n',
    )
    report = project.extract(DAY, RESCUE)
    assert (report.rows_landed, report.rows_quarantined, report.warnings) == (3, 1, [])
    assert rescued(project) == {
        1: '{"sums":[{"vat":0.10000000000000000001},{"x":null}],"n":null}',
        2: None,
        3: '{"half":"\\ud800","ü":{"a b":[12345678901234567890]}}',
    }
    assert all(json.loads(text) for text in rescued(project).values() if text)


def test_json_items_keep_what_is_theirs(local: SmallProject) -> None:
    project = of_kind(local, "json")
    project.edit("path: in/*", "path: in/*\n  explode: data.items\n  key: id")
    project.edit("slice: ingest_date", "slice: ingest_date\n  unique: assumed")
    project.edit("id: int", "id: {type: int, path: data.items.id}")
    items = [{"id": 1, "color": "red"}, {"id": 2}]
    project.write("in/a.json", json_lines({"size": 1, "data": {"items": items, "total": 2}}))
    project.extract(DAY, RESCUE)
    assert rescued(project) == {
        1: '{"data":{"items":[{"color":"red"}],"total":2}}',
        2: '{"data":{"total":2}}',
    }


def test_json_that_is_too_deep_to_be_rescued_is_quarantined(local: SmallProject) -> None:
    project = of_kind(local, "json")
    deep = "[" * 9999 + "]" * 9999
    project.write(
        "in/a.json", f'{{"id": 1, "size": 1, "d": {deep}}}\n{{"id": 2, "size": 1, "e": 1}}'
    )
    report = project.extract(DAY, RESCUE)
    assert (report.rows_landed, report.rows_quarantined) == (1, 1)
    assert rescued(project) == {2: '{"e":1}'}
    [bad] = project.table("quarantine").to_pylist()
    assert (bad["source_line"], bad["reason"]) == (1, "json") and "rescued" in bad["message"]


def test_parquet_values_of_all_types(local: SmallProject) -> None:
    project = of_kind(local, "parquet")
    project.edit("size: double", 'size: {type: double, column: "the size"}')
    utc = datetime.timezone.utc
    values = {
        "size": pa.array(["another"]),
        "n": pa.array([2**63 - 1]),
        "f": pa.array([0.1], pa.float64()),
        "nan": pa.array([float("nan")]),
        "d": pa.array([decimal.Decimal("1.50")], pa.decimal128(9, 2)),
        "at": pa.array([datetime.datetime(2026, 1, 2, 3, tzinfo=utc)], pa.timestamp("ns", "UTC")),
        "day": pa.array([datetime.date(1, 1, 2)]),
        "raw": pa.array([b"\xff"]),
        "word": pa.array(["x"]).dictionary_encode(),
        "list": pa.array([[{"a": None, "b": True}]], pa.list_(PART)),
        "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        "none": pa.nulls(1),
    }
    table = pa.table({"id": pa.array([1], pa.int32()), "the size": [0.5], **values})
    folder = project.root / "in/zip=007"
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "a.parquet")
    project.edit("path: in/*", "path: in")
    report = project.extract(DAY, RESCUE)
    assert (report.rows_landed, report.warnings) == (1, [])
    [text] = rescued(project).values()
    assert text is not None and json.loads(text, parse_float=str) == {
        "size": "another",
        "n": 2**63 - 1,
        "f": "0.1",
        "nan": "nan",
        "d": "1.50",
        "at": "2026-01-02T03:00:00+00:00",
        "day": "0001-01-02",
        "raw": "/w==",
        "word": "x",
        "list": [{"a": None, "b": True}],
        "map": {"k": 1},
        "zip": "007",
    }
    assert project.table("landed").to_pylist()[0]["size"] == 0.5


def test_parquet_without_a_schema_rescues_what_the_first_file_had_not(local: SmallProject) -> None:
    project = of_kind(local, "parquet")
    project.edit("  schema: {id: int, size: double}\n", "")
    (project.root / "in").mkdir()
    first = pa.table({"id": [1], "size": [0.5]})
    pq.write_table(first, project.root / "in/a.parquet")
    project.extract(DAY, RESCUE)
    more = first.append_column("more", pa.array([True]))
    pq.write_table(more.set_column(0, "id", pa.array([2])), project.root / "in/b.parquet")
    assert project.extract(DAY, RESCUE).warnings == []
    assert rescued(project) == {1: None, 2: '{"more":true}'}
    taken = first.append_column("_RESCUED_data", pa.array(["x"]))
    other = of_kind(local, "parquet")
    other.edit("  schema: {id: int, size: double}\n", "")
    other.edit("name: small", "name: other")
    pq.write_table(taken, project.root / "in/a.parquet")
    with pytest.raises(InputError, match="the source has a column _RESCUED_data"):
        other.extract(DAY, RESCUE)


def test_keys_of_an_api(local: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Api([{"id": 1, "size": 2, "x": {"y": 1}}, {"id": 2, "size": 2}])) as api:
        monkeypatch.setenv("ORDERS_API", api.url)
        project = of_kind(local, "http")
        project.edit("path: in/*", "url: ${ORDERS_API}")
        assert project.extract(DAY, RESCUE).warnings == []
    assert rescued(project) == {1: '{"x":{"y":1}}', 2: None}


@pytest.mark.parametrize(
    ("kind", "old", "new", "said"),
    [
        ("csv", "slice:", "columns: {rescue: true, new: add}\n  slice:", "allowed: one of them"),
        ("json", "slice:", "columns: {rescue: true, new: fail}\n  slice:", "allowed: one of them"),
        (
            "csv",
            "slice:",
            "columns: {rescue: true}\n  header: false\n  slice:",
            "files with header: false name no columns",
        ),
        (
            "json",
            "size: double}",
            "size: double, _Rescued_data: string}\n  columns: {rescue: true}",
            "got the column _Rescued_data, which source.columns: {rescue: true} makes",
        ),
        ("csv", "slice:", "columns: {rescue: 1}\n  slice:", "allowed: true or false"),
        (
            "texts",
            "schema: {id: int, size: double}",
            "columns: {new: add}",
            "rows of kind texts always have the columns path, bytes, digest and content",
        ),
        (
            "text_log",
            "schema: {id: int, size: double}",
            "format: common\n  columns: {missing: warn}",
            "the columns of a log are those of its format or pattern",
        ),
    ],
)
def test_what_cannot_be_kept_is_told_from_the_file_alone(
    local: SmallProject, kind: str, old: str, new: str, said: str
) -> None:
    project = of_kind(local, kind)
    project.edit(old, new)
    with pytest.raises(ConfigError) as caught:
        project.extract()
    assert said in str(caught.value)
    assert "unknown field columns" not in str(caught.value)
