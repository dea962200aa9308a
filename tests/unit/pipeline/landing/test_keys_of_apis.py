"""Keys of an API's records that are missing, or that nobody declared: as those of JSON files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from http_api import Api, orders, serving
from spark.projects import DAY, SmallProject

from batchinfer.errors import InputError

NEXT_DAY = "2026-11-22"
HTTP = """\
name: small
source:
  kind: http
  url: ${ORDERS_API}
  pagination: {kind: page}
  schema: {id: int, color: string, city: {type: string, path: "to.city"}}
  key: id
  unique: assumed
  slice: ingest_date
  retries: 0
features: [{standardize: {columns: id}}]
model: {uri: "models:/small@champion"}
sink: {table: predictions/small}
"""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    records = [order | {"to": {"city": "Ulm"}} for order in orders(range(4))]
    for record in records:
        del record["size"]
    with serving(Api(records)) as started:
        monkeypatch.setenv("ORDERS_API", started.url)
        yield started


@pytest.fixture
def project(local: SmallProject, api: Api) -> SmallProject:
    local.write("conf/pipelines/small.yaml", HTTP)
    return local


def test_a_renamed_key_inside_of_records_ends_the_run(project: SmallProject, api: Api) -> None:
    for record in api.records:
        record["to"] = {"City": "Ulm"}
    with pytest.raises(InputError) as caught:
        project.extract()
    assert caught.value.problems[0] == (
        f"{api.url}?page=1: no record has the key to.city (column city), but to.City"
    )
    assert "source.columns: {missing: warn}" in str(caught.value.hint)


def test_new_keys_of_an_api(project: SmallProject, api: Api) -> None:
    assert project.extract().warnings == []
    api.records += [{"id": 4, "color": "red", "to": {"city": "Ulm"}, "vat": 0.19}]
    with pytest.raises(InputError) as caught:
        project.extract(NEXT_DAY, "source.columns.new=fail")
    assert caught.value.problems == (
        f"{api.url}?page=2: it has keys that source.schema does not name: vat",
    )
    report = project.extract(NEXT_DAY, "source.columns.new=add")
    added = "new in the landed table, and null in what landed before: vat double"
    assert report.warnings[-1] == added
    api.records += [{"id": 5, "color": "red", "to": {"city": "Ulm"}, "net": 1}]
    left_out, *_ = project.extract("2026-11-23").warnings
    assert left_out.startswith(
        "keys that source.schema does not name are left out, such as net, vat;"
    )
    rows = {row["id"]: row["vat"] for row in project.table("landed").to_pylist()}
    assert rows == {0: None, 1: None, 2: None, 3: None, 4: 0.19, 5: None}
    assert {row["slice"] for row in project.table("landed").to_pylist()} >= {DAY, NEXT_DAY}
