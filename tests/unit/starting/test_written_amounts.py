"""Numbers that are written as text: points and commas between thousands and before decimals, days
in the names of folders, and what is told of columns that only look like numbers or times.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import batchinfer
from batchinfer.config.schema import schema_fields
from batchinfer.errors import InputError
from batchinfer.pipeline.definition.context import Context
from batchinfer.sources.listing import list_files
from batchinfer.sources.readers import plan_source_splits, read_splits
from batchinfer.starting.sample import SampledColumn
from batchinfer.starting.untyped_columns import untyped_note
from batchinfer.starting.written_amounts import decimal_of, may_have_thousands
from batchinfer.transforms.parse import parse_steps

N = 60
WHOLE = [7, 564, 2301, 9425, 1234567]
BIG = [WHOLE[n % 5] for n in range(N)]


def _pointed(number: int) -> str:
    return f"{number:,}".replace(",", ".")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _init(delimiter: str, **columns: list[str]) -> tuple[Any, list[str], str]:
    """The pipeline, the notes and the text of the file that `init` writes of such a CSV file."""
    rows = zip(*columns.values(), strict=True)
    lines = [delimiter.join(columns), *(delimiter.join(f'"{one}"' for one in row) for row in rows)]
    Path("some.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = batchinfer.init("some", "some.csv")
    text = Path(str(report.file)).read_text(encoding="utf-8")
    return Context.open(str(report.file)).pipeline, report.notes, text


def _numbers(pipeline: Any, column: str) -> list[float | None]:
    """What the proposed steps up to the cast make of a column of some.csv."""
    fields = schema_fields(pipeline.source)
    assert fields is not None
    files = list_files(pipeline.source.path, Path.cwd())
    splits = plan_source_splits(files, pipeline.source, fields)
    parsed = list(read_splits(splits, pipeline.source, fields))
    values: Any = pa.concat_arrays([one.rows.column(column) for one in parsed])
    for step in pipeline.features:
        [(name, given)] = dict(step).items()
        columns = [given["columns"]] if isinstance(given["columns"], str) else given["columns"]
        if name in ("replace", "cast") and column in columns:
            values = _applied(name, given, values)
    return values.to_pylist()


def _applied(name: str, given: dict[str, Any], values: pa.Array) -> pa.Array:
    [step], problems = parse_steps([{name: {**given, "columns": "x"}}])
    assert not problems
    return step.apply({"x": values}, {})["x"]


@pytest.mark.parametrize(
    ("other", "whole"),
    [([], [2301, 564, 12]), (["1,5", "2,25", "0,5"], [2301, 564, 12])],
)
def test_points_between_thousands_make_text_that_becomes_the_numbers(
    here: Path, other: list[str], whole: list[int]
) -> None:
    columns = {"id": [str(n) for n in range(N)], "qty": [_pointed(whole[n % 3]) for n in range(N)]}
    if other:
        columns["price"] = [other[n % 3] for n in range(N)]
    pipeline, notes, text = _init("," if other else ";", **columns)
    assert pipeline.source.schema_["qty"].type == "string"
    assert _numbers(pipeline, "qty") == [float(whole[n % 3]) for n in range(N)]
    assert [note for note in notes if '"2.301" is 2301' in note]
    assert '# string: points stand between its thousands: line 2 holds "2.301"' in text
    assert ('    decimal: ","' in text) == bool(other)


def test_several_groups_are_thousands_in_any_file(here: Path) -> None:
    pipeline, _, _ = _init(",", qty=[_pointed(one) for one in BIG])
    assert pipeline.source.schema_["qty"].type == "string"
    assert _numbers(pipeline, "qty") == [float(one) for one in BIG]


def test_points_that_only_could_stand_between_thousands_are_told(here: Path) -> None:
    quantities = [_pointed(WHOLE[n % 4]) for n in range(N)]
    pipeline, notes, text = _init(",", qty=quantities, x=[str(n) for n in range(N)])
    assert pipeline.source.schema_["qty"].type == "double"
    [note] = [one for one in notes if one.startswith("Column qty")]
    assert 'line 4 holds "2.301", whose point is taken for that before decimals' in note
    assert "# double: line 4 holds" in text


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("other", ["3.5", "2301", "0.125"])
def test_points_before_decimals_stay_so_where_the_file_shows_it(
    here: Path, delimiter: str, other: str
) -> None:
    values = ["2.301", "564", other]
    pipeline, notes, _ = _init(delimiter, size=[values[n % 3] for n in range(N)])
    assert pipeline.source.schema_["size"].type == "double"
    assert not [one for one in notes if one.startswith("Column")]
    columns = {"a": ["2.301", "564"] * (N // 2), "b": ["1.5", "2.5"] * (N // 2)}
    Path("conf/pipelines/some.yaml").unlink()
    pipeline, notes, _ = _init(delimiter, **columns)
    assert pipeline.source.schema_["a"].type == "double"
    assert not [one for one in notes if one.startswith("Column")]


def test_amounts_with_commas_before_decimals_become_numbers(here: Path) -> None:
    amounts = {
        "amount": (["254,00", "1.243,11", "-3,50"], [254.0, 1243.11, -3.5]),
        "euros": (["830,14 €", "1.000,00\N{NO-BREAK SPACE}€", "€ 2"], [830.14, 1000.0, 2.0]),
        "share": (["16,5 %", "7 %", "0,125 %"], [16.5, 7.0, 0.125]),
        "either": (["1.204 €", "2.301 €", "7 €"], [1204.0, 2301.0, 7.0]),
    }
    columns = {name: [texts[n % 3] for n in range(N)] for name, (texts, _) in amounts.items()}
    pipeline, notes, _ = _init(";", **columns)
    for name, (_, numbers) in amounts.items():
        assert _numbers(pipeline, name) == [numbers[n % 3] for n in range(N)], name
    told = [note for note in notes if "in two ways" in note]
    assert [note.split()[1] for note in told] == ["either"]
    assert "a comma is taken" in told[0]


@pytest.mark.parametrize(
    ("values", "commas", "decimal"),
    [
        (["$1,204.50", "$7"], True, "."),
        (["1,204", "7,125"], False, "."),
        (["1,204", "7,125"], True, ","),
        (["0,125", "0,500"], False, ","),
        (["2.301", "564"], False, None),
        (["2.301", "564"], True, ","),
        (["12%", None, "7%"], False, "."),
        (["1.204,5", "1,204.5"], True, None),
        (["red", "1,5"], True, None),
        (["0815", "12"], True, None),
        ([None], True, None),
    ],
)
def test_what_stands_before_the_decimals(
    values: list[str | None], commas: bool, decimal: str | None
) -> None:
    assert decimal_of(pa.array(values, pa.string()), commas) == decimal


@pytest.mark.parametrize(
    ("values", "may"),
    [
        (["2.301", "564"], True),
        (["2.301", "1564"], False),
        (["564"], False),
        (["0.301"], False),
        (["2.301", None, ""], True),
        ([], False),
    ],
)
def test_where_points_may_stand_between_thousands(values: list[str | None], may: bool) -> None:
    assert may_have_thousands(pa.array(values, pa.string())) is may


def test_a_target_of_such_numbers_is_refused_with_what_is_in_the_way(here: Path) -> None:
    rows = "".join(f"{n};{_pointed(1000 + 7 * n)}\n" for n in range(200))
    (here / "a.csv").write_text("id;qty\n" + rows)
    with pytest.raises(InputError, match=r"points stand between its thousands: line 2"):
        batchinfer.init("a", "a.csv", "qty")


@pytest.mark.parametrize(
    ("values", "out", "said"),
    [
        (["01.01.26", "02.01.26", "soon"], True, 'a date or a time in most values, such as "01.01'),
        (["05/12/2026 5:05 PM"], True, "a date or a time"),
        (["11:58", "-"], False, "it is taken for a category"),
        (["12 CHF", "12.5", "7"], True, 'a number in most values, such as "12.5"'),
        (["0815", "12"], False, None),
        (["red", "blue", "7"], True, None),
        ([None], True, None),
    ],
)
def test_what_is_told_of_columns_that_look_typed(
    values: list[str | None], out: bool, said: str | None
) -> None:
    note = untyped_note(SampledColumn("x", "string", pa.array(values, pa.string())), out)
    assert (note is None) if said is None else (note is not None and said in note)


def test_a_column_of_times_that_is_left_out_is_told_on_the_terminal(here: Path) -> None:
    times = [f"{n % 24}:{n:02}" for n in range(N)]
    _, notes, text = _init(",", at=times, x=[str(n % 7) for n in range(N)])
    assert [one for one in notes if one.startswith("Column at looks like a date or a time")]
    assert "# Not a feature: at:" in text


@pytest.mark.parametrize(
    ("last", "type_"), [("2026-11-21", "date"), ("2026-11-31", "string"), ("all", "string")]
)
def test_days_in_the_names_of_folders_are_dates(here: Path, last: str, type_: str) -> None:
    for day in ("2026-11-20", "__HIVE_DEFAULT_PARTITION__", last):
        (here / f"data/day={day}").mkdir(parents=True)
        rows = pa.table({"x": [n * 0.5 for n in range(N)]})
        pq.write_table(rows, here / f"data/day={day}/part.parquet")
    report = batchinfer.init("days", "data")
    pipeline: Any = Context.open(str(report.file)).pipeline
    assert pipeline.source.schema_["day"].type == type_
    steps = [name for step in pipeline.features for name in dict(step)]
    assert ("date_parts" in steps, "one_hot" in steps) == (type_ == "date", type_ != "date")
    text = Path(str(report.file)).read_text(encoding="utf-8")
    assert ("slice: {column: day, unit: day} would cut" in text) == (type_ == "date")
    if type_ == "date":
        fields = schema_fields(pipeline.source)
        assert fields is not None
        files = list_files(pipeline.source.path, here)
        splits = plan_source_splits(files, pipeline.source, fields)
        landed = [one.rows.column("day") for one in read_splits(splits, pipeline.source, fields)]
        assert {one for column in landed for one in column.to_pylist()} == {
            date(2026, 11, 20), None, date(2026, 11, 21)
        }  # fmt: skip
