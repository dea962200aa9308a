"""Bad files, through the whole of `extract`: every record lands or goes aside, or an error names
the file and nothing lands.

The tables are real, and so are the commands; only the tasks run in this process (see conftest).
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from spark.projects import SmallProject

from batchinfer.errors import ConfigError, InputError, InputMissing
from batchinfer.pipeline.landing import file_increment

HEAD = b"id,color,size,big\n"
ROW = b"1,red,1.5,yes\n"


@pytest.fixture
def write(local: SmallProject) -> Callable[..., Path]:
    (local.root / "in").mkdir()

    def file(content: bytes, name: str = "a.csv") -> Path:
        path = local.root / "in" / name
        path.write_bytes(content)
        return path

    return file


def outcome(project: SmallProject) -> tuple[int, int, list[tuple[int, bytes, str]]]:
    """Rows landed, blank lines, and (line, raw, reason) of what went aside."""
    report = project.extract()
    assert report.rows_in == report.rows_landed + report.rows_quarantined
    aside = project.table("quarantine").to_pylist() if report.rows_quarantined else []
    return (
        report.rows_landed,
        report.blank_lines,
        sorted((row["source_line"], row["raw"], row["reason"]) for row in aside),
    )


@pytest.mark.parametrize(
    ("content", "landed", "aside"),
    [
        pytest.param(
            HEAD + b"1," + b"x" * 3_000_000 + b",1.5,yes\n" + ROW, 2, [], id="a 3 MB cell"
        ),
        pytest.param(
            HEAD + ROW + b'2,"red,1.5,yes\n' + ROW,
            2,
            [(3, b'2,"red,1.5,yes', "quote")],
            id="a quote never closed",
        ),
        pytest.param(
            HEAD + b"2,r\x00d,1.5,yes\n\x00,red,1,no\n",
            1,
            [(3, b"\x00,red,1,no", "type")],
            id="NUL bytes",
        ),
        pytest.param(b"\xef\xbb\xbf" + HEAD + ROW, 1, [], id="a byte order mark"),
        pytest.param(
            (HEAD + ROW + b"x,red,1,no\n").replace(b"\n", b"\r\n"),
            1,
            [(3, b"x,red,1,no", "type")],
            id="CRLF",
        ),
        pytest.param(
            HEAD + "2,grün,1,no\n".encode() + "3,grün,1,no\n".encode("latin-1"),
            1,
            [(3, "3,grün,1,no".encode("latin-1"), "not_utf8")],
            id="mixed encodings",
        ),
        pytest.param(b"big,size,id,color\nyes,1.5,1,red\n", 1, [], id="columns in another order"),
    ],
)
def test_a_file_of_which_every_record_is_accounted_for(
    local: SmallProject,
    write: Callable[..., Path],
    content: bytes,
    landed: int,
    aside: list[tuple[int, bytes, str]],
) -> None:
    write(content)
    assert outcome(local) == (landed, 0, aside)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"id,color,color,big\n", "twice: 'color'; missing: 'size'"),
        (b"id,colour,size,big\n", "missing: 'color'; not in the schema: 'colour'"),
        (b"id,color,size,big,more\n", "not in the schema: 'more'"),
        (b"id,color,Size,big\n", "Perhaps 'Size' stands for 'size'"),
        (
            b"id," + b",".join(b"c%d" % number for number in range(20_000)) + b"\n",
            "missing: 'color', 'size'; not in the schema",
        ),
    ],
    ids=["twice", "renamed", "added", "another case", "20,000 columns"],
)
def test_a_header_that_breaks_the_contract_shows_the_difference(
    local: SmallProject, write: Callable[..., Path], header: bytes, words: str
) -> None:
    write(header + ROW)
    with pytest.raises(InputError) as caught:
        local.extract()
    assert caught.value.exit_code == 3
    assert "a.csv:1: the header does not fit the schema" in str(caught.value)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 2_000


def test_a_timestamp_out_of_range_goes_aside(
    local: SmallProject, write: Callable[..., Path]
) -> None:
    local.edit("size: double", "size: timestamp")
    local.edit("  - standardize: {columns: size}\n", "")
    write(HEAD + b"1,red,2015-05-17 10:00:00,yes\n2,red,99999-01-01 00:00:00,yes\n")
    landed, _, aside = outcome(local)
    assert (landed, [(line, reason) for line, _, reason in aside]) == (1, [(3, "type")])


def test_truncated_files_are_named_and_nothing_lands(
    local: SmallProject, write: Callable[..., Path]
) -> None:
    write(HEAD + ROW)
    write(gzip.compress(HEAD + ROW * 1000, mtime=0)[:-20], "b.csv.gz")
    local.edit("in/*.csv", "in/*")
    with pytest.raises(InputError, match=r"in/b\.csv\.gz is cut short"):
        local.extract()
    assert not list((local.root / "var").rglob("slice=*/*.parquet")), (
        "of the whole file, too, nothing has landed"
    )


def test_a_truncated_parquet_file_is_named(local: SmallProject, write: Callable[..., Path]) -> None:
    local.edit("kind: csv", "kind: parquet")
    local.edit("in/*.csv", "in/*.parquet")
    table = pa.table(
        {"id": pa.array([1], pa.int32()), "color": ["red"], "size": [1.5], "big": ["yes"]}
    )
    for name in ("a.parquet", "b.parquet"):
        pq.write_table(table, local.root / "in" / name)
    content = (local.root / "in/b.parquet").read_bytes()
    write(content[: len(content) // 2], "b.parquet")
    with pytest.raises(InputError, match=r"in/b\.parquet"):
        local.extract()
    assert not list((local.root / "var").rglob("slice=*/*.parquet"))


def test_an_empty_file_among_full_ones(local: SmallProject, write: Callable[..., Path]) -> None:
    write(HEAD + ROW)
    write(b"", "b.csv")
    write(HEAD, "c.csv")
    write(b"\n\n", "d.csv")
    assert outcome(local) == (1, 2, [])
    assert local.extract().status == "unchanged"


def test_a_file_deleted_between_listing_and_reading(
    local: SmallProject, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(HEAD + ROW)
    gone = write(HEAD + ROW, "b.csv")
    run_tasks = file_increment.run_tasks

    def late(*arguments: object, **named: object) -> object:
        gone.unlink()
        return run_tasks(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(file_increment, "run_tasks", late)
    with pytest.raises(InputMissing, match=r"in/b\.csv is gone since it was listed"):
        local.extract()
    assert not list((local.root / "var").rglob("slice=*/*.parquet"))


def test_links_that_lead_out_and_roots_that_are_broken(
    local: SmallProject, write: Callable[..., Path], tmp_path: Path
) -> None:
    write(HEAD + ROW)
    outside = local.write("elsewhere/b.csv", "id\n")
    (local.root / "in/b.csv").symlink_to(outside)
    with pytest.raises(InputError, match=r"in/b\.csv is a link that leads out of"):
        local.extract()
    (local.root / "in/b.csv").unlink()
    local.edit("  path: in/*.csv", "  path: in/*.csv\n  roots: [elsewhere]")
    with pytest.raises(ConfigError, match=r"outside source\.roots"):
        local.extract()


def test_ten_thousand_tiny_files_are_a_few_tasks(
    local: SmallProject, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10_000):
        write(
            HEAD + b"%d,red,1.5,%s\n" % (number, b"yes" if number % 1000 else b"yes,too much"),
            f"{number:05}.csv",
        )
    tasks: list[int] = []
    run_tasks = file_increment.run_tasks
    monkeypatch.setattr(
        file_increment,
        "run_tasks",
        lambda *given, **named: (tasks.append(len(given[2])), run_tasks(*given, **named))[1],
    )
    report = local.extract()
    assert (report.files_read, report.rows_landed, report.rows_quarantined, tasks) == (
        10_000,
        9_990,
        10,
        [3],
    )
    assert len(list((local.root / "var").rglob("slice=*/*.parquet"))) <= 8
