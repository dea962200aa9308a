"""Every type and every feature of Delta, as its writers write them: all roads read what Spark
reads, or the table is refused with a sentence.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import convert_to_deltalake, write_deltalake
from spark.projects import DAY
from spark.roads import SharedTable, same_rows

from batchinfer.config.sources import DeltaSource
from batchinfer.errors import InputError
from batchinfer.pipeline.slices.delta_opened import open_source
from batchinfer.pipeline.slices.landed import read_data

# Of each feature the columns of a table, what stands behind USING delta, and statements.
NULLS = ", NULL"
ONE_FILE = "INSERT INTO {here} SELECT /*+ COALESCE(1) */ * FROM VALUES "
FEW = ONE_FILE + "(1, 'a'), (2, NULL), (3, 'ccc')"
PLAIN = "id int, text string"
BY_SPARK: dict[str, tuple[str, str, list[str]]] = {
    "types": (
        "id int, a tinyint, b smallint, c bigint, d float, e double, f decimal(38, 10), g string, "
        "h binary, i boolean, j date, k timestamp, l timestamp_ntz, m array<decimal(3, 1)>, "
        "n struct<x: int, y: array<timestamp>>, o map<string, date>",
        "",
        [
            "INSERT INTO {here} VALUES (1, -128Y, 32767S, -9223372036854775808, float('NaN'), "
            "-0.0D, 1234567890123456789012345678.0123456789, '', X'00FF', true, DATE'0001-01-03', "
            "TIMESTAMP'0001-01-03 00:00:00.000001', TIMESTAMP_NTZ'9999-12-31 23:59:59.999999', "
            "array(1.5, NULL), named_struct('x', 1, 'y', array(TIMESTAMP'1900-01-01')), "
            f"map('k', DATE'2026-11-21')), (2{NULLS * 15}), (3, 0Y, 0S, 0, float('-Infinity'), "
            "double('NaN'), 0, 'ü', X'', false, DATE'9999-12-31', TIMESTAMP'2026-11-21', "
            "TIMESTAMP_NTZ'1600-02-29', array(), named_struct('x', NULL, 'y', NULL), map())"
        ],
    ),
    "deletion vectors": (
        PLAIN,
        "TBLPROPERTIES ('delta.enableDeletionVectors' = true)",
        [FEW, "DELETE FROM {here} WHERE id = 2"],
    ),
    "names mapped": (
        PLAIN,
        "PARTITIONED BY (text) TBLPROPERTIES ('delta.columnMapping.mode' = 'name')",
        [FEW, "ALTER TABLE {here} RENAME COLUMN text TO words"],
    ),
    "names mapped by id": (PLAIN, "TBLPROPERTIES ('delta.columnMapping.mode' = 'id')", [FEW]),
    "a column dropped and made anew": (
        PLAIN,
        "TBLPROPERTIES ('delta.columnMapping.mode' = 'name')",
        [
            FEW,
            "ALTER TABLE {here} DROP COLUMN text",
            "ALTER TABLE {here} ADD COLUMN text string",
            "INSERT INTO {here} VALUES (4, 'd')",
        ],
    ),
    "types that widen": (
        "id int, a tinyint, b int, c decimal(5, 2), d date, e float",
        "TBLPROPERTIES ('delta.enableTypeWidening' = true, "
        "'delta.feature.timestampNtz' = 'supported')",
        [
            "INSERT INTO {here} VALUES (1, -1Y, 2147483647, 1.25, DATE'2026-11-21', 0.1)",
            "ALTER TABLE {here} ALTER COLUMN id TYPE bigint",
            "ALTER TABLE {here} ALTER COLUMN a TYPE int",
            "ALTER TABLE {here} ALTER COLUMN b TYPE double",
            "ALTER TABLE {here} ALTER COLUMN c TYPE decimal(10, 4)",
            "ALTER TABLE {here} ALTER COLUMN d TYPE timestamp_ntz",
            "ALTER TABLE {here} ALTER COLUMN e TYPE double",
            "INSERT INTO {here} VALUES (10000000000, 70000, 0.5, 1.2345, "
            "TIMESTAMP_NTZ'2026-11-21 10:00:00', 0.1)",
        ],
    ),
    "char": (
        "id int, c char(5), v varchar(5)",
        "",
        ["INSERT INTO {here} VALUES (1, 'ab', 'ab'), (2, 'äbcde', 'x'), (3, NULL, '')"],
    ),
    "char in others": (
        "id int, s struct<c: char(3)>, a array<char(3)>, m map<char(3), varchar(3)>",
        "",
        [
            "INSERT INTO {here} VALUES (1, named_struct('c', 'a'), array('b', NULL), "
            "map('c', 'd')), (2, NULL, NULL, NULL)"
        ],
    ),
    "char partitions": (
        "id int, c char(3), s string",
        "PARTITIONED BY (c)",
        ["INSERT INTO {here} VALUES (1, 'a', 'x'), (2, 'abc', 'y'), (3, NULL, 'z')"],
    ),
    "partitions": (
        "id int, a date, b timestamp, c boolean, d decimal(10, 2), e double, f tinyint, g string, "
        "h timestamp_ntz",
        "PARTITIONED BY (a, b, c, d, e, f, g, h)",
        [
            "INSERT INTO {here} VALUES (1, DATE'1500-01-01', TIMESTAMP'2026-11-21 10:00:00.5', "
            "true, 1.50, 0.1, -1Y, 'a b/ü%=', TIMESTAMP_NTZ'1600-01-01'), "
            f"(2{NULLS * 8}), (3, DATE'9999-12-31', TIMESTAMP'1850-01-01', false, 0, "
            "double('NaN'), 1Y, '', TIMESTAMP_NTZ'2026-11-21 00:00:00.000001')"
        ],
    ),
    "clusters": (PLAIN, "CLUSTER BY (id)", [FEW]),
    "row tracking": (PLAIN, "TBLPROPERTIES ('delta.enableRowTracking' = true)", [FEW]),
    "in-commit times": (PLAIN, "TBLPROPERTIES ('delta.enableInCommitTimestamps' = true)", [FEW]),
    "change feed": (
        PLAIN,
        "TBLPROPERTIES ('delta.enableChangeDataFeed' = true)",
        [FEW, "UPDATE {here} SET text = 'b' WHERE id = 1"],
    ),
    "v2 checkpoints": (
        PLAIN,
        "TBLPROPERTIES ('delta.checkpointPolicy' = 'v2', 'delta.checkpointInterval' = 1)",
        [FEW, "DELETE FROM {here} WHERE id = 1"],
    ),
    "vacuum check": (
        PLAIN,
        "TBLPROPERTIES ('delta.feature.vacuumProtocolCheck' = 'supported')",
        [FEW],
    ),
    "defaults": (
        "id int, text string DEFAULT 'none'",
        "TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')",
        ["INSERT INTO {here} (id) VALUES (1)"],
    ),
    "identity and generated": (
        "id bigint GENERATED ALWAYS AS IDENTITY, text string, at timestamp, "
        "day date GENERATED ALWAYS AS (CAST(at AS DATE))",
        "",
        ["INSERT INTO {here} (text, at) VALUES ('a', TIMESTAMP'2026-11-21 23:00:00'), ('b', NULL)"],
    ),
    "constraints": (PLAIN, "", ["ALTER TABLE {here} ADD CONSTRAINT few CHECK (id < 10)", FEW]),
    "a column that came": (
        PLAIN,
        "",
        [
            FEW,
            "ALTER TABLE {here} ADD COLUMN late array<int>",
            "INSERT INTO {here} VALUES (4, 'd', array(1))",
        ],
    ),
    "no rows": (PLAIN, "", []),
}


@pytest.fixture
def shared(tmp_path: Path, spark: Any) -> SharedTable:
    return SharedTable(tmp_path, spark)


def create(shared: SharedTable, columns: str, using: str, statements: list[str]) -> None:
    for statement in [f"CREATE TABLE {{here}} ({columns}) USING delta {using}", *statements]:
        shared.spark.sql(statement.replace("{here}", f"delta.`{shared.place}`"))


def assert_roads_agree(shared: SharedTable) -> None:
    wanted = shared.by_spark()
    for road, rows in shared.by_roads().items():
        try:
            same_rows(rows, wanted)
        except AssertionError as error:
            raise AssertionError(road) from error


@pytest.mark.parametrize("feature", list(BY_SPARK))
def test_what_spark_writes(shared: SharedTable, feature: str) -> None:
    create(shared, *BY_SPARK[feature])
    assert_roads_agree(shared)


REFUSED = {
    "variant": ("v variant", "parse_json('1')", "column v is variant"),
    "variant inside": ("v array<variant>", "array(parse_json('1'))", "column v is variant"),
    "void": ("v void", "NULL", "column v"),
}


@pytest.mark.parametrize("feature", list(REFUSED))
def test_what_no_road_can_read_is_refused(shared: SharedTable, feature: str) -> None:
    column, value, said = REFUSED[feature]
    create(shared, f"id int, {column}", "", [f"INSERT INTO {{here}} SELECT 1, {value}"])
    with pytest.raises(InputError, match=said) as caught:
        shared.landed()
    assert caught.value.exit_code == 3


MOMENT = dt.datetime(1850, 1, 1)
BY_ARROW = pa.table(
    {
        "id": pa.array([1, 2], pa.int32()),
        "uint8": pa.array([127, None], pa.uint8()),
        "uint16": pa.array([32767, None], pa.uint16()),
        "uint32": pa.array([2**31 - 1, None], pa.uint32()),
        "large": pa.array(["a", None], pa.large_string()),
        "category": pa.array(["x", None]).dictionary_encode(),
        "bytes": pa.array([b"\x00", None], pa.large_binary()),
        "zoned": pa.array([MOMENT, None], pa.timestamp("us", "UTC")),
        "millis": pa.array([MOMENT, None], pa.timestamp("ms", "UTC")),
        "local": pa.array([MOMENT, None], pa.timestamp("us")),
        "list": pa.array([[1], None], pa.large_list(pa.int32())),
        "struct": pa.array([{"x": 1.5}, None], pa.struct([("x", pa.float64())])),
        "decimal": pa.array([Decimal("1.50"), None], pa.decimal128(38, 2)),
        "nan": pa.array([float("nan"), -0.0]),
    }
)


def write_by(writer: str, place: str) -> None:
    """The same rows, as these libraries write them to Parquet, with a log of delta-rs."""
    table = BY_ARROW
    if writer in ("pyarrow", "polars"):
        # Spark cannot read the dictionaries that these two make of it.
        table = table.drop_columns("uint32")
    if writer == "delta-rs":
        write_deltalake(place, table)
        return
    Path(place).mkdir(parents=True)
    file = f"{place}/a.parquet"
    if writer == "pyarrow":
        pq.write_table(table, file)
    elif writer == "pandas":
        table.to_pandas().to_parquet(file, coerce_timestamps="us")
    elif writer == "polars":
        pl.from_arrow(table).with_columns(pl.col("decimal").cast(pl.Decimal(38, 2))).write_parquet(
            file
        )
    else:
        duckdb.from_arrow(table).write_parquet(file)
    convert_to_deltalake(place)


@pytest.mark.parametrize("writer", ["delta-rs", "pyarrow", "pandas", "polars", "duckdb"])
def test_what_others_write(shared: SharedTable, writer: str) -> None:
    write_by(writer, shared.place)
    assert_roads_agree(shared)


def test_whole_numbers_that_the_table_cannot_hold_are_told(shared: SharedTable) -> None:
    Path(shared.place).mkdir(parents=True)
    pq.write_table(
        pa.table({"id": [1], "small": pa.array([255], pa.uint8())}), f"{shared.place}/a.parquet"
    )
    convert_to_deltalake(shared.place)
    with pytest.raises(
        InputError, match=r"column 'small' is uint8, of which Spark reads 255 as -1"
    ):
        shared.by_roads()
    with pytest.raises(InputError, match=r"column 'small' is uint8 in the file and int8 in the"):
        shared.by_direct_road(read_data(shared.landed(), [DAY]))


@pytest.mark.parametrize("writer", ["spark", "delta-rs"])
def test_an_empty_text_that_cuts_a_table_is_null(shared: SharedTable, writer: str) -> None:
    rows = {"id": [1, 2, 3], "part": ["", None, "q"]}
    if writer == "spark":
        frame = shared.spark.createDataFrame(
            list(zip(*rows.values(), strict=True)), "id int, part string"
        )
        frame.write.format("delta").partitionBy("part").save(shared.place)
    else:
        write_deltalake(shared.place, pa.table(rows), partition_by=["part"])
    for road, found in shared.by_roads().items():
        assert [row["part"] for row in found] == [None, None, "q"], road
    for road, found in shared.by_roads("q", "part").items():
        assert [row["id"] for row in found] == [3], road


@pytest.mark.parametrize("feature", ["", "'delta.enableDeletionVectors' = true"])
def test_a_shallow_clone_reads_the_files_of_another_table(
    shared: SharedTable, feature: str
) -> None:
    base = shared.root / "b ä%20se/t"
    told = f"TBLPROPERTIES ({feature})" if feature else ""
    columns = f"CREATE TABLE delta.`{base}` (id int, part string, text string)"
    shared.spark.sql(f"{columns} USING delta PARTITIONED BY (part) {told}")
    shared.spark.sql(f"INSERT INTO delta.`{base}` VALUES (1, 'a b%', 'x'), (2, NULL, 'y')")
    shared.spark.sql(f"DELETE FROM delta.`{base}` WHERE id = 3")
    shared.spark.sql(f"CREATE TABLE delta.`{shared.place}` SHALLOW CLONE delta.`{base}`")
    shared.spark.sql(f"INSERT INTO delta.`{shared.place}` VALUES (3, 'own', 'z')")
    if feature:
        rows = ONE_FILE + "(4, 'x', ''), (5, 'x', '')"
        shared.spark.sql(rows.replace("{here}", f"delta.`{shared.place}`"))
        shared.spark.sql(f"DELETE FROM delta.`{shared.place}` WHERE id = 5")
    assert_roads_agree(shared)
    assert ("direct" in shared.by_roads()) == (not feature)
    assert len(shared.by_roads("a b%", "part")["arrow"]) == 1


def test_a_slice_of_padded_text_has_its_rows_on_every_road(shared: SharedTable) -> None:
    told = "TBLPROPERTIES ('delta.enableChangeDataFeed' = true)"
    rows = "INSERT INTO {here} VALUES (1, 'ab'), (2, 'abcde'), (3, 'ab')"
    create(shared, "id int, c char(5)", told, [rows])
    for count in (2, 4):
        found = shared.by_roads("ab   ", "c")
        assert [len(rows) for rows in found.values()] == [count] * 3
        shared.spark.sql(rows.replace("{here}", f"delta.`{shared.place}`"))


def test_a_moment_is_compared_with_the_times_in_the_commits(shared: SharedTable) -> None:
    """Not with those of the machine that wrote them, which a copy changes and a clock may get
    wrong.
    """
    create(shared, *BY_SPARK["in-commit times"])
    path = Path(shared.place, "_delta_log", f"{1:020}.json")
    at = int(dt.datetime(2030, 1, 1, tzinfo=dt.timezone.utc).timestamp() * 1000)
    text = re.sub(r'"inCommitTimestamp":\d+', f'"inCommitTimestamp":{at}', path.read_text())
    path.write_text(text)
    context = shared.context()
    for as_of, version in {"2029-12-31": 0, "2030-01-01": 1}.items():
        source = DeltaSource.model_validate(
            context.pipeline.source.model_dump() | {"options": {"as_of": as_of}}
        )
        assert open_source(shared.place, source).version == version
