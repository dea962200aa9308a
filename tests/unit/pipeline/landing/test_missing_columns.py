"""Columns that a source lacks: a look-alike ends the run, another one is null with a warning."""

from __future__ import annotations

import json
from typing import Any

import pytest
from spark.projects import DAY, SmallProject

from batchinfer.errors import ConfigError, InputError

JSON = """\
name: small
source:
  kind: json
  path: in/*.json
  schema: {id: long, amount: double, note: string, big: string}
  slice: ingest_date
features: [{standardize: {columns: amount}}]
train: {target: {column: big, positive: ["yes"]}}
model: {uri: "models:/small@champion"}
sink: {table: predictions/small}
"""


@pytest.fixture
def project(local: SmallProject) -> SmallProject:
    local.write("conf/pipelines/small.yaml", JSON)
    return local


def write(project: SmallProject, name: str, *records: dict[str, Any]) -> None:
    project.write(f"in/{name}", "".join(json.dumps(record) + "\n" for record in records))


def refused(project: SmallProject, *overrides: str) -> InputError:
    with pytest.raises(InputError) as caught:
        project.extract(DAY, *overrides)
    assert not (project.root / "var/lake/landed/small/_delta_log").exists()
    assert not list((project.root / "var/lake/landed").rglob("*.parquet"))
    return caught.value


def test_a_json_key_that_looks_like_a_missing_one_ends_the_run(project: SmallProject) -> None:
    write(project, "a.json", *({"id": n, "Amount": n, "note": "x"} for n in range(5)))
    error = refused(project)
    assert error.problems == ("a.json: no record has the key amount (column amount), but Amount",)
    assert "path" in str(error.hint) and "source.columns" in str(error.hint)
    # The way that the hint names.
    project.edit("amount: double", "amount: {type: double, path: Amount}")
    report = project.extract()
    assert [row["amount"] for row in project.table("landed").to_pylist()] == [0, 1, 2, 3, 4]
    assert report.warnings == []


def test_files_with_either_key_are_read_by_two_columns(project: SmallProject) -> None:
    write(project, "a.json", {"id": 1, "Amount": 2.5, "note": "x"})
    write(project, "b.json", {"id": 9, "amount": 1.5, "note": "x"})
    assert "have both: a second column" in str(refused(project).hint)
    project.edit("amount: double", "amount: double, amount_2: {type: double, path: Amount}")
    project.edit("features:", 'derive: {paid: "coalesce(amount, amount_2)"}\nfeatures:')
    project.edit("columns: amount}", "columns: paid}")
    assert project.extract().rows_landed == 2
    found = {row["id"]: row for row in project.table("landed").to_pylist()}
    assert (found[1]["amount_2"], found[9]["amount"]) == (2.5, 1.5)


def test_without_a_look_alike_it_is_null_with_a_warning(project: SmallProject) -> None:
    write(project, "a.json", {"id": 1, "amount": 1.5})
    write(project, "b.json", {"id": 2, "amount": 2.5})
    # The target is nobody's business: what is scored lacks it.
    assert project.extract().warnings == [
        "no record has the key note (column note): null in all rows"
    ]
    # One that some file has is nothing to speak of: records of JSON may leave it out.
    write(project, "c.json", {"id": 3, "amount": 2.5, "note": "x"})
    write(project, "d.json", {"id": 4, "amount": 2.5})
    assert project.extract().warnings == []


def test_the_target_may_stand_there_under_another_name(project: SmallProject) -> None:
    write(project, "a.json", {"id": 1, "amount": 1, "note": "x", "Big": "yes"})
    assert project.extract(DAY, "source.columns.new=ignore").warnings == []


def test_fail_warn_and_null(project: SmallProject) -> None:
    write(project, "a.json", {"id": 1, "Amount": 1.5})
    error = refused(project, "source.columns.missing=fail")
    assert error.problems == (
        "a.json: no record has the key amount (column amount), but Amount",
        "a.json: no record has the key note (column note)",
    )
    ignore = "source.columns.new=ignore"
    assert project.extract("2026-01-01", "source.columns.missing=warn", ignore).warnings == [
        "a.json: no record has the key amount (column amount), but Amount; null in its rows",
        "no record has the key note (column note): null in all rows",
    ]
    # `null` in YAML is the word, too.
    assert project.extract("2026-01-02", "source.columns.missing=null", ignore).warnings == []
    assert project.extract("2026-01-03", 'source.columns.missing="null"', ignore).warnings == []
    with pytest.raises(ConfigError, match="allowed: auto, fail, warn, null"):
        project.extract("2026-01-04", "source.columns.missing=never")
