"""Types of columns of text: what is narrowest, and what is said of what does not fit it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from batchinfer.sources.text.columns import TextRule, convert
from batchinfer.sources.text.timestamps import UTC_US, TimestampRule
from batchinfer.starting.null_words import find_null_words
from batchinfer.starting.text_types import (
    arrow_type_of,
    first_misfit,
    judge_text,
    times_in,
)


def _line(row: int) -> str:
    return f"line {row + 2}"


@pytest.mark.parametrize(
    ("values", "type_", "said"),
    [
        (["1", "-2", "+3", " 4 "], "long", None),
        (["1", "0", "1"], "long", None),
        (["9223372036854775807"], "long", None),
        (["9223372036854775808"], "string", 'line 2 holds "9223372036854775808", which is too'),
        (["7", "0815", "9"], "string", 'line 3 holds "0815", which is a number only without its'),
        (["0", "-0.5", "1e3"], "double", 'line 3 holds "-0.5", which is no whole number'),
        (["1", "2", "0x1F", "4"], "string", 'line 4 holds "0x1F", which is no number'),
        (["1", "2", None, "many"], "string", 'line 5 holds "many", which is no number'),
        (["nan", "inf"], "string", None),
        (["true", "FALSE"], "boolean", None),
        (["true", "false", "perhaps"], "string", "neither true nor false"),
        (["yes", "no"], "string", None),
        (["2024-02-29", "2023-01-01"], "date", None),
        (["2024-02-29", "2023-02-30"], "string", 'line 3 holds "2023-02-30", which is no time'),
        (["2024-02-29", "2024-02-29 07:05:03"], "timestamp", "line 3 holds"),
        (["2024-02-29T07:05:03+02:00"], "timestamp", None),
        (["20240229"], "long", None),
        ([None, None], "string", "no record that was read has a value"),
        (["", "5", None], "long", None),
        (["red", "blue", "7"], "string", None),
    ],
)
def test_the_narrowest_type_and_the_first_line_in_its_way(
    values: list[str | None], type_: str, said: str | None
) -> None:
    text = pa.array(values, pa.string())
    judged = judge_text(text, _line)
    assert judged.type == type_
    if said is not None:
        assert said in " ".join(judged.reasons)
    elif judged.type != "timestamp":
        assert judged.reasons == ()
    written = text.filter(pa.array([value != "" for value in values]))
    assert convert(written, arrow_type_of(type_), TextRule())[1] is None, "it lands"


def test_a_misfit_is_found_wherever_it_stands() -> None:
    for place in (0, 15, 16, 17, 143, 144, 4999):
        values = [str(n) for n in range(5000)]
        values[place] = "x"
        assert first_misfit(pa.array(values), pa.int64(), TextRule()) == "x"
    assert first_misfit(pa.array(["1"] * 50), pa.int64(), TextRule()) is None


@pytest.mark.parametrize(
    ("values", "formats"),
    [
        (["31/12/2024", "01/02/2023"], ["%d/%m/%Y"]),
        (["12/31/2024"], ["%m/%d/%Y"]),
        (["01/02/2024", "03/04/2024"], ["%d/%m/%Y", "%m/%d/%Y"]),
        (["24.12.2024 18:00"], ["%d.%m.%Y %H:%M"]),
        (["2024/12/24"], ["%Y/%m/%d"]),
        (["31/12/2024", "soon"], []),
    ],
)
def test_ways_to_write_times(values: list[str], formats: list[str]) -> None:
    text = pa.array(values)
    assert times_in(text) == formats
    for format_ in formats:
        rule = TextRule(timestamp=TimestampRule(format_))
        assert convert(text, UTC_US, rule)[1] is None


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (["1", "NA", "2"], ("", "NA")),
        (["1", "-", "2.5"], ("", "-")),
        (["a", "-", "b"], None),
        (["Private", "?", "State"], ("", "?")),
        (["DE", "NA", "FR"], None),
        (["Germany", "NA", "France"], ("", "NA")),
        (["None", "Beer"], None),
        (["31/12/2024", "NULL"], ("", "NULL")),
        (["1", "nope", "2"], None),
    ],
)
def test_words_for_missing_values(column: list[str], words: tuple[str, ...] | None) -> None:
    found = find_null_words({"some": pa.array(column)})
    assert (found and found.value) == words


def test_a_word_that_is_null_in_all_columns_is_told_of_those_that_have_it() -> None:
    found = find_null_words({"n": pa.array(["1", "-"]), "sign": pa.array(["+", "-"])})
    assert found is not None
    assert 'so also in sign ("-")' in found.reason
