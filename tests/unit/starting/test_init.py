"""`init`: what it makes, what it leaves as it is, and what it refuses; every file that it writes
loads.
"""

from __future__ import annotations

import gzip
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

import batchinfer
from batchinfer.command_reports import InitReport
from batchinfer.config.pipeline import Pipeline
from batchinfer.errors import (
    BatchInferError,
    ConfigError,
    InputError,
    InputMissing,
)
from batchinfer.pipeline.definition.context import Context

ROWS = [{"id": n, "color": ("red", "blue")[n % 2], "size": n / 2, "big": n > 20} for n in range(40)]
CSV = "id,color,size,big\n" + "".join(
    f"{row['id']},{row['color']},{row['size']},{str(row['big']).lower()}\n" for row in ROWS
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(CSV)
    return tmp_path


def _loaded(report: InitReport) -> Pipeline:
    return Context.open(str(report.file)).pipeline


def test_a_project_and_a_pipeline_are_made_in_an_empty_folder(here: Path) -> None:
    report = batchinfer.init("sizes", "a.csv", "big")
    assert report.created == [
        "conf", "conf/pipelines", ".gitignore", "README.md", "conf/pipelines/sizes.yaml"
    ]  # fmt: skip
    assert (here / ".gitignore").read_text().splitlines()[-1] == "var/"
    body = report.to_json()
    assert (body["status"], body["pipeline"], body["project"], body["file"]) == (
        "ok",
        "sizes",
        str(here),
        str(here / "conf/pipelines/sizes.yaml"),
    )
    assert body["next"] == [
        "batchinfer train -p sizes",
        "batchinfer score -p sizes",
        "batchinfer lookup -p sizes --key id=0",
    ]
    pipeline = _loaded(report)
    assert pipeline.model.uri == "models:/sizes@champion"
    source: Any = pipeline.source
    assert (source.path, source.key, source.slice) == (("a.csv",), ("id",), "ingest_date")
    assert {name: one.type for name, one in source.schema_.items()} == {
        "id": "long", "color": "string", "size": "double", "big": "boolean"
    }  # fmt: skip
    text = (here / "conf/pipelines/sizes.yaml").read_text()
    assert '# double: line 2 holds "0.0", which is no whole number' in text
    assert "# Not a feature: id: it is the key." in text
    assert "All 40 records" in text


@pytest.mark.parametrize("name", [None, "sizes"])
def test_without_data_only_the_project_is_made(here: Path, name: str | None) -> None:
    report = batchinfer.init(name)
    assert (report.file, report.created[-1]) == (None, "README.md")
    assert report.next == [f"batchinfer init {name or 'NAME'} --from DATA --target COLUMN"]
    assert list((here / "conf/pipelines").iterdir()) == []
    assert batchinfer.init(name).created == []


def test_more_bad_records_than_may_be_are_told_and_the_next_command_allows_them(here: Path) -> None:
    (here / "b.csv").write_text(CSV + "1,red\n2,blue\n")
    report = batchinfer.init("sizes", "b.csv", "big")
    told = "2 of 42 records are bad, more than checks.max_quarantine_rate of 0.01 lets land."
    assert told in report.notes
    assert report.next[0] == "batchinfer train -p sizes --set checks.max_quarantine_rate=0.05"
    text = Path(str(report.file)).read_text()
    assert f"# {told}" in text and "# checks: {max_quarantine_rate: 0.05}" in text
    assert _loaded(report).checks.max_quarantine_rate == 0.01, "nothing is allowed unasked"
    assert "checks" not in Path(str(batchinfer.init("fine", "a.csv", "big").file)).read_text()


def test_files_of_several_shapes_are_refused_without_words_of_a_file_that_is_not_there(
    here: Path,
) -> None:
    (here / "data").mkdir()
    (here / "data/a.csv").write_text(CSV)
    (here / "data/b.csv").write_text("id,color,size,big,more\n90,red,1.5,true,x\n")
    with pytest.raises(InputError) as told:
        batchinfer.init("sizes", "data", "big")
    assert "files of one shape behind --from" in str(told.value.hint)
    assert "--set" not in str(told.value.hint)


def test_the_readme_of_a_project_asks_for_a_key_of_its_first_pipeline(here: Path) -> None:
    batchinfer.init("sizes", "a.csv", "big")
    assert "batchinfer lookup -p sizes --key id=0 " in (here / "README.md").read_text()


def test_the_place_of_a_record_is_no_feature(here: Path) -> None:
    rows = [{**row, "source_file": "a.csv", "source_line": 2 + row["id"]} for row in ROWS]
    write_deltalake(str(here / "table"), pa.Table.from_pylist(rows))
    text = Path(str(batchinfer.init("sizes", "table", "big").file)).read_text()
    assert "Not a feature: source_line: it is the place of a record" in text


def test_a_file_of_ones_own_choice_is_written_and_no_project_made(here: Path) -> None:
    (here / "mine").mkdir()
    report = batchinfer.init("sizes", "a.csv", "big", out="mine/first.yaml")
    assert report.created == ["mine/first.yaml"]
    assert sorted(path.name for path in here.iterdir()) == ["a.csv", "mine"]
    pipeline = _loaded(report)
    assert (pipeline.name, pipeline.source.path) == ("sizes", (str(here / "a.csv"),))
    assert report.next[0] == "batchinfer train -p mine/first.yaml"
    for out in ("mine/first.yaml", "mine/first.txt", "absent/first.yaml"):
        with pytest.raises(ConfigError, match=r"is there already|--out: got"):
            batchinfer.init("sizes", "a.csv", out=out)
    with pytest.raises(ConfigError, match="--out without data"):
        batchinfer.init("sizes", out="mine/second.yaml")
    assert [path.name for path in (here / "mine").iterdir()] == ["first.yaml"]


def test_what_is_there_is_left_as_it_is(here: Path) -> None:
    (here / "README.md").write_text("mine")
    (here / ".gitignore").write_text("*.csv\n")
    report = batchinfer.init("sizes", "a.csv")
    assert [(here / name).read_text() for name in ("README.md", ".gitignore")] == [
        "mine",
        "*.csv\n",
    ]
    assert ".gitignore does not name var/, the state" in report.notes
    before = (here / "conf/pipelines/sizes.yaml").read_text()
    for name in ("sizes", "SIZES"):
        with pytest.raises(ConfigError, match=r"conf/pipelines/sizes.yaml is there already"):
            batchinfer.init(name, "a.csv", "big")
    assert (here / "conf/pipelines/sizes.yaml").read_text() == before
    assert len(list((here / "conf/pipelines").iterdir())) == 1, "no draft is left"


def test_the_project_above_is_used_and_data_outside_have_an_absolute_path(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "p/conf").mkdir(parents=True)
    (here / "p/in/deep").mkdir(parents=True)
    (here / "p/in/b.csv").write_text(CSV)
    monkeypatch.chdir(here / "p/in")
    inside = batchinfer.init("inside", "b.csv")
    assert inside.project == str(here / "p")
    assert _loaded(inside).source.path == ("in/b.csv",)  # pyright: ignore
    outside = batchinfer.init("outside", "../../a.csv", folder=here / "p/in")
    assert _loaded(outside).source.path == (str(here / "a.csv"),)  # pyright: ignore


def test_without_a_target_the_file_can_be_landed_and_says_how_to_learn(here: Path) -> None:
    report = batchinfer.init("sizes", "a.csv")
    assert _loaded(report).train is None
    assert report.next[0].startswith("batchinfer extract -p sizes --slice")
    assert "# train: {target: {column: COLUMN}" in Path(str(report.file)).read_text()


@pytest.mark.parametrize("kind", ["csv", "json", "array", "parquet", "folder", "delta"])
def test_every_kind_of_data_gives_a_pipeline_that_loads(here: Path, kind: str) -> None:
    table = pa.Table.from_pylist(ROWS)
    place = here / f"data.{kind}"
    if kind == "csv":
        place.write_text(CSV)
    elif kind == "json":
        place.write_text("".join(json.dumps({"deep": row}) + "\n" for row in ROWS))
    elif kind == "array":
        place = here / "data.json"
        place.write_text(json.dumps(ROWS))
    elif kind == "delta":
        write_deltalake(str(place), table)
    else:
        place = place / "part.parquet" if kind == "folder" else place
        place.parent.mkdir(exist_ok=True)
        pq.write_table(table, place)
    target = "deep_big" if kind == "json" else "big"
    pipeline = _loaded(batchinfer.init("sizes", str(place), target))
    wanted = {"folder": "parquet", "array": "json"}.get(kind, kind)
    assert pipeline.source.kind == wanted
    assert pipeline.source.key == (("deep_id",) if kind == "json" else ("id",))
    prefix = "deep_" if kind == "json" else ""
    assert [dict(step) for step in pipeline.features] == [
        {"standardize": {"columns": f"{prefix}size"}},
        {"one_hot": {"columns": f"{prefix}color"}},
    ]
    assert pipeline.train is not None
    assert pipeline.train.target.positive == ("true",)


def test_json_of_several_kinds_is_text_and_says_why(here: Path) -> None:
    lines = [{"a": 1, "b": [1], "c": 1, "d": "2024-01-01"}, {"a": "x", "c": 2.5, "d": "2024-01-02"}]
    (here / "a.json").write_text("".join(json.dumps(line) + "\n" for line in lines * 3))
    report = batchinfer.init("j", "a.json")
    source: Any = _loaded(report).source
    assert {name: one.type for name, one in source.schema_.items()} == {
        "a": "string", "c": "double", "d": "date"
    }  # fmt: skip
    text = Path(str(report.file)).read_text()
    assert 'of several kinds (whole, text), such as "x" in line 2' in text
    assert "b is a list, which is left out" in text


def test_a_comma_between_thousands_is_no_decimal_one(here: Path) -> None:
    rows = "".join(f'{n},"{n + 1},{n % 10}04"\n' for n in range(40))
    (here / "b.csv").write_text("id,price\n" + rows)
    (here / "c.csv").write_text("id;price\n" + "".join(f"{n};{n},{n % 7}4\n" for n in range(40)))
    for name, type_, options in (("b", "string", {}), ("c", "double", {"decimal": ","})):
        pipeline = _loaded(batchinfer.init(name, f"{name}.csv"))
        source: Any = pipeline.source
        assert source.schema_["price"].type == type_
        assert source.options.decimal == options.get("decimal", ".")
    [replaced, *_] = _loaded(batchinfer.init("d", "b.csv")).features
    assert dict(replaced)["replace"]["columns"] == "price"


def test_columns_that_no_table_can_hold_are_left_out_and_told(here: Path) -> None:
    table = pa.table(
        {
            "id": pa.array(range(40), pa.uint64()),
            "nothing": pa.nulls(40),
            "Size (cm)": [row["size"] for row in ROWS],
            "big": [row["big"] for row in ROWS],
        }
    )
    pq.write_table(table, here / "a.parquet")
    report = batchinfer.init("sizes", "a.parquet", "big")
    told = [
        "Column id is left out: it is uint64, which no table can hold",
        "Column nothing is left out: it has no value in any file, and so no type",
    ]
    assert report.notes == told
    text = Path(str(report.file)).read_text()
    assert all(f"  # {one}.\n" in text for one in told)
    source: Any = _loaded(report).source
    assert source.columns.new == "ignore"
    assert {name: one.column for name, one in source.schema_.items()} == {
        "Size_cm": "Size (cm)", "big": None
    }  # fmt: skip
    pq.write_table(table.select(["nothing"]), here / "b.parquet")
    with pytest.raises(InputError, match="got no column that can land"):
        batchinfer.init("none", "b.parquet")


def test_a_delta_table_of_which_a_file_is_cut_or_gone_is_told_with_the_file(here: Path) -> None:
    write_deltalake(str(here / "table"), pa.Table.from_pylist(ROWS))
    [file] = (here / "table").glob("*.parquet")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=file.name):
        batchinfer.init("sizes", "table", "big")
    file.unlink()
    with pytest.raises(InputMissing, match=f"{file.name}: a file of the Delta table is gone"):
        batchinfer.init("sizes", "table", "big")


