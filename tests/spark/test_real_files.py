"""Real public files: landed whole, not landed again, and one more file lands by itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable
from spark.projects import SmallProject

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DATA = Path(__file__).parents[3] / "shared/data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA}")

REST = """\
features: [{standardize: {columns: NUMBER}}]
train: {target: {column: TARGET, positive: ["x"]}}
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.05}
sink: {table: predictions/small}
"""
ADULT = """\
  kind: csv
  path: in/*.csv
  options: {header: false, null_values: ["?"]}
  schema: {age: int, workclass: string, fnlwgt: int, education: string, education_num: int,
           marital: string,
           occupation: string,
           relationship: string, race: string, sex: string, capital_gain: int, capital_loss: int,
           hours: int, country: string,
           income: string}
  slice: {column: race}
"""
VENDOR = """\
  kind: csv
  path: in/*
  options: {timestamp_format: "%Y-%m-%d %H:%M"}
  schema: {reviewerId: long, vendorId: long, rating: int, date: timestamp}
  slice: {column: date, unit: month}
"""
BEIJING = """\
  kind: csv
  path: in/*.csv
  options: {null_values: ["NA"]}
  schema: {"No": int, year: int, month: int, day: int, hour: int, "pm2.5": double,
           DEWP: int, TEMP: double,
           PRES: double,
           cbwd: string, Iws: double, Is: int, Ir: int}
  key: "No"
  slice: {column: year}
"""
LOG = """\
  kind: text_log
  path: in/*.log
  options: {format: combined}
  slice: {column: ts, unit: day}
"""
ADULT_LINE = b"39, ?, 7, Masters, 14, Divorced, ?, Unmarried, Black, Male, 0, 0, 40, Cuba, >50K.\n"
BEIJING_LINES = b"No,year,month,day,hour,pm2.5,DEWP,TEMP,PRES,cbwd,Iws,Is,Ir\n"
BEIJING_LINES += b"99999,2015,1,1,0,NA,-21,-11,1021,NW,1.79,0,0\n"
LOG_LINE = b'::1 - - [01/Jun/2015:00:00:01 +0200] "GET /a HTTP/1.1" 200 12 "-" "x"\n'


def project_of(
    root: Path, spark: SparkSession, source: str, number: str, target: str
) -> SmallProject:
    project = SmallProject(root, lambda: spark)
    rest = REST.replace("NUMBER", number).replace("TARGET", target)
    project.write("conf/pipelines/small.yaml", f"name: small\nsource:\n{source}{rest}")
    (root / "in").mkdir()
    return project


@pytest.mark.parametrize(
    ("source", "columns", "files", "more", "expected", "later"),
    [
        (
            ADULT,
            ("age", "income"),
            ["adult_train.csv", "adult_test.csv"],
            ADULT_LINE,
            (48842, 0, 5),
            (1, "Black"),
        ),
        (
            VENDOR,
            ("rating", "vendorId"),
            ["vendor_reviews.csv.bz2"],
            b"reviewerId,vendorId,rating,date\n1,2,5,2031-01-02 10:00\n",
            (578805, 0, 56),
            (1, "2031-01"),
        ),
        (
            BEIJING,
            ("DEWP", "cbwd"),
            ["beijing_pollution_hourly.csv"],
            BEIJING_LINES,
            (43824, 0, 5),
            (1, "2015"),
        ),
        (
            LOG,
            ("bytes", "user_agent"),
            ["apache_access.log"],
            LOG_LINE,
            (9999, 1, 4),
            (1, "2015-05-31"),
        ),
    ],
    ids=["adult", "vendor", "beijing", "log"],
)
def test_a_real_file_lands_once(
    tmp_path: Path,
    spark: SparkSession,
    source: str,
    columns: tuple[str, str],
    files: list[str],
    more: bytes,
    expected: tuple[int, int, int],
    later: tuple[int, str],
) -> None:
    project = project_of(tmp_path, spark, source, *columns)
    for name in files:
        shutil.copy(DATA / name, tmp_path / "in")
    first = project.extract(None)
    assert (first.rows_landed, first.rows_quarantined, len(first.slices)) == expected
    assert first.rows_in == first.rows_landed + first.rows_quarantined
    again = project.extract(None)
    assert (again.status, again.version, again.rows_in) == ("unchanged", first.version, 0)
    (tmp_path / "in" / f"more{Path(files[0]).suffixes[0]}").write_bytes(more)
    third = project.extract(None)
    assert (third.files_read, third.rows_landed, third.slices) == (1, later[0], [later[1]])
    slices = project.states()
    assert (len(slices), set(slices.values())) == (len({*first.slices, later[1]}), {"missing"})


def test_the_line_of_the_real_log_that_does_not_parse_is_kept_whole(
    tmp_path: Path, spark: SparkSession
) -> None:
    project = project_of(tmp_path, spark, LOG, "bytes", "user_agent")
    shutil.copy(DATA / "apache_access.log", tmp_path / "in")
    report = project.extract(None)
    [bad] = DeltaTable(report.quarantine).to_pyarrow_table().to_pylist()
    place = (bad["source_file"], bad["source_line"], bad["reason"], bad["stage"], bad["run_id"])
    assert place == ("apache_access.log", 8899, "no_match", "extract", report.run_id)
    assert bad["raw"] == (DATA / "apache_access.log").read_bytes().split(b"\n")[8898]


def test_two_thousand_reviews_are_a_row_a_file(tmp_path: Path, spark: SparkSession) -> None:
    source = (
        "  kind: texts\n  path: in/txt_sentoken/*/*.txt\n  options: {encoding: latin-1}\n  "
        "slice: ingest_date\n"
    )
    project = project_of(tmp_path, spark, source, "bytes", "path")
    shutil.unpack_archive(DATA / "review_polarity.tar.gz", tmp_path / "in")
    report = project.extract()
    assert (report.files_read, report.rows_landed) == (2000, 2000)
    rows = DeltaTable(report.table).to_pyarrow_table(columns=["path", "content"])
    content = dict(zip(rows["path"].to_pylist(), rows["content"].to_pylist(), strict=True))
    name = "neg/cv000_29416.txt"
    assert content[name] == (tmp_path / "in/txt_sentoken" / name).read_bytes().decode("latin-1")
    assert project.extract().status == "unchanged"
    project.write("in/txt_sentoken/new/a.txt", "fine")
    assert project.extract().rows_landed == 1
