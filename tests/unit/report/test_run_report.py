"""The run report: whole, harmless with any text, honest about rows."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.command_reports import RunReport
from batchinfer.errors import StorageError
from batchinfer.report.html import render_report, write_report

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 "
    "}}&\x1b]0;x\x07\u202eevil\ud800"
)


def run_json(**more: Any) -> dict[str, Any]:
    report = RunReport(
        "20261121T021500-1f2e3d4c",
        "income",
        "published",
        slice="2026-11-21",
        rows_in=100,
        rows_scored=90,
        rows_reused=7,
        rows_quarantined=3,
        model_name="income",
        model_version="3",
        source_version=0,
        version=12,
        seconds=17.4,
        stage_seconds={"read": 2.2, "forward": 5.6, "inference": 7.9, "checks": 1.9},
        warnings=["a category was not seen in training"],
    )
    checks = [
        {
            "suite": "predictions",
            "expectation": "expect_a",
            "column": "score",
            "success": False,
            "message": "expect_a(score, 0..1): 12 of 100 rows outside",
        }
    ]
    return report.to_json() | {"checks": checks} | more


EXTRA: dict[str, Any] = {
    "reasons": {"type": 1, "model_error": 2},
    "tasks": [
        {
            "seconds": 3.9,
            "rows": 60,
            "batches": 8,
            "attempts": 8,
            "largest_batch": 10,
            "smallest_batch": 4,
        },
        {
            "seconds": 4.1,
            "rows": 40,
            "batches": 2,
            "attempts": 9,
            "largest_batch": 30,
            "smallest_batch": 1,
        },
    ],
    "histogram": {"column": "score", "edges": [0.0, 0.5, 1.0], "counts": [60, 30]},
    "lookup": "batchinfer lookup -p income --key 'source_file=a b.csv,source_line=17'",
}


class Page(HTMLParser):
    """Tags, attributes and text of a page, as a browser would find them; unclosed elements are an
    error.
    """

    VOID = frozenset({"meta", "br", "img", "link", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += " ".join(data.split()) + " "


def test_the_page_says_how_far_off_the_estimate_was_and_what_a_worker_took() -> None:
    tasks = [{"seconds": 3.9, "rows": 60, "batches": 8}]
    page = render_report(run_json(estimated_s=20.0, worker_bytes=700 * 2**20), {"tasks": tasks})
    assert "20.0 s; it took 13% less" in page and "700 MiB at most" in page
    assert "Estimated before" not in render_report(run_json(), {"tasks": tasks})


def test_the_page_tells_what_the_run_did() -> None:
    page = Page(render_report(run_json(), EXTRA))
    for part in (
        "income",
        "2026-11-21",
        "published",
        "every row is accounted for",
        "model_error",
        "expect_a(score, 0..1)",
        "12 of 100 rows outside",
        "broken",
        "a category was not seen in training",
        "Distribution of score",
        "10, in 2 tasks",
        "7, to find failing rows",
        "batchinfer lookup -p income --key 'source_file=a b.csv,source_line=17'",
    ):
        assert part in page.text, part
    assert "on data version 0 , published as version 12" in page.text
    assert page.text.index("model_error") < page.text.index("type ")


def test_rows_that_do_not_add_up_are_told() -> None:
    page = Page(render_report(run_json(rows_scored=89), EXTRA))
    assert "the rows do not add up" in page.text and "every row is accounted for" not in page.text


def test_a_failed_run_with_little_known_has_a_page() -> None:
    page = Page(
        render_report(
            {
                "run_id": "r1",
                "pipeline": "income",
                "status": "failed",
                "errors": ["the disk is full"],
            },
            {},
        )
    )
    assert "the disk is full" in page.text and "No check was run." in page.text
    assert "Distribution" not in page.text


def test_the_page_stands_alone() -> None:
    text = render_report(run_json(), EXTRA)
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [
        name for name, _ in page.attributes if name in ("src", "href") or name.startswith("on")
    ]
    assert (
        "http://" not in text
        and "https://" not in text
        and "url(" not in text
        and "@import" not in text
    )


def hostile_everywhere(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    check = {
        "suite": text,
        "expectation": text,
        "column": text,
        "success": True,
        "message": f"{text}: {text}",
    }
    words = (
        "pipeline",
        "status",
        "slice",
        "model_name",
        "model_version",
        "table",
        "source_table",
        "road",
        "road_reason",
        "bundle_digest",
    )
    run = run_json(
        **dict.fromkeys(words, text),
        warnings=[text],
        errors=[text],
        checks=[check],
        stage_seconds={text: 1.0, "inference": 2.0},
    )
    histogram = {"column": text, "edges": [0.0, 1.0], "counts": [1]}
    return run, {
        "reasons": {text: 1},
        "histogram": histogram,
        "lookup": text,
        "tasks": EXTRA["tasks"],
    }


def assert_harmless(text: str) -> None:
    plain = Page(render_report(*hostile_everywhere("plain")))
    hostile = Page(render_report(*hostile_everywhere(text)))
    assert hostile.tags == plain.tags
    assert [name for name, _ in hostile.attributes] == [name for name, _ in plain.attributes]


def test_hostile_text_is_text() -> None:
    assert_harmless(HOSTILE)
    page = render_report(*hostile_everywhere(HOSTILE))
    assert "{{ 7*7 }}" in page and "49" not in Page(page).text
    assert "\x1b" not in page and "\u202e" not in page
    page.encode("utf-8")


@settings(max_examples=40, deadline=None)
@given(
    st.text(min_size=1, max_size=30)
    | st.text(alphabet="<>&\"'/{}%#= a-!\\", min_size=1, max_size=30)
)
def test_any_text_is_text(text: str) -> None:
    assert_harmless(text)


def test_both_files_are_written_and_the_json_is_strict(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "reports"
    run = run_json(seconds=float("nan"), warnings=[HOSTILE])
    page = write_report(run, EXTRA, folder)
    assert page == folder / "20261121T021500-1f2e3d4c.html"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{run['run_id']}.html",
        f"{run['run_id']}.json",
    ]

    def refuse(word: str) -> None:
        raise AssertionError(word)

    read = json.loads(
        (folder / f"{run['run_id']}.json").read_text(encoding="utf-8"), parse_constant=refuse
    )
    assert (
        read["rows_in"] == 100
        and read["seconds"] is None
        and read["details"]["reasons"] == {"type": 1, "model_error": 2}
    )


def test_writing_again_replaces_both_files(tmp_path: Path) -> None:
    write_report(run_json(), EXTRA, tmp_path)
    page = write_report(run_json(status="failed"), EXTRA, tmp_path)
    assert "failed" in page.read_text(encoding="utf-8") and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("run_id", ["../escape", "a/b", "", ".hidden", "a\0b", "x" * 300])
def test_a_run_id_that_is_no_file_name_is_refused(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(ValueError, match="cannot name a file"):
        write_report(run_json(run_id=run_id), {}, tmp_path / "reports")
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("in the way")
    with pytest.raises(StorageError, match="could not be written"):
        write_report(run_json(), {}, tmp_path / "reports")
    assert (tmp_path / "reports").read_text() == "in the way"