def _write(path: Path, content: str | bytes) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize(
    ("name", "content", "target", "error", "said"),
    [
        ("b.csv", None, None, InputMissing, "a.csv"),
        ("b.csv", "", None, InputError, "only files without content"),
        ("b.csv", " \n\n", None, InputError, "only blank lines"),
        ("b.csv", "a,b\n", None, InputError, "no record behind the header"),
        ("b.csv", "n,n\n1,2\n", None, InputError, "twice"),
        ("b.xlsx", b"PK\x03\x04\0\0", None, InputError, "ZIP archive"),
        ("b.csv", gzip.compress(CSV.encode()), None, InputError, "let its name end in .gz"),
        ("b.log", '1.2.3.4 - - [a b] "GET / HTTP/1.1" 200 -\n', None, InputError, "text_log reads"),
        ("b.json", '{"n": 1, "rows": [{"a": 1}]}', None, InputError, 'the list under "rows"'),
        ("b.json", '{\n"rows":\n[{"a": 1}]}', None, InputError, 'the list under "rows"'),
        ("b.csv", "1,red\n2,blue\n", "big", ConfigError, "called c1, c2"),
        ("b.csv", "id:big\n1:a\n2:b\n", "big", ConfigError, "taken for a single column"),
        ("b.csv", b"\x00\x01\x02" * 50, None, InputError, "no text"),
        ("b.parquet", "not so", None, InputError, "b.parquet"),
        ("b.json", "[1, 2]", None, InputError, "no JSON object"),
        ("b.csv", CSV, "bgi", ConfigError, "did you mean big?"),
    ],
)
def test_data_that_nothing_is_made_of_leave_nothing_behind(
    here: Path, name: str, content: str | bytes | None, target: str | None,
    error: type[BatchInferError], said: str,
) -> None:  # fmt: skip
    if content is not None:
        _write(here / name, content)
    with pytest.raises(error) as told:
        batchinfer.init("sizes", name, target)
    assert said in f"{told.value} {told.value.hint}"
    assert not (here / "conf").exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://lake/in/a.csv", "source.path the address, as s3a://lake/in/a.csv, which extract"),
        ("gs://lake/in/*.parquet", "as gs://lake/in/*.parquet"),
        ("wasbs://c@x/a.csv", "source.path an address abfss://…"),
        ("https://me:CANARY@example.org/a.csv", "download the file"),
        ("jdbc:postgresql://db/shop", "kind: jdbc reads"),
        ("ftp://example.org/a.csv", "copy the files here"),
    ],
)
def test_an_address_is_told_with_what_to_do_instead(here: Path, address: str, said: str) -> None:
    with pytest.raises(InputError, match="allowed: files of this machine") as told:
        batchinfer.init("sizes", address)
    assert said in str(told.value.hint) and "CANARY" not in f"{told.value} {told.value.hint}"
    assert not (here / "conf").exists()


