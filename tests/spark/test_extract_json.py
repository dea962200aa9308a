"""`extract` of JSON: statuses with nested fields, arrays, exploded lists; again, with one more
file, and with bad records.
"""

from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from spark.projects import DAY, SmallProject

from batchinfer.errors import InputError, TooManyQuarantined

PIPELINE = """\
name: small
source:
  kind: json
  path: in/*
  schema:
    id: bigint
    created_at: timestamp
    text: string
    author: {type: string, path: user.name}
    tag: {type: string, path: "entities.hashtags[0].text"}
    tags: {type: "array<struct<text: string, indices: array<int>>>", path: entities.hashtags}
    price: {type: "decimal(10,2)", path: 'meta["a.b"].price'}
  options: {timestamp_format: "%a %b %d %H:%M:%S %z %Y"}
  slice: ingest_date
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.2}
sink: {table: predictions/small}
"""


def status(number: int) -> dict[str, Any]:
    tags = [{"text": f"tag{number}", "indices": [0, number]}, {"text": "ü", "indices": []}]
    return {
        "created_at": f"Mon Apr {number % 28 + 1:02} 07:05:03 +0200 2015",
        "id": 10**17 + number,
        "text": f'said "{number}" 😀\n',
        "user": {"id": number, "name": f"user {number}", "followers": [1, 2]},
        "entities": {"hashtags": tags if number % 2 else [], "urls": [{"u": {"v": None}}]},
        "meta": {"a.b": {"price": number / 4}},
    }


def lines_of(numbers: range) -> str:
    return "".join(
        json.dumps(status(number), ensure_ascii=number % 3 == 0) + "\n" for number in numbers
    )


