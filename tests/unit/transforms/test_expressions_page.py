"""docs/expressions.md: its examples give what it says, and it names every function."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from batchinfer.transforms.expressions import parse_expression
from batchinfer.transforms.expressions.binding import FUNCTIONS, OPERATORS

_PAGE = (Path(__file__).parents[3] / "docs" / "expressions.md").read_text()
_ROW = {"none": pa.array([1])}


def _examples() -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for line in _PAGE.splitlines():
        cells = [
            cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]
        ]
        if len(cells) not in (3, 4) or not re.fullmatch(r"`.+`|null", cells[-1]):
            continue
        text = cells[0] if len(cells) == 3 else cells[2]
        if re.fullmatch(r"`[^`]+`", text) and cells[0] != "`$` and `\\Z`":
            found.append((text[1:-1], None if cells[-1] == "null" else cells[-1][1:-1]))
    return found


_WRITTEN = [pair for pair in _examples() if not pair[0].startswith(("(?i)", r"\b", "a*", "(a*)"))]


@pytest.mark.parametrize(("text", "wanted"), _WRITTEN)
def test_examples_give_what_the_page_says(text: str, wanted: str | None) -> None:
    found = parse_expression(text).evaluate(_ROW)
    assert found.errors == {}
    value = found.values[0].as_py()
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    if pa.types.is_timestamp(found.values.type):
        shown = shown.removesuffix("+00:00")
    assert (None if value is None else shown) == wanted


def test_every_function_and_operator_stands_on_the_page() -> None:
    assert len(_WRITTEN) > 45
    inside = dict.fromkeys(re.findall(r"`([^`\n]+)`", _PAGE.replace("\\|", "|")), True)
    operators = {name for name in OPERATORS if name != "case"}
    assert {name for name in (*FUNCTIONS, *operators) if name not in inside} == set()
