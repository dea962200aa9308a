"""What is said of a pipeline file that is wrong: every problem at once, with its place, in our own
words.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from batchinfer.contracts import Problem

from .conftest import GOOD

Problems = Callable[..., list[str]]

FIVE = """\
name: tried
description: no
source:
  kind: csv
  path: data/*.csv
  options:
    heder: false
    trim: 1
  schema: {id: bigint, job: strng}
  key: [id, idd]
features:
  - clip: {columns: [id]}
model:
  uri: models:/tried
sink: {table: predictions/tried}
"""

ALIASES = "a: &a [1,1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 11)}]\n" for a, b in zip("abcde", "bcdef", strict=True)
)


def test_all_problems_of_a_file_are_told_at_once_with_line_and_column(problems: Problems) -> None:
    found = problems(FIVE)
    assert [
        [*sentence.split(":", 2)[:2], sentence.split("(", 1)[1].split(")")[0]] for sentence in found
    ] == [
        ["2", "1 (description)", "description"],
        ["7", "5 (source.options.heder)", "source.options.heder"],
        ["8", "5 (source.options.trim)", "source.options.trim"],
        ["9", "24 (source.schema.job)", "source.schema.job"],
        ["10", "13 (source.key[1])", "source.key[1]"],
        ["14", "3 (model.uri)", "model.uri"],
    ]


def test_near_misses_get_a_suggestion_and_all_that_is_allowed(problems: Problems) -> None:
    found = "\n".join(problems(FIVE))
    assert "unknown field heder (did you mean header?); allowed: header, delimiter, quote," in found
    assert "got 'strng' (did you mean string?); allowed: tinyint," in found
    assert (
        "no such column: got 'idd' (did you mean id?); allowed: id, job, source_file, source_line"
        in found
    )
    assert (
        'got no, which YAML reads as false; allowed: text (as text it is written in quotes: "no")'
        in found
    )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "kind: csv",
            "kind: cvs",
            "3:3 (source.kind): got 'cvs' (did you mean csv?); allowed: csv, json, text_log, "
            "parquet, delta",
        ),
        (
            "kind: csv",
            "roots: [x]",
            "2:1 (source.kind): missing; allowed: csv, json, text_log, parquet, delta",
        ),
        (
            "slice: day",
            "slice: 5",
            "8:3 (source.slice): got 5; allowed: ingest_date, a column, or {column: a column, "
            "unit: hour, day or month}",
        ),
        (
            "slice: day",
            "slice: {column: at, unit: dya}",
            "8:23 (source.slice.unit): got 'dya' (did you mean day?); allowed: hour, day, month",
        ),
        (
            "slice: day",
            "slice: {colum: at}",
            "8:11 (source.slice.colum): unknown field colum (did you mean column?); allowed: "
            "column, unit",
        ),
        (
            "slice: day",
            "slice: {colum: at}",
            "8:3 (source.slice.column): missing; this field is required",
        ),
        (
            "header: true",
            "header: yes please",
            "5:13 (source.options.header): got 'yes please'; allowed: true or false",
        ),
        (
            "key: id",
            "key: []",
            "7:3 (source.key): got a list of 0; allowed: a list or mapping of at least 1",
        ),
        (
            "key: id",
            "key: [2026-11-21]",
            "(source.key[0]): got 2026-11-21, which YAML reads as a date; allowed: text",
        ),
        (
            "id: bigint",
            "no: bigint",
            "(source.schema.false): got the key no, which YAML reads as false; allowed: text (in "
            'quotes: "no")',
        ),
        (
            "id: bigint",
            "id: 012",
            "(source.schema.id): got 012, which YAML reads as the number 10; allowed: a type",
        ),
        (
            "uri: models:/good@champion",
            "uri: models:/good",
            "(model.uri): got 'models:/good'; allowed: models:/NAME@ALIAS or",
        ),
        (
            "model:",
            "model:\n  batch: {rows: '12'}",
            "(model.batch.rows): got '12'; allowed: auto, or a whole number from 1 up (written "
            "without quotes)",
        ),
        (
            "model:",
            "model:\n  batch: {rows: 0}",
            "(model.batch.rows): got 0; allowed: auto, or a whole number from 1 up",
        ),
        (
            "model:",
            f"model:\n  batch: {{max_bytes: '{'9' * 400}'}}",
            "(model.batch.max_bytes): got '999",
        ),
        (
            "model:",
            "model:\n  batch: {max_bytes: 3XB}",
            "got '3XB'; allowed: a number of bytes, or a size such as 512KiB",
        ),
        (
            "model:",
            "model:\n  batch: {timeout_s: .inf}",
            "(model.batch.timeout_s): got .inf, which YAML reads as the number inf; allowed: a "
            "finite number",
        ),
        (
            "model:",
            "checks: {max_quarantine_rate: 2}\nmodel:",
            "(checks.max_quarantine_rate): got 2; allowed: 1 or less",
        ),
        (
            "model:",
            "load: [{kind: redis, url_env: URL, ttl_s: 0}]\nmodel:",
            "(load[0].ttl_s): got 0; allowed: 1 or more",
        ),
        (
            "  - standardize: {columns: [age]}",
            "  - standardize",
            "10:5 (features[0]): got 'standardize'; allowed: a mapping",
        ),
        (
            "positive: yes please",
            "positive_pattern: '(x'",
            "(train.target.positive_pattern): got '(x' (Invalid regular expression: missing ): (x)",
        ),
        (
            "positive: yes please",
            "positive_pattern: '(?=x)'",
            "allowed: a regular expression of RE2 (no look-around, no back-references)",
        ),
        (
            "sink: {table: predictions/good}",
            "sink:",
            "(sink): got nothing (null); allowed: a mapping with the fields table, shared",
        ),
        (
            "name: good",
            "name: 9good",
            "(name): got '9good'; allowed: a letter, then letters, digits, _ and -",
        ),
        (
            "name: good",
            "name: good\nname: gut",
            "2:1 (name): the key 'name' stands here twice, first at conf/pipelines/tried.yaml:1:1",
        ),
        (
            "name: good",
            "name: 0x_",
            "1:1 (name): got '0x_', which YAML takes for a int but cannot read; text needs quotes",
        ),
        (
            "schema: {",
            "schema_: {",
            "(source.schema_): unknown field schema_ (did you mean schema?)",
        ),
    ],
)
def test_each_kind_of_mistake(problems: Problems, old: str, new: str, sentence: str) -> None:
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1))
    assert any(sentence in line for line in found), found


def test_a_file_without_mistakes_has_no_problems(problems: Problems) -> None:
    assert problems(GOOD) == []


def test_the_words_of_pydantic_do_not_show(problems: Problems) -> None:
    text = "\n".join(
        problems(
            "name: 1\nsource: {kind: csv, path: {}, x: 1, unique: 5, key: 3}\nmodel: []\nsink: "
            "{table: {}, y: 1}\n"
            "features: {}\nload: 1"
        )
    )
    assert len(text.splitlines()) > 8
    for words in (
        "Input should",
        "not permitted",
        "valid string",
        "Field required",
        "type=",
        "tuple",
        "dictionary",
        "<csv>",
    ):
        assert words not in text


def test_a_secret_in_the_place_of_its_variable_is_not_shown(problems: Problems) -> None:
    found = "\n".join(problems(GOOD + "load: [{kind: redis, url_env: 'redis://canary@host'}]\n"))
    assert "(load[0].url_env)" in found
    assert "canary" not in found


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "got nothing (null); allowed: a mapping with the fields name, "),
        ("- a", "1:1: got a list of 1; allowed: a mapping with the fields name, "),
        ("a: [", "1:5: the YAML cannot be read: "),
        (
            "name: x\n\tb: 1",
            "2:1: the YAML cannot be read: while scanning for the next token, "
            "found character '\\t'",
        ),
        (
            "a: {b: ${X}}",
            "expected ',' or '}', but got '{'; inside { } or [ ] write \"${NAME}\" in quotes",
        ),
        ("a: 1\n---\nb: 1", "2:1: the YAML cannot be read: expected a single document"),
        ("a: b\n\x01", "2:1: the YAML cannot be read: got the character '\\x01'"),
        ("a: &x [*x]", "(a[0]): got an alias of a part that this one stands in"),
        (
            "a: !!python/object:os.system {}",
            "got the tag !!python/object:os.system; allowed: plain text",
        ),
        ("? [a]\n: b", "got a key that is a list or a mapping at conf/pipelines/tried.yaml:1:3"),
        ("[" * 3000, "nested too deep"),
        (ALIASES, "aliases stand for"),
    ],
)
def test_text_that_is_no_pipeline_at_all(problems: Problems, text: str, sentence: str) -> None:
    found = problems(text)
    assert any(sentence in line for line in found), found


def test_checks_get_the_document_whatever_else_is_wrong_with_it(problems: Problems) -> None:
    def check(document: dict) -> list[Problem]:
        return [
            Problem(
                ("features", 0, "clip", "columns"),
                f"got {document['features'][0]['clip']['columns']}",
            )
        ]

    found = problems(FIVE, document_checks=[check])
    assert len(found) == 7
    assert "12:12 (features[0].clip.columns): got ['id']" in found


def test_checks_get_only_mappings(problems: Problems) -> None:
    seen: list[object] = []
    problems("- a", document_checks=[lambda document: seen.append(document) or []])
    assert seen == []


def test_a_check_that_fails_does_not_hide_the_other_problems(problems: Problems) -> None:
    def clumsy(document: dict) -> list[Problem]:
        return document["nothing"]

    found = problems(FIVE, document_checks=[clumsy])
    assert len(found) == 7
    assert any("clumsy could not check this file: KeyError: 'nothing'" in line for line in found)