@pytest.fixture
def statuses(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    project = SmallProject(tmp_path, lambda: spark)
    project.write("conf/pipelines/small.yaml", PIPELINE)
    return project


def landed(project: SmallProject) -> list[dict[str, Any]]:
    return (
        project.table("landed")
        .sort_by([("source_file", "ascending"), ("source_line", "ascending")])
        .to_pylist()
    )


def nothing_landed(project: SmallProject) -> bool:
    """No commit, and no file left behind."""
    return not any(path.is_file() for path in (project.root / "var/lake/landed").rglob("*"))


def test_statuses_again_and_one_more_file(statuses: SmallProject, spark: SparkSession) -> None:
    statuses.write("in/a.jsonl", lines_of(range(10)) + '\n{"id": 5\n')
    first = statuses.extract()
    assert (
        first.status,
        first.rows_in,
        first.rows_landed,
        first.rows_quarantined,
        first.blank_lines,
    ) == ("landed", 11, 10, 1, 1)
    again = statuses.extract()
    assert (again.status, again.rows_in) == ("unchanged", 0)
    (statuses.root / "in/b.jsonl.gz").write_bytes(gzip.compress(lines_of(range(10, 15)).encode()))
    more = statuses.extract()
    assert (more.rows_landed, more.files_read) == (5, 1)

    rows = landed(statuses)
    assert [(row["source_file"], row["source_line"]) for row in rows] == [
        *(("a.jsonl", line) for line in range(1, 11)),
        *(("b.jsonl.gz", line) for line in range(1, 6)),
    ]
    for number, row in enumerate(rows):
        told = status(number)
        assert (row["id"], row["text"], row["author"]) == (
            told["id"],
            told["text"],
            told["user"]["name"],
        )
        assert row["tags"] == told["entities"]["hashtags"]
        assert row["tag"] == (f"tag{number}" if number % 2 else None)
        assert float(row["price"]) == number / 4
        assert row["created_at"] == datetime.datetime(
            2015, 4, number % 28 + 1, 5, 5, 3, tzinfo=datetime.timezone.utc
        )
    by_spark = spark.read.format("delta").load(str(statuses.root / "var/lake/landed/small"))
    assert (
        by_spark.where("get(get(tags, 0).indices, 1) = 13").select("author").collect()[0].author
        == "user 13"
    )

    [bad] = statuses.table("quarantine").to_pylist()
    assert (bad["source_file"], bad["source_line"], bad["raw"], bad["reason"]) == (
        "a.jsonl",
        12,
        b'{"id": 5',
        "json",
    )
    assert (bad["stage"], bad["published"], bad["slice"]) == ("extract", True, DAY)


def test_too_many_bad_records_land_nothing(statuses: SmallProject) -> None:
    statuses.write("in/a.jsonl", lines_of(range(3)) + '{"id": "x"}\n[1]\n')
    with pytest.raises(TooManyQuarantined) as caught:
        statuses.extract()
    assert caught.value.exit_code == 5
    assert 'a.jsonl:4: column id: got "x"; allowed: bigint' in caught.value.problems[0]
    assert nothing_landed(statuses)
    bad = sorted(statuses.table("quarantine").to_pylist(), key=lambda row: row["source_line"])
    assert [(row["source_line"], row["reason"], row["published"]) for row in bad] == [
        (4, "type", False),
        (5, "not_object", False),
    ]


def test_an_exploded_list(statuses: SmallProject) -> None:
    format_ = next(line for line in PIPELINE.splitlines() if "timestamp_format" in line)
    statuses.edit(format_, "  key: [id, name]\n  options: {explode: tags}")
    start, end = PIPELINE.index("    created_at"), PIPELINE.index("  options")
    statuses.edit(
        PIPELINE[start:end],
        "    name: {type: string, path: tags.name}\n    n: {type: int, path: 'tags.pair[1]'}\n",
    )
    records = [
        {"id": n, "tags": [{"name": f"t{k}", "pair": [0, k]} for k in range(n)]} for n in range(4)
    ]
    statuses.write("in/a.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    report = statuses.extract()
    assert (report.rows_in, report.rows_landed, report.rows_quarantined, report.blank_lines) == (
        6,
        6,
        0,
        0,
    )
    assert (
        "1 record gave no row: the list that source.options.explode names is missing or empty "
        "there" in report.warnings
    )
    rows = sorted(
        (row["id"], row["name"], row["n"], row["source_line"]) for row in landed(statuses)
    )
    assert rows == [(n, f"t{k}", k, n + 1) for n in range(4) for k in range(n)]


def test_an_array(statuses: SmallProject) -> None:
    statuses.edit("  options: {timestamp_format", "  options: {array: true, timestamp_format")
    statuses.write("in/a.json", json.dumps([status(number) for number in range(6)], indent=2))
    assert statuses.extract().rows_landed == 6
    size = json.dumps(status(0), indent=2).count("\n") + 1
    rows = landed(statuses)
    assert (rows[0]["source_line"], rows[1]["source_line"]) == (2, 2 + size)
    assert [row["id"] for row in rows] == [10**17 + number for number in range(6)]
    assert statuses.extract().status == "unchanged"


def test_elements_on_one_line_need_a_key_of_their_own(statuses: SmallProject) -> None:
    statuses.edit("  options: {timestamp_format", "  options: {array: true, timestamp_format")
    statuses.write("in/a.json", json.dumps([status(number) for number in range(3)]))
    with pytest.raises(InputError, match=r"keys \(source_file, source_line\) that repeat"):
        statuses.extract()
    assert nothing_landed(statuses)
    statuses.edit("  slice: ing", "  key: id\n  slice: ing")
    assert statuses.extract().rows_landed == 3


def test_an_array_without_its_end_is_refused_with_its_place(statuses: SmallProject) -> None:
    statuses.edit("  options: {timestamp_format", "  options: {array: true, timestamp_format")
    statuses.write("in/a.json", json.dumps([status(number) for number in range(3)], indent=1)[:-30])
    with pytest.raises(
        InputError, match=r"in/a.json, line \d+: the text ends inside the element that starts here"
    ) as caught:
        statuses.extract()
    assert caught.value.exit_code == 3
    assert nothing_landed(statuses)
