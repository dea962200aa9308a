"""Pages that say where things are name files that are there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "batchinfer"
PAGES = ("docs/architecture.md", "docs/extending.md", "CONTRIBUTING.md")
ALL_PAGES = [*sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")), PAGES[-1]]
# Names that must not be there, and what stands in a project's state folder.
NOT_IN_THE_TREE = {"utils.py", "task.py", "var/", "compiled/", "model_card.md", "spark.read.json"}
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_PATH = re.compile(
    r"(?:\.{0,2}[\w*-]+/)*[\w.*-]+(?:/|\.(?:py|md|txt|ya?ml|toml|lock|sh|json))|[\w-]+/"
)


def named_paths(page: str) -> set[str]:
    """Paths that a page names in backticks."""
    text = _FENCE.sub("", (ROOT / page).read_text())
    return {word for word in re.findall(r"`([^`\n]+)`", text) if _PATH.fullmatch(word)}


@cache
def files() -> frozenset[str]:
    """Names of all files of the project that one can name without their folder."""
    folders = ("src", "tests", "benchmarks", "deploy", "jobs")
    return frozenset(path.name for folder in folders for path in (ROOT / folder).rglob("*"))


def is_there(path: str) -> bool:
    if any(found for base in (ROOT, PACKAGE) for found in base.glob(path.rstrip("/"))):
        return True
    # A file name stands once, so it is a path of its own.
    return "/" not in path.rstrip("/") and path.rstrip("/") in files()


@pytest.mark.parametrize("page", ALL_PAGES)
def test_every_path_that_a_page_names_is_there(page: str) -> None:
    named = named_paths(page)
    assert len(named) > 15 or page not in PAGES
    assert {path for path in named - NOT_IN_THE_TREE if not is_there(path)} == set()


@pytest.mark.parametrize("page", [*ALL_PAGES, "README.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    source = ROOT / page
    for target in re.findall(r"\]\(([^)\s]+)\)", source.read_text()):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            found = source if not path else (source.parent / path)
            assert found.exists(), target
            assert not anchor or anchor in anchors(found), target


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).lower().replace(" ", "-") for head in heads}


def test_the_drawing_shows_every_room_and_nothing_else() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    drawing = text.partition("```\nsrc/batchinfer/\n")[2].partition("```")[0]
    drawn, within = set[str](), ""
    for line in drawing.splitlines():
        word = line.split()[0]
        if line.startswith("    "):
            drawn.add(within + word)
        else:
            within = word
            drawn.add(word)
    there = {
        f"{path.relative_to(PACKAGE)}{'/' if path.is_dir() else ''}"
        for path in [*PACKAGE.iterdir(), *(PACKAGE / "pipeline").iterdir()]
        if path.is_dir() or (path.suffix == ".py" and path.parent == PACKAGE)
    }
    caches = {path for path in there if "__pycache__" in path}
    assert drawn == there - caches - {"__init__.py"}


def test_decisions_are_numbered_once_and_none_is_missing() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    numbers = [int(number) for number in re.findall(r"^\*\*(\d+)\. ", text, re.MULTILINE)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    table = re.findall(r"^\| \[.+\]\(#.+\) \| ([\d, ]+) \|$", text, re.MULTILINE)
    assert [int(number) for row in table for number in row.split(",")] == numbers
