"""JSON keys that nobody declared: told of, refused, or added to the landed table."""

from __future__ import annotations

import json
from typing import Any

import pytest
from spark.projects import DAY, SmallProject

from batchinfer.errors import InputError

NEXT_DAY = "2026-11-22"
JSON = """\
name: small
source:
  kind: json
  path: in/*.json
  schema: {id: long, user: "struct<name: string>"}
  slice: ingest_date
features: [{standardize: {columns: id}}]
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/small}
"""
ADD = "source.columns.new=add"


@pytest.fixture
def project(local: SmallProject) -> SmallProject:
    local.write("conf/pipelines/small.yaml", JSON)
    return local


def write(project: SmallProject, name: str, *records: dict[str, Any]) -> None:
    project.write(f"in/{name}", "".join(json.dumps(record) + "\n" for record in records))


def rows(project: SmallProject) -> dict[int, dict[str, Any]]:
    left_out = ["source_file", "source_line", "slice", "user"]
    return {row["id"]: row for row in project.table("landed").drop_columns(left_out).to_pylist()}


def test_by_default_new_keys_are_left_out_and_told(project: SmallProject) -> None:
    write(project, "a.json", {"id": 1, "user": {"name": "n", "age": 3}, "more": 1})
    assert project.extract().warnings == [
        "keys that source.schema does not name are left out, such as more, user.age; "
        "source.columns: {new: ignore} does so without a word, {new: add} lands them"
    ]
    assert rows(project) == {1: {"id": 1}}
    assert project.extract(NEXT_DAY, "source.columns.new=ignore").warnings == []


def test_fail_names_the_files_and_the_keys(project: SmallProject) -> None:
    write(project, "a.json", {"id": 1, "user": {"name": "n"}})
    write(project, "b.json", {"id": 2, "user": {"name": "n"}}, {"id": 3, "more": 1, "user": {}})
    write(project, "c.json", {"id": 4, "user": {"name": "n", "age": 3}})
    with pytest.raises(InputError) as caught:
        project.extract(DAY, "source.columns.new=fail")
    assert caught.value.problems == (
        "b.json: it has keys that source.schema does not name: more",
        "c.json: it has keys that source.schema does not name: user.age",
    )
    assert "source.columns: {new: ignore}" in str(caught.value.hint)
    assert not list((project.root / "var/lake/landed").rglob("*.parquet"))
    (project.root / "in/b.json").unlink()
    (project.root / "in/c.json").unlink()
    assert project.extract(DAY, "source.columns.new=fail").rows_landed == 1


def test_added_keys_get_columns_and_earlier_slices_say_null(project: SmallProject) -> None:
    write(project, "a.json", {"id": 1, "user": {"name": "n"}})
    project.extract()
    write(
        project,
        "a.json",
        {"id": 2, "user": {"name": "n"}, "n": 1, "tags": ["a"], "rest": {"x": [1.50]}, "no": None},
        {"id": 3, "user": {"name": "n"}, "n": 0.5},
    )
    assert project.extract(NEXT_DAY, ADD).warnings == [
        "new in the landed table, and null in what landed before: n double, tags array<string>, "
        "rest string"
    ]
    assert rows(project) == {
        1: {"id": 1, "n": None, "tags": None, "rest": None},
        2: {"id": 2, "n": 1.0, "tags": ["a"], "rest": '{"x":[1.5]}'},
        3: {"id": 3, "n": 0.5, "tags": None, "rest": None},
    }
    # What has landed keeps its type; a value that does not fit it is quarantined.
    write(
        project,
        "a.json",
        {"id": 4, "user": {"name": "n"}, "n": "x"},
        {"id": 5, "user": {"name": "n"}, "n": 2, "later": True},
    )
    report = project.extract("2026-11-23", ADD)
    assert (report.rows_landed, report.rows_quarantined) == (1, 1)
    assert rows(project)[5] == {"id": 5, "n": 2.0, "tags": None, "rest": None, "later": True}
    [bad] = project.table("quarantine").to_pylist()
    assert 'column n: got "x"; allowed: double' in bad["message"]
    # Declared later, it is the column that landed.
    project.edit("schema: {id: long,", "schema: {id: long, n: double,")
    report = project.extract("2026-11-24")
    assert (report.rows_landed, report.rows_quarantined) == (1, 1)
    assert "landed before, and null in what lands now: tags, rest, later" in report.warnings


def test_keys_inside_of_others_are_told_where_keys_are_added(project: SmallProject) -> None:
    write(project, "a.json", {"id": 1, "user": {"name": "n", "age": 3}})
    [note] = project.extract(DAY, ADD).warnings
    assert "keys inside of others are left out, such as user.age" in note
    assert rows(project) == {1: {"id": 1}}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("Order ID", r"order_id: \{type: …, path: '\[\"Order ID\"\]'\}"),
        ("ID", "there is a column 'id'"),
        ("slice", "there is a column 'slice'"),
    ],
)
def test_names_that_cannot_be_added_end_the_run(project: SmallProject, key: str, said: str) -> None:
    write(project, "a.json", {"id": 1, "user": {"name": "n"}, key: 5})
    with pytest.raises(InputError, match=said) as caught:
        project.extract(DAY, ADD)
    assert str(caught.value).startswith("a.json: the new column")


def test_keys_that_are_data_do_not_become_columns(project: SmallProject) -> None:
    write(project, "a.json", {"id": 1, "user": {"name": "n"}, **{f"k{n}": n for n in range(1001)}})
    with pytest.raises(InputError, match="1,001 keys are new, such as k0, k1, k10") as caught:
        project.extract(DAY, ADD)
    assert "map<string, …>" in str(caught.value.hint)


def test_large_files_are_searched_in_parts(project: SmallProject) -> None:
    lines = [{"id": n, "user": {"name": "n" * 900}} for n in range(20_000)]
    write(project, "a.json", *lines, {"id": -1, "user": {"name": "n"}, "last": [0.5]})
    report = project.extract(DAY, ADD)
    assert (report.rows_landed, report.rows_quarantined) == (20_001, 0)
    landed = project.table("landed")
    assert landed.column("last").null_count == 20_000
    assert sorted(landed.column("source_line").to_pylist()) == list(range(1, 20_002))
