"""HTTP APIs from a real server to the landed table: increments, bad records, changes, and runs that
end in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from http_api import Api, Reply, as_json, orders, serving
from spark.projects import DAY, SmallProject

from batchinfer.errors import ConfigError, InputError, SliceHeld, StorageError, TooManyQuarantined
from batchinfer.lake import delta
from batchinfer.lake.leases import hold
from batchinfer.sources.http.page_spool import PageSpool

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PIPELINE = """\
name: small
source:
  kind: http
  url: ${ORDERS_API}
  pagination: {kind: page}
  schema: {id: int, color: string, size: double}
  key: id
  slice: ingest_date
  retries: 0
features:
  - standardize: {columns: size}
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/small}
"""
TOKEN = "canary-0123456789abcdef"
NEXT_DAY = "2026-11-22"


class Killed(BaseException):
    """What ends a run where it stands."""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    with serving(Api(orders(range(8)))) as started:
        monkeypatch.setenv("ORDERS_API", started.url)
        yield started


@pytest.fixture
def project(
    tmp_path: Path, spark: SparkSession, api: Api, monkeypatch: pytest.MonkeyPatch
) -> SmallProject:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    project = SmallProject(tmp_path, lambda: spark)
    project.write("conf/pipelines/small.yaml", PIPELINE)
    return project


def ids(project: SmallProject, slice_: str | None = None) -> list[int]:
    rows = project.table("landed").to_pylist()
    return sorted(row["id"] for row in rows if slice_ in (None, row["slice"]))


def places(project: SmallProject, api: Api, kind: str = "landed") -> list[tuple[str, int]]:
    rows = project.table(kind).to_pylist()
    return sorted((row["source_file"].removeprefix(api.url), row["source_line"]) for row in rows)


def aside(project: SmallProject) -> list[tuple[bytes, bool]]:
    return sorted((row["raw"], row["published"]) for row in project.table("quarantine").to_pylist())


def spooled(project: SmallProject) -> list[str]:
    staging = project.root / "var" / "staging"
    return sorted(path.name for path in staging.rglob("*") if path.is_file())


def test_each_extract_lands_what_is_new(project: SmallProject, api: Api) -> None:
    first = project.extract()
    assert (first.status, first.rows_in, first.rows_landed, first.files_read) == ("landed", 8, 8, 3)
    assert (ids(project), spooled(project)) == (list(range(8)), [])
    assert places(project, api)[:4] == [
        ("?page=1", 1),
        ("?page=1", 2),
        ("?page=1", 3),
        ("?page=2", 1),
    ]
    again = project.extract()
    assert (again.status, again.rows_in, again.version) == ("unchanged", 0, first.version)
    api.records += orders(range(8, 11))
    more = project.extract(NEXT_DAY)
    assert (more.status, more.rows_in, more.slices) == ("landed", 3, [NEXT_DAY])
    assert (ids(project, DAY), ids(project, NEXT_DAY)) == (list(range(8)), [8, 9, 10])
    assert project.extract(NEXT_DAY).status == "unchanged"
    assert len(set(places(project, api))) == 11


def test_bad_records_are_put_aside_with_page_and_number(project: SmallProject, api: Api) -> None:
    api.records[4] = {"id": "four", "size": 1.5}
    api.records[5] = {"color": "red"}
    report = project.extract()
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (8, 6, 2)
    rows = {row["source_line"]: row for row in project.table("quarantine").to_pylist()}
    assert {row["source_file"] for row in rows.values()} == {f"{api.url}?page=2"}
    assert (rows[2]["reason"], rows[2]["raw"]) == ("type", b'{"id": "four", "size": 1.5}')
    assert rows[3]["reason"] == "null_key"
    assert project.extract().status == "unchanged"


def test_what_is_no_object_is_put_aside(project: SmallProject, api: Api) -> None:
    api.answer = lambda query: as_json(
        [{"id": 1}, None, 7, [], "x", {"id": 2}] if query["page"] == "1" else []
    )
    report = project.extract("2026-11-21", "checks.max_quarantine_rate=0.9")
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (6, 2, 4)
    assert [raw for raw, _ in aside(project)] == [b'"x"', b"7", b"[]", b"null"]


def test_nested_columns_and_times_by_format(project: SmallProject, api: Api) -> None:
    project.edit("size: double", "size: {type: double, path: 'sums[0].net'}, at: timestamp")
    project.edit("  retries: 0", "  retries: 0\n  timestamp_format: '%d.%m.%Y %H:%M'")
    api.records = [{"id": 1, "sums": [{"net": 2.5}], "at": "21.11.2026 02:15"}]
    project.extract()
    [row] = project.table("landed").to_pylist()
    assert (row["size"], row["at"].isoformat()) == (2.5, "2026-11-21T02:15:00+00:00")


def test_slices_by_a_column(project: SmallProject, api: Api) -> None:
    project.edit("slice: ingest_date", "slice: color")
    assert project.extract(None).slices == ["blue", "red"]
    api.records += orders(range(8, 9))
    assert project.extract(None).slices == ["red"]
    assert ids(project) == list(range(9))


def test_an_api_without_records_yet(project: SmallProject, api: Api) -> None:
    api.records = []
    first = project.extract()
    assert (first.status, first.rows_in, first.slices) == ("landed", 0, [DAY])
    assert project.extract().status == "unchanged"
    api.records = orders(range(2))
    assert project.extract().rows_landed == 2


def test_too_many_bad_records_and_then_better_ones(project: SmallProject, api: Api) -> None:
    good = api.records
    api.records = [{"id": f"n{n}"} for n in range(8)]
    with pytest.raises(TooManyQuarantined, match=r"8 of 8 records .*First: http.*page=1:1"):
        project.extract()
    assert {published for _, published in aside(project)} == {False}
    api.take_asked()
    # The same records would be refused again, so they are asked for again.
    api.records = good
    assert project.extract().rows_landed == 8
    assert len(api.take_asked()) == 4
    assert aside(project) == []


def test_refused_pages_are_used_under_another_configuration(
    project: SmallProject, api: Api
) -> None:
    api.records[1] = {"id": "one"}
    with pytest.raises(TooManyQuarantined):
        project.extract(DAY, "checks.max_quarantine_rate=0.1")
    api.take_asked()
    report = project.extract(DAY, "checks.max_quarantine_rate=0.2")
    assert (report.rows_landed, report.rows_quarantined, api.take_asked()) == (7, 1, [])
    assert report.warnings == ["3 pages are those that an earlier run had fetched before it ended"]
    assert aside(project) == [(b'{"id": "one"}', True)]


def test_a_key_that_comes_twice_ends_the_run(project: SmallProject, api: Api) -> None:
    api.records.append({"id": 3})
    with pytest.raises(InputError, match=r"keys \(id\) that repeat"):
        project.extract()
    assert not (project.root / "var/lake/landed/small/_delta_log").exists()


@pytest.mark.parametrize("on_changed", ["fail", "append", "replace"])
def test_a_last_page_that_changed(project: SmallProject, api: Api, on_changed: str) -> None:
    project.extract()
    api.records[7] = {"id": 70}
    api.records += orders(range(8, 10))
    if on_changed == "fail":
        with pytest.raises(InputError, match=r"page=3: the page changed after it was landed"):
            project.extract(NEXT_DAY)
        assert ids(project) == list(range(8))
        return
    project.extract(NEXT_DAY, f"source.on_changed={on_changed}")
    if on_changed == "append":
        assert (ids(project, DAY), ids(project, NEXT_DAY)) == (list(range(8)), [8, 9])
    else:
        assert (ids(project, DAY), ids(project, NEXT_DAY)) == (list(range(6)), [6, 8, 9, 70])
    assert project.extract(NEXT_DAY).status == "unchanged"


def test_an_outage_in_the_middle(project: SmallProject, api: Api) -> None:
    api.faults = [None, None, Reply(b"", 502)]
    with pytest.raises(StorageError, match="page=3: 502 Bad Gateway") as down:
        project.extract()
    assert "2 pages are kept in" in (down.value.hint or "")
    assert spooled(project) == ["000001.jsonl", "000002.jsonl", "journal.jsonl"]
    api.take_asked()
    assert project.extract().rows_landed == 8
    assert api.take_asked() == ["?page=3", "?page=4"]
    assert spooled(project) == []


def test_a_cursor_that_expired_begins_anew(project: SmallProject, api: Api) -> None:
    project.edit("{kind: page}", "{kind: cursor, cursor_path: meta.next_cursor}")
    api.answer = api.by_cursor
    api.faults = [None, None, Reply(b"", 502)]
    with pytest.raises(StorageError):
        project.extract()
    api.take_asked()
    api.faults = [Reply(b"cursor expired", 410)]
    report = project.extract()
    assert (report.rows_landed, ids(project)) == (8, list(range(8)))
    assert api.take_asked() == ["?cursor=c6", "", "?cursor=c3", "?cursor=c6"]
    assert "2 pages that an earlier run had fetched were fetched anew: " in report.warnings[0]


def test_a_token_that_expired_in_the_middle_keeps_the_pages(
    project: SmallProject, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit("  retries: 0", "  retries: 0\n  auth_env: ORDERS_TOKEN")
    monkeypatch.setenv("ORDERS_TOKEN", TOKEN)
    api.faults = [None, Reply(b"expired", 401), Reply(b"still", 401)]
    for _ in range(2):
        with pytest.raises(InputError, match="page=2: got 401 Unauthorized"):
            project.extract()
    api.take_asked()
    assert project.extract().rows_landed == 8
    assert api.take_asked() == ["?page=2", "?page=3", "?page=4"]


def killed(project: SmallProject, monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> None:
    """A run that ends when it calls a function."""

    def end(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(where, name, end)
        with pytest.raises(Killed):
            project.extract()


def test_killed_between_the_commits_puts_nothing_aside_twice(
    project: SmallProject, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.records[1] = {"id": "one"}
    killed(project, monkeypatch, delta, "commit")
    assert aside(project) == [(b'{"id": "one"}', True)]
    # What came meanwhile waits for the next extract: these pages are those that were put aside
    # already.
    api.records += orders(range(8, 10))
    api.take_asked()
    assert (project.extract().rows_landed, api.take_asked()) == (7, [])
    assert project.extract().rows_landed == 2
    assert aside(project) == [(b'{"id": "one"}', True)]
    assert ids(project) == [0, *range(2, 10)]


@pytest.mark.parametrize("landed_before", [False, True])
def test_killed_between_the_commits_with_its_pages_lost(
    project: SmallProject, api: Api, monkeypatch: pytest.MonkeyPatch, landed_before: bool
) -> None:
    """A driver of its own disk is gone with its disk; the pages are others by now."""
    project.edit("max_quarantine_rate: 0.5", "max_quarantine_rate: 1.0")
    api.records = [*orders(range(1)), {"id": "one"}]
    if landed_before:
        project.extract()
    api.records = [api.records[0], api.records[1], {"id": "two"}]
    killed(project, monkeypatch, delta, "commit")
    for path in sorted((project.root / "var/staging").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    api.records += orders(range(3, 5))
    api.size = 5
    project.extract()
    assert ids(project) == [0, 3, 4]
    assert aside(project) == [(b'{"id": "one"}', True), (b'{"id": "two"}', True)]


def test_killed_behind_the_commit_lands_nothing_twice(
    project: SmallProject, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = PageSpool.drop

    def end(spool: PageSpool) -> None:
        if spool.pages:
            raise Killed
        plain(spool)

    with monkeypatch.context() as patched:
        patched.setattr(PageSpool, "drop", end)
        with pytest.raises(Killed):
            project.extract()
    assert (ids(project), len(spooled(project))) == (list(range(8)), 4)
    assert project.extract().status == "unchanged"
    assert (ids(project), spooled(project)) == (list(range(8)), [])


def test_two_days_at_once_wait_for_each_other(project: SmallProject) -> None:
    """The position counts for all slices."""
    with (
        hold(str(project.root / "var/lake"), "small", "extract *", "another"),
        pytest.raises(SliceHeld),
    ):
        project.extract(NEXT_DAY)


def test_the_token_has_to_be_there_before_anything_runs(
    project: SmallProject, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit("  retries: 0", "  auth_env: ORDERS_TOKEN")
    monkeypatch.delenv("ORDERS_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="variable ORDERS_TOKEN is not set"):
        project.extract()
    monkeypatch.setenv("ORDERS_TOKEN", "two\nlines")
    with pytest.raises(ConfigError, match="holds what no header can carry") as refused:
        project.extract()
    assert "lines" not in str(refused.value)
    assert api.asked == []
    monkeypatch.setenv("ORDERS_TOKEN", f"{TOKEN}\n")
    project.extract()
    assert set(api.authorization) == {f"Bearer {TOKEN}"}


def test_staging_that_is_no_folder(project: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("conf/environments/away.yaml", "staging: s3a://bucket/staging\n")
    from batchinfer.pipeline.definition.context import Context
    from batchinfer.pipeline.extract import extract_source

    context = Context.open(str(project.root / "conf/pipelines/small.yaml"), "away")
    with pytest.raises(
        ConfigError, match=r"staging: got s3a://bucket/staging; allowed with kind: http: a folder"
    ):
        extract_source(context, DAY, project.open_session)


@pytest.fixture
def unpaged(project: SmallProject, api: Api) -> SmallProject:
    project.edit("  pagination: {kind: page}\n", "")
    api.answer = lambda _: as_json({"orders": api.records})
    return project


def test_one_answer_is_landed_like_a_file(unpaged: SmallProject, api: Api) -> None:
    assert unpaged.extract().rows_landed == 8
    assert unpaged.extract().status == "unchanged"
    assert places(unpaged, api) == [("", n) for n in range(1, 9)]
    # A slice is the answer as it was that day.
    assert unpaged.extract(NEXT_DAY).rows_landed == 8
    assert (unpaged.extract(DAY, force=True).rows_landed, len(ids(unpaged))) == (8, 16)
    assert spooled(unpaged) == []


def test_one_answer_that_changed(unpaged: SmallProject, api: Api) -> None:
    unpaged.extract()
    api.records = [{"id": 70}, *api.records[1:], *orders(range(8, 10))]
    with pytest.raises(InputError, match=r"orders: it changed after it was landed"):
        unpaged.extract()
    with pytest.raises(
        InputError,
        match=r"orders: the first 8 records of the answer \(of 10\) are not those that landed",
    ):
        unpaged.extract(DAY, "source.on_changed=append")
    assert unpaged.extract(DAY, "source.on_changed=replace").rows_landed == 10
    assert ids(unpaged) == [*range(1, 10), 70]


def test_one_answer_that_grew(unpaged: SmallProject, api: Api) -> None:
    api.records[7] = {"id": "seven"}
    unpaged.extract()
    api.records += [*orders(range(8, 10)), {"id": "ten"}]
    report = unpaged.extract(DAY, "source.on_changed=append")
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (3, 2, 1)
    assert (ids(unpaged), len(aside(unpaged))) == ([*range(7), 8, 9], 2)
    assert unpaged.extract().status == "unchanged"
    api.records.pop()
    with pytest.raises(InputError, match=r"first 11 records of the answer \(of 10\)"):
        unpaged.extract(DAY, "source.on_changed=append")


def test_one_answer_killed_between_the_commits(
    unpaged: SmallProject, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.records[7] = {"id": "seven"}
    killed(unpaged, monkeypatch, delta, "commit")
    api.records[0] = {"id": 70}
    unpaged.extract()
    assert (ids(unpaged), len(aside(unpaged))) == ([*range(1, 7), 70], 1)
