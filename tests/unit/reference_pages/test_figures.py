"""Figures that stand on several pages are the same on all: `1.35<!--engine/bare-->` marks one."""

from __future__ import annotations

import re

import pytest
from reference_pages.pages import ROOT

SOURCE = "docs/benchmarks.md"
PAGES = ("README.md", "docs/compared.md")
_FIGURE = re.compile(r"([\d.,-]*\d)<!--([\w/.-]+)-->")


def figures(page: str) -> list[tuple[str, str]]:
    """(name, figure) of each that is marked."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = _FIGURE.findall(text)
    assert len(found) == text.count("-->"), "a mark stands right behind its figure"
    return [(name, figure) for figure, name in found]


def test_a_name_has_one_figure_in_the_benchmarks() -> None:
    found = set(figures(SOURCE))
    assert len({name for name, _ in found}) == len(found) > 20


@pytest.mark.parametrize("page", PAGES)
def test_figures_are_those_of_the_benchmarks(page: str) -> None:
    assert len(figures(page)) > 10
    assert set(figures(page)) - set(figures(SOURCE)) == set()


@pytest.mark.parametrize("page", PAGES)
def test_no_ratio_stands_there_without_a_mark(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert re.findall(r"[\d.]+ times as (?:fast|long)", text) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_stands_in_the_tables_of_the_benchmarks(page: str) -> None:
    """A mark cannot be moved to a number that no table has."""
    tables = [line for line in (ROOT / SOURCE).read_text().splitlines() if line.startswith("|")]
    prose = {"trees/spark_udf", "one-row/ms"}
    for name, figure in figures(page):
        assert name in prose or any(f"{figure}<!--{name}-->" in line for line in tables), name
