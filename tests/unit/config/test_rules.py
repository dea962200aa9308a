"""Rules that span several fields: columns, keys, slices, targets, log formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from batchinfer.config.loader import load_pipeline
from batchinfer.config.rules import wrong_variables
from batchinfer.config.schema import schema_fields
from batchinfer.errors import ConfigError

from .conftest import GOOD

Problems = Callable[..., list[str]]
COMMON = ["host", "ident", "user", "ts", "request", "method", "path", "protocol", "status", "bytes"]

LOG = """\
name: logs
source:
  kind: text_log
  path: logs/*.log
  options: {format: combined}
  slice: {column: ts, unit: day}
model: {uri: models:/logs/1}
sink: {table: predictions/logs}
"""
PATTERN = LOG.replace(
    "{format: combined}",
    "{pattern: '(?P<ts>\\S+) (?P<n>\\d+) (?P<rest>.*)', timestamp: {format: '%s'}}",
)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "key: id",
            "key: [id, run_id]",
            "(source.key[1]): got 'run_id', a column that predictions tables have anyway",
        ),
        ("key: id", "key: [id, id]", "(source.key[1]): got 'id' twice"),
        (
            "sink:",
            "outcomes: {table: landed/x, key: [a, b], value: v}\nsink:",
            "(outcomes.key): got 2 columns (a, b); allowed: 1, one for each column of the "
            "pipeline's key (id)",
        ),
        (
            "key: id",
            "key: idd",
            "(source.key): no such column: got 'idd' (did you mean id?); allowed: id, age, job, "
            "day, at, income, source_file, ",
        ),
        (
            "slice: day",
            "slice: dday",
            "(source.slice): no such column: got 'dday' (did you mean day?)",
        ),
        (
            "slice: day",
            "slice: {column: age, unit: day}",
            "(source.slice.column): got age, of type int; allowed with a unit: columns of time "
            "(day, at)",
        ),
        (
            "slice: day",
            "slice: {column: day, unit: hour}",
            "(source.slice.unit): got hour, but day is a date; allowed: day, month",
        ),
        (
            "age: int",
            "slice: int",
            "(source.schema.slice): got the column 'slice', a name that every landed table has",
        ),
        (
            "age: int",
            "Source_File: int",
            "(source.schema.Source_File): got the column 'Source_File', a name that every landed "
            "table has",
        ),
        (
            "id: bigint, age: int",
            "Age: int, id: bigint, age: int",
            "(source.schema.age): got the column 'age', which differs from Age",
        ),
        (
            "age: int",
            "ID: int",
            "(source.schema.ID): got the column 'ID', which differs from id in case only",
        ),
        (
            "age: int",
            "age: 'array<int>'",
            "(source.schema.age): got 'array<int>', which no cell of a text file can hold",
        ),
        (
            "column: income",
            "column: incom",
            "(train.target.column): no such column: got 'incom' (did you mean income?)",
        ),
        (
            "{header: true}",
            "{delimiter: '|', quote: '|'}",
            "(source.options.delimiter): got '|', which is the quote too",
        ),
        (
            "{header: true}",
            "{delimiter: '|', escape: '|'}",
            "(source.options.escape): got '|', which is the delimiter too",
        ),
        (
            "{header: true}",
            "{encoding: utf9}",
            "(source.options.encoding): got 'utf9'; allowed: a text encoding that Python knows",
        ),
        (
            "{header: true}",
            "{encoding: base64}",
            "(source.options.encoding): got 'base64'; allowed: a text encoding that Python knows",
        ),
        (
            "{header: true}",
            '{delimiter: "\\n"}',
            "(source.options.delimiter): got '\\n'; allowed: one ASCII character",
        ),
        (
            "model:",
            "checks: {input: conf/pipelines/goood.yaml}\nmodel:",
            "(checks.input): no such file: got 'conf/pipelines/goood.yaml' (did you mean "
            "good.yaml?)",
        ),
        (
            "model:",
            "model:\n  variants: [{name: a, uri: 'models:/a/1'}]",
            "this version scores the champion only",
        ),
        (
            "model:",
            "model:\n  precision: fp16\n  device: cpu",
            "got fp16 beside device: cpu; allowed there: float32, bf16",
        ),
        (
            "model:",
            "model:\n  precision: f16",
            "got 'f16' (did you mean fp16?); allowed: float32, bf16, fp16",
        ),
    ],
)
def test_rules_of_csv(problems: Problems, old: str, new: str, sentence: str) -> None:
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1))
    assert len(found) == 1, found
    assert sentence in found[0]


@pytest.mark.parametrize(
    "change",
    [
        ("key: id", "key: [source_file, source_line]"),
        ("slice: day", "slice: job"),
        ("slice: day", "slice: {column: at, unit: hour}"),
        ("age: int", "run_id: int"),
        ("positive: yes please", "positive: [y], positive_pattern: '^y$'"),
        ("{header: true}", "{quote: '', encoding: utf-16}"),
    ],
)
def test_what_the_rules_allow(problems: Problems, change: tuple[str, str]) -> None:
    text = GOOD.replace(*change)
    assert text != GOOD
    assert problems(text.replace("columns: [age]", "columns: [id]")) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            LOG.replace("combined}", "combined, pattern: x}"),
            "(source.options): got a mapping ('format', 'pattern'); allowed: either format",
        ),
        (
            LOG.replace("{format: combined}", "{}"),
            "allowed: either format (combined, common, syslog, apache, ",
        ),
        (
            LOG.replace("combined", "combind"),
            "(source.options.format): got 'combind' (did you mean combined?); allowed: combined, "
            "common, syslog",
        ),
        (
            LOG.replace("column: ts", "column: time"),
            "(source.slice.column): no such column: got 'time'",
        ),
        (
            LOG.replace("  path:", "  schema: {hots: string}\n  path:"),
            "(source.schema.hots): no such column of the format combined: got 'hots' (did you mean "
            "host?)",
        ),
        (
            LOG.replace("  path:", "  schema: {host: array<string>}\n  path:"),
            "(source.schema.host): got 'array<string>', which no cell of a text file can hold",
        ),
        (
            LOG.replace("combined}", "syslog, extra: {a: int}}"),
            "(source.options): got a mapping ('format', 'extra'); allowed: extra with a format of "
            "combined, common, apache",
        ),
        (
            LOG.replace("combined}", "syslog, forwarded: true}"),
            "allowed: forwarded with a format of combined, common, apache",
        ),
        (
            LOG.replace("combined}", "combined, captures: response}"),
            "allowed: captures: response with format: haproxy",
        ),
        (
            LOG.replace("combined}", "combined, extra: {Host: int}}"),
            "allowed: names in extra that are no column of combined, such as host",
        ),
        (
            LOG.replace("combined}", "combined, extra: {a: inr}}"),
            "(source.options.extra.a): got 'inr'",
        ),
        (
            PATTERN.replace("options: {", "options: {unescape: false, "),
            "allowed: unescape: false with a format; what a pattern finds lands as written",
        ),
        (PATTERN.replace("(?P<n>", "(?P<n"), "(source.options.pattern): got "),
        (PATTERN.replace("(?P<n>", "("), "Regular expression contains unnamed groups"),
        (
            PATTERN.replace("'(?P<ts>\\S+) (?P<n>\\d+) (?P<rest>.*)'", "x"),
            "(source.options.pattern): got 'x', without a group",
        ),
        (
            PATTERN.replace("  path:", "  schema: {m: int}\n  path:"),
            "(source.schema.m): no such group in the pattern: got 'm'; allowed: ts, n, rest",
        ),
        (
            PATTERN.replace("'%s'", "'%s', column: when"),
            "(source.options.timestamp.column): no such column: got 'when'",
        ),
        (
            PATTERN.replace("'%s'", "'%s', timezone: Mars"),
            "(source.options.timestamp.timezone): got 'Mars'; "
            "allowed: a time zone by its IANA name",
        ),
        (
            PATTERN.replace("(?P<n>", "(?P<slice>"),
            "(source.options.pattern): got the column 'slice', a name that every landed table has",
        ),
    ],
)
def test_rules_of_logs(problems: Problems, text: str, sentence: str) -> None:
    found = problems(text)
    assert any(sentence in line for line in found), found


def columns(project: Path, text: str) -> dict[str, pa.DataType]:
    (project / "conf" / "pipelines" / "tried.yaml").write_text(text)
    return schema_fields(load_pipeline("tried").pipeline.source)


def test_columns_of_log_formats(project: Path) -> None:
    combined = columns(project, LOG)
    assert list(combined) == [*COMMON, "referer", "user_agent"]
    assert (combined["ts"], combined["status"], combined["bytes"]) == (
        pa.timestamp("us", tz="UTC"),
        pa.int32(),
        pa.int64(),
    )
    assert list(columns(project, LOG.replace("combined", "common"))) == COMMON
    syslog = columns(project, LOG.replace("combined", "syslog"))
    assert list(syslog) == ["ts", "host", "program", "pid", "message"]
    assert syslog["pid"] == pa.int32()


def test_columns_of_a_pattern(project: Path) -> None:
    text = PATTERN.replace("  path:", "  schema: {n: int}\n  path:")
    assert columns(project, text) == {
        "ts": pa.timestamp("us", tz="UTC"),
        "n": pa.int32(),
        "rest": pa.string(),
    }
    untimed = text.replace(", timestamp: {format: '%s'}", "").replace(
        "slice: {column: ts, unit: day}", "slice: ts"
    )
    assert columns(project, untimed)["ts"] == pa.string()


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("age: int", "'Order ID': int", "source.schema.Order ID"),
        ("age: int", "'a=b': int", "source.schema.a=b"),
        ("age: int", "'': int", "source.schema."),
        ("age: int", '"tab\\tbed": int', "source.schema.tab"),
    ],
)
def test_names_that_no_table_can_hold(problems: Problems, old: str, new: str, place: str) -> None:
    [sentence] = problems(GOOD.replace(old, new))
    assert (
        place in sentence and "which Delta cannot store; allowed: names without space" in sentence
    )
    assert "{type: long, column: 'Order ID'}" in sentence


def test_names_inside_of_a_column_and_of_a_key(problems: Problems) -> None:
    text = GOOD.replace("kind: csv", "kind: json").replace("  options: {header: true}\n", "")
    [sentence] = problems(text.replace("age: int", "age: 'struct<`a b`: int>'"))
    assert "(source.schema.age): got the name 'a b'" in sentence and "path: …" in sentence
    text = text.replace("kind: json", "kind: delta").replace("data/*.csv", "data/orders")
    text = text.replace("id: bigint", "'order id': bigint").replace("key: id", "key: order id")
    [sentence] = problems(text)
    assert "(source.key): got the name 'order id'" in sentence


@pytest.mark.parametrize("kind", ["csv", "json"])
@pytest.mark.parametrize(
    "place", ["options: {timestamp_format: epoch_s}", "timestamp_format: '%Y'"]
)
def test_a_way_to_write_times_that_no_column_has(problems: Problems, kind: str, place: str) -> None:
    text = GOOD.replace("options: {header: true}", place).replace("kind: csv", f"kind: {kind}")
    assert problems(text) == []
    text = text.replace("day: date, at: timestamp", "day: string, at: long")
    [told] = problems(text)
    assert "timestamp_format): got " in told
    assert "but no column of source.schema is a timestamp or a date; allowed: one" in told
    if kind == "json":
        inside = text.replace("at: long", "at: 'array<struct<t: timestamp>>'")
        assert problems(inside) == []


def test_columns_of_csv(project: Path) -> None:
    assert list(columns(project, GOOD)) == ["id", "age", "job", "day", "at", "income"]


@pytest.mark.parametrize("kind", ["jdbc", "http"])
def test_labelled_data_of_its_own_has_a_path(problems: Problems, kind: str) -> None:
    text = GOOD.replace("kind: csv", f"kind: {kind}").replace(
        "train:\n", "train:\n  source: {path: x.csv}\n"
    )
    assert any(
        f"(train.source): got a path beside a source of kind {kind}" in sentence
        for sentence in problems(text)
    )


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("", "is not set"),
        ("ab", "holds a secret of 2 characters"),
        (" a ", "of 1 char"),
        ("abc", ""),
    ],
)
def test_a_secret_that_no_text_could_hide(
    monkeypatch: pytest.MonkeyPatch, secret: str, said: str
) -> None:
    monkeypatch.setenv("URL_OF_SHOP", "jdbc:sqlite:shop.db")
    monkeypatch.setenv("USER_OF_SHOP", "sa")
    monkeypatch.setenv("WORD_OF_SHOP", secret)
    source = {"kind": "jdbc", "url_env": "URL_OF_SHOP", "user_env": "USER_OF_SHOP"}
    found = wrong_variables({"source": source | {"password_env": "WORD_OF_SHOP"}})
    assert [problem.path for problem in found] == ([("source", "password_env")] if said else [])
    assert all(said in problem.message and "WORD_OF_SHOP" in problem.message for problem in found)


@pytest.mark.parametrize(
    ("model", "uri"),
    [
        ("", "models:/tried@champion"),
        ("model: {}", "models:/tried@champion"),
        ("model: {device: cpu}", "models:/tried@champion"),
        ("model: {uri: models:/other/3}", "models:/other/3"),
    ],
)
def test_the_model_is_the_pipelines_own_where_the_file_names_none(
    tmp_path: Path, model: str, uri: str
) -> None:
    file = tmp_path / "tried.yaml"
    source = "source: {kind: csv, path: in.csv, schema: {id: int}, key: id, slice: ingest_date}"
    file.write_text(f"name: tried\n{source}\n{model}\n")
    assert load_pipeline(file).pipeline.model.uri == uri
    file.write_text(f"name: 1 tried\n{source}\n{model}\n")
    with pytest.raises(ConfigError) as caught:
        load_pipeline(file)
    assert [problem for problem in caught.value.problems if "(name)" not in problem] == []


@pytest.mark.parametrize("text", ["61 * * * *", "0 3 * *", "every day", "0 3 * * 7"])
def test_a_schedule_that_no_scheduler_reads_is_refused(problems: Problems, text: str) -> None:
    [told] = problems(GOOD + f'schedule: "{text}"\n')
    assert "(schedule): " in told and "allowed: " in told