def test_a_file_may_be_named_as_an_address_of_this_machine(here: Path) -> None:
    (here / "b c.csv").write_text(CSV)
    assert batchinfer.init("sizes", (here / "b c.csv").as_uri(), "big").file is not None


def test_a_pattern_without_quotes_is_told_with_the_command_that_has_them(here: Path) -> None:
    for name in ("in/a.csv", "in/b.csv", "in/c d.csv"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(CSV)
    program = f"{shlex.quote(sys.executable)} -m batchinfer"
    for words in ("init sizes --from in/*.csv --target big", "init --from in/*.csv sizes"):
        done = subprocess.run(
            f"{program} {words}", shell=True, cwd=here, capture_output=True, text=True, check=False
        )
        body = json.loads(done.stdout)
        assert done.returncode == body["exit_code"] == 2
        assert "got 3 files behind --from (in/a.csv, in/b.csv, in/c d.csv)" in body["errors"][0]
        [command] = body["next"]
        assert "--from 'in/*.csv'" in command
        shutil.rmtree(here / "conf", ignore_errors=True)
        again = command.replace("batchinfer", program, 1)
        done = subprocess.run(again, shell=True, cwd=here, capture_output=True, check=False)
        assert done.returncode == 0 and (here / "conf/pipelines/sizes.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "a b", "data": "a.csv"}, "got the name 'a b'"),
        ({"data": "a.csv"}, "without a name"),
        ({"name": "a", "target": "big"}, "--target without data"),
    ],
)
def test_words_that_do_not_go_together(here: Path, arguments: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        batchinfer.init(**arguments)


def test_the_command_loads_neither_spark_nor_torch_and_ends_with_the_next_ones(here: Path) -> None:
    script = (
        "import sys\nfrom batchinfer.__main__ import main\n"
        "import atexit\n"
        "slow = ('pyspark', 'torch', 'mlflow', 'great_expectations')\n"
        "atexit.register(lambda: print(*[n for n in slow if n in sys.modules], file=sys.stderr))\n"
        "main(['init', 'sizes', '--from', 'a.csv', '--target', 'big'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("next: ") or last == "", "nothing slow was loaded"
    assert json.loads(done.stdout)["created"][-1] == "conf/pipelines/sizes.yaml"


@pytest.mark.parametrize("is_on_path", [True, False])
def test_next_commands_are_called_as_this_one_was(
    here: Path, monkeypatch: pytest.MonkeyPatch, is_on_path: bool
) -> None:
    monkeypatch.setattr("sys.argv", ["/x/batchinfer/__main__.py"])
    found = sys.executable if is_on_path else "/usr/bin/other"
    monkeypatch.setattr("batchinfer.pipeline.init.shutil.which", lambda _: found)
    [command] = batchinfer.init(folder=here).next
    python = "python" if is_on_path else shlex.quote(sys.executable)
    assert command.startswith(f"{python} -m batchinfer init")
