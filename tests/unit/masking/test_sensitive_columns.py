"""What messages show of sensitive values: nothing, in whatever form they stand there."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.errors import InputError
from batchinfer.masking.hidden_words import HiddenWords, hide_words, hiding
from batchinfer.masking.sensitive_columns import SensitiveColumns, value_words

COUNTRY = SensitiveColumns(frozenset({"country", "income"}))
LONG = "Rue de l'Arbre Sec 17, Paris"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("column country: got 'Iran'; allowed: int", "column country: got '***'; allowed: int"),
        ("column income: got 51000; allowed: date", "column income: got ***; allowed: date"),
        ("column age: got 'x'; allowed: int", "column age: got 'x'; allowed: int"),
        (
            'column country, at .code: got {"a": "b; c; allowed: one object',
            "column country, at .code: got ***; allowed: one object",
        ),
        (
            "column age: got 'x'; allowed: int; column country: got 'a; b'; allowed: long",
            "column age: got '***'; allowed: int; column country: got '***'; allowed: long",
        ),
        (
            "column age: got 'x'; column country: got 'Iran'; allowed: int",
            "column age: got '***'; column country: got '***'; allowed: int",
        ),
        (
            "column country: got 'it\\'s \"x\"', which holds an escape; unescape: false lands it",
            "column country: got '***', which holds an escape; unescape: false lands it",
        ),
        ("got 3 fields; the schema has 4", "got 3 fields; the schema has 4"),
        ('got ["Iran", 5]; allowed: an object', "got ***; allowed: an object"),
        ("the line does not match: 'GET /Iran'", "the line does not match: '***'"),
    ],
)
def test_of_a_record_that_cannot_be_read_nothing_is_repeated_that_may_be_sensitive(
    message: str, told: str
) -> None:
    assert COUNTRY.of_record(message) == told
    assert SensitiveColumns().of_record(message) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("Iran", "ValueError: could not convert string to float: 'Iran'"),
        ("Iran", "KeyError: IRAN is not among the categories"),
        (" Iran ", "got Iran"),
        (LONG, f"RuntimeError: no embedding of {LONG[:-2]}"),
        (LONG, f"RuntimeError: no embedding of …{LONG[4:]}"),
        ('a "quoted" one', "got " + json.dumps('a "quoted" one')),
        ("naïve", 'got {"country": "na\\u00efve"}'),
        ("a b&c", "GET /score?country=a%20b%26c"),
        (51000, "got 51000 for int8"),
        (51000, "got 51,000.0"),
        (51000, "tensor(51000.)"),
        (1.5e-7, "got 1.5e-07"),
        (Decimal("12.50"), "got Decimal('12.50')"),
        (dt.date(2026, 11, 21), "got datetime 2026-11-21"),
        (dt.datetime(2026, 11, 21, 7, 5), "got 2026-11-21T07:05:00"),
        (b"\x00Iran", "got 004972616e"),
        (["Iran", "Iraq"], "got Iraq"),
        ({"code": "Iran"}, "got Iran"),
        ({"Iran": 1}, "got {'Iran': 1}"),
        ("\ud800", "got '\\ud800'"),
        ("Iran\ud800", "got Iran\ud800"),
        (51 * 10**400, f"got {51 * 10**400}"),
        (True, "got True"),
    ],
)
def test_of_a_row_no_form_of_the_value_is_told(value: Any, message: str) -> None:
    told = COUNTRY.of_row(message, {"country": value, "age": 5})
    assert "***" in told
    for part in (
        "Iran",
        "IRAN",
        "Arbre",
        "quoted",
        "na\\u00ef",
        "a%20b",
        "51",
        "1.5",
        "12.5",
        "2026",
    ):
        assert part not in told.replace("GET /score", "")
    assert COUNTRY.of_row(message, {"age": value}) == message


def test_what_is_no_value_of_the_row_stays() -> None:
    row = {"country": "art", "income": 3, "age": 39}
    message = "no article starts at 39, 33 or 3.5: start, 3"
    assert COUNTRY.of_row(message, row) == "no article starts at 39, 33 or ***.5: start, ***"
    assert COUNTRY.of_row("got nothing", {"country": None, "income": ""}) == "got nothing"
    assert COUNTRY.of_row("a - b", {"country": "-"}) == "a - b"


def test_a_row_and_its_json_show_other_columns() -> None:
    row = {"country": "Iran", "income": None, "age": 39}
    assert COUNTRY.row(row) == {"country": "***", "income": None, "age": 39}
    text = json.dumps(row)
    assert json.loads(COUNTRY.json_row(text)) == {"country": "***", "income": None, "age": 39}
    assert COUNTRY.json_row("Iran,39") == COUNTRY.json_row('["Iran"]') == "***"
    assert SensitiveColumns().json_row("Iran,39") == "Iran,39"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'keys (country, day) that repeat: {"country": "Iran", "day": "a"} 2 times',
            'keys (country, day) that repeat: {"country": ***, "***": "***"} 2 times',
        ),
        ("keys such as country='Iran',n=5; income=7", "keys such as country=***,n=5; income=***"),
        (
            "column country has only values that are: 'Iran'",
            "column country has only values that are: '***'",
        ),
        ("'country' is missing", "'country' is missing"),
        (
            "train.target.column country: got one class only: Iran (5 rows); allowed: two",
            "train.target.column country: got ***; allowed: two",
        ),
        ("countryside: got 'x'", "countryside: got 'x'"),
    ],
)
def test_a_text_that_names_a_sensitive_column_shows_no_value(text: str, told: str) -> None:
    assert COUNTRY.of_text(text) == told


def test_a_text_may_be_about_a_column_without_naming_it() -> None:
    text = "outcomes that are no class: 'Iran' (5 rows)"
    assert COUNTRY.of_text(text) == COUNTRY.of_text(text, "age") == text
    assert COUNTRY.of_text(text, "country") == "outcomes that are no class: '***' (5 rows)"


def test_errors_made_while_a_row_is_at_hand_show_nothing_of_it() -> None:
    with COUNTRY.hiding([{"country": "Iran"}, {"country": LONG}]):
        error = InputError(f"got 'iran' of {LONG[3:]}", "look for Iran")
        with hiding(HiddenWords.of(["hint"])):
            assert str(InputError("Iran hint")) == "*** ***"
    assert str(error) == "got '***' of ***"
    assert error.hint == "look for ***"
    assert str(InputError("Iran")) == "Iran"


@given(st.text(), st.text(min_size=1), st.text())
def test_no_text_shows_a_long_value(before: str, value: str, behind: str) -> None:
    value = (value * 16)[: max(16, len(value))]
    hidden = hide_words(before + value + behind, HiddenWords.of([value]))
    assert value not in hidden
    assert "***" in hidden


@given(
    st.one_of(
        st.text(st.characters(categories=None, exclude_categories=()), min_size=1),
        st.integers(),
        st.integers(10**300, 10**320),
        st.floats(allow_nan=False),
        st.dates(),
    )
)
def test_no_sentence_shows_the_value_that_it_is_about(value: Any) -> None:
    words = value_words([value])
    for form in (str(value), repr(value)):
        told = hide_words(f"got {form}; allowed", words)
        # What has no letter and no digit tells nothing of a person, and would hide every comma.
        assert told == f"got {form}; allowed" if not words else "***" in told
