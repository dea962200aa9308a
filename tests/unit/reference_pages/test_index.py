"""docs/README.md leads to every page, and its words are those of the architecture."""

from __future__ import annotations

import re

from reference_pages.pages import PAGES, ROOT

INDEX = (ROOT / "docs/README.md").read_text(encoding="utf-8")


def test_every_page_is_named() -> None:
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    named = {target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", INDEX)}
    assert pages - named == set()


def test_lines_say_what_one_wants_and_where_it_stands() -> None:
    lines = re.findall(r"^\| (?!I want|---|with|word)(.+?) \| (.+) \|$", INDEX, re.MULTILINE)
    links = [where for _, where in lines if "](" in where]
    assert len(links) > 30


def test_pages_from_the_code_are_marked() -> None:
    for page in PAGES:
        name = page.removeprefix("docs/")
        if name.endswith(".md"):
            assert re.search(rf"\]\({re.escape(name)}[^)]*\) ⚙", INDEX), name


def test_words_are_those_of_the_architecture() -> None:
    glossary = INDEX.partition("## Ten words")[2]
    rows = re.findall(r"^\| (?!word|---).+ \|$", glossary, re.MULTILINE)
    assert len(rows) == 10
    architecture = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").splitlines()
    assert [row for row in rows if row not in architecture] == []
