"""Columns that stand in the names of folders."""

from __future__ import annotations

from urllib.parse import quote

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.errors import InputError
from batchinfer.sources.tables.partitions import (
    NULL_NAME,
    infer_type,
    partition_of,
    partition_value,
)


def test_folders_name_columns_in_their_order_and_other_folders_say_nothing() -> None:
    assert partition_of("old/year=2026/x/country=C%C3%B4te%20d%27Or/part=1.parquet") == {
        "year": "2026",
        "country": "Côte d'Or",
    }
    assert partition_of("part=1.parquet") == partition_of("=a/b=c.parquet") == {}


@given(
    st.dictionaries(
        st.text(min_size=1),
        st.none() | st.text(min_size=1).filter(lambda text: text != NULL_NAME),
        max_size=4,
    )
)
def test_any_names_and_values_that_are_percent_encoded_come_back(
    columns: dict[str, str | None],
) -> None:
    folders = [
        f"{quote(name, safe='')}={NULL_NAME if value is None else quote(value, safe='')}"
        for name, value in columns.items()
    ]
    assert partition_of("/".join([*folders, "x.parquet"])) == columns


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("a=1/a=2/x", "twice"),
        ("a=/x", "names no value"),
        ("a=%FF/x", "'%FF' stands for bytes that are not UTF-8"),
    ],
)
def test_folders_that_cannot_be_read(name: str, fact: str) -> None:
    with pytest.raises(InputError, match=fact):
        partition_of(name)


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (["1", "0", "-3", None], pa.int64()),
        (["1", "02"], pa.string()),
        (["00501", "02139"], pa.string()),
        *[
            ([text], pa.string())
            for text in ("+5", "-0", "00", " 5", "5 ", "1_000", "1e3", "NaN", "true", "2026-1-5")
        ],
        ([str(2**63 - 1), str(-(2**63))], pa.int64()),
        ([str(2**63)], pa.string()),
        ([str(-(2**63) - 1)], pa.string()),
        (["1", "x"], pa.string()),
        (["1.5"], pa.string()),
        (["٣"], pa.string()),
        ([None], pa.string()),
    ],
)
def test_types_without_a_schema(values: list[str | None], type_: pa.DataType) -> None:
    assert infer_type(values) == type_


def test_values_have_the_type_of_the_schema() -> None:
    assert partition_value("2026-11-21", pa.date32()).as_py().isoformat() == "2026-11-21"
    assert partition_value("007", pa.string()).as_py() == "007"
    assert partition_value(None, pa.int32()).as_py() is None
    with pytest.raises(
        ValueError, match=r"got '3000000000' in the name of a folder; allowed: int \("
    ):
        partition_value("3000000000", pa.int32())
