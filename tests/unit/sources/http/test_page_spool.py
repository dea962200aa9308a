"""Pages outlive the process that fetched them, and only as long as they are of use."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from batchinfer.errors import StorageError
from batchinfer.sources.http.answers import digest_records
from batchinfer.sources.http.page_spool import PageSpool, SpooledPage

RECORDS = [b'{"a": 1}', b'{"a": 2}']


def page(number: int = 1, **more: object) -> SpooledPage:
    plain = SpooledPage(
        f"https://h/x?page={number}",
        number,
        2,
        digest_records(RECORDS),
        0,
        False,
        number + 1,
        number,
        "items",
    )
    return dataclasses.replace(plain, **more)  # type: ignore[arg-type]


def spool(folder: Path, header: object = None, judged_by: str = "j") -> PageSpool:
    return PageSpool(folder / "spool", {"mark": header}, judged_by)


def test_pages_are_found_again(tmp_path: Path) -> None:
    first = spool(tmp_path)
    first.add(page(1), RECORDS)
    first.add(page(2, records=0), [])
    again = spool(tmp_path)
    assert again.pages == first.pages
    assert (again.found, again.complete) == (2, False)
    assert [each.file for each in again.pages] == ["000001.jsonl", None]
    assert (again.folder / "000001.jsonl").read_bytes() == b'{"a": 1}\n{"a": 2}\n'


def test_a_page_without_news_has_no_file_and_a_replaced_one_always_has(tmp_path: Path) -> None:
    kept = spool(tmp_path)
    kept.add(page(1, until=2), RECORDS)
    kept.add(page(2, until=1), RECORDS)
    kept.add(page(3, records=0, replaced=True), [])
    assert [(each.file, each.size) for each in kept.pages] == [
        (None, 0),
        ("000002.jsonl", 18),
        ("000003.jsonl", 0),
    ]


def test_it_is_complete_when_told_or_when_nothing_follows(tmp_path: Path) -> None:
    kept = spool(tmp_path)
    kept.add(page(1), RECORDS)
    kept.end()
    assert kept.complete and spool(tmp_path).complete
    kept.drop()
    kept.add(page(1, follows=None), RECORDS)
    assert kept.complete and spool(tmp_path).complete


def test_pages_kept_under_another_header_are_deleted(tmp_path: Path) -> None:
    spool(tmp_path).add(page(1), RECORDS)
    other = spool(tmp_path, header="moved on")
    assert other.pages == [] and not other.folder.exists()


def test_refused_pages_are_deleted_unless_they_are_judged_otherwise(tmp_path: Path) -> None:
    first = spool(tmp_path, judged_by="strict")
    first.add(page(1, follows=None), RECORDS)
    first.refuse()
    assert spool(tmp_path, judged_by="lenient").pages == first.pages
    assert spool(tmp_path, judged_by="strict").pages == []


@pytest.mark.parametrize("cut", [1, 20, 80])
def test_a_torn_line_does_not_count(tmp_path: Path, cut: int) -> None:
    """What a process writes when it is killed may end anywhere."""
    first = spool(tmp_path)
    first.add(page(1), RECORDS)
    first.add(page(2), RECORDS)
    journal = first.folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    again = spool(tmp_path)
    assert [each.position for each in again.pages] == [1]
    again.add(page(2, digest="ff" * 8), RECORDS)
    assert [each.digest for each in spool(tmp_path).pages] == [page(1).digest, "ff" * 8]


@pytest.mark.parametrize("damage", ["gone", "short", "journal", "header"])
def test_a_damaged_spool_is_fetched_anew(tmp_path: Path, damage: str) -> None:
    first = spool(tmp_path)
    first.add(page(1), RECORDS)
    file, journal = first.folder / "000001.jsonl", first.folder / "journal.jsonl"
    if damage == "gone":
        file.unlink()
    elif damage == "short":
        file.write_bytes(b'{"a"')
    elif damage == "journal":
        journal.write_bytes(journal.read_bytes().replace(b'"page"', b"page"))
    else:
        journal.write_bytes(b"")
    again = spool(tmp_path)
    assert (again.pages, again.complete) == ([], False)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(StorageError, match="pages cannot be kept"):
        spool(tmp_path).add(page(1), RECORDS)


def test_fingerprints_fit_the_ledger() -> None:
    assert 0 <= page(digest="f" * 32).fingerprint < 2**63
    assert page(digest="f" * 32).fingerprint != page(digest="e" * 32).fingerprint


def test_the_journal_is_lines_of_json(tmp_path: Path) -> None:
    kept = spool(tmp_path, header="m")
    kept.add(page(1), RECORDS)
    kept.end()
    lines = [json.loads(line) for line in (kept.folder / "journal.jsonl").read_text().splitlines()]
    assert [list(line) for line in lines] == [["header"], ["page"], ["end"]]
    assert lines[0]["header"] == {"mark": "m"}
