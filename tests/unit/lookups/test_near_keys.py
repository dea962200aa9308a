"""Keys that a table has, near to one that it has not."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from batchinfer.contracts import KEY_PROPERTY
from batchinfer.errors import InputError, InputMissing
from batchinfer.lookups.near_keys import near_key

DAY = datetime.date(2026, 11, 21)


def _table(place: Path, key: dict[str, list[Any]], slice_: str = "2026-11-21") -> str:
    rows = len(next(iter(key.values())))
    table = pa.table({**key, "slice": [slice_] * rows, "score": [0.5] * rows})
    if not place.exists():
        DeltaTable.create(
            str(place),
            table.schema,
            partition_by=["slice"],
            configuration={KEY_PROPERTY: ",".join(key)},
            raise_if_key_not_exists=False,
        )
    write_deltalake(str(place), table, mode="append")
    return str(place)


@pytest.mark.parametrize(
    ("held", "asked", "near"),
    [
        ([1, 17, 30], 16, "17"),
        ([1, 17, 30], 900, "30"),
        (["anna", "Bert", "carl"], "bert", "Bert"),
        (["anna", "bert"], "anan", "anna"),
        ([DAY, DAY + datetime.timedelta(9)], DAY + datetime.timedelta(8), "2026-11-30"),
        ([True], False, "true"),
        ([b"\x01\xff"], b"\x01", "01ff"),
    ],
)
def test_the_nearest_key_is_written_as_a_lookup_takes_it(
    tmp_path: Path, held: list[Any], asked: Any, near: str
) -> None:
    assert near_key(_table(tmp_path / "t", {"k": held}), {"k": asked}) == {"k": near}


def test_the_place_of_a_record_is_near_by_file_and_then_by_line(tmp_path: Path) -> None:
    files, lines = ["adult_train.csv", "adult_test.csv", "adult_test.csv"], [17, 900, 12]
    table = _table(tmp_path / "t", {"source_file": files, "source_line": lines})
    found = near_key(table, {"source_file": "adult_tset.csv", "source_line": 17})
    assert found == {"source_file": "adult_test.csv", "source_line": "12"}
    # The same file comes before the same line.
    found = near_key(table, {"source_file": "adult_train.csv", "source_line": 900})
    assert found == {"source_file": "adult_train.csv", "source_line": "17"}


def test_only_the_newest_slice_that_counts_is_looked_at(tmp_path: Path) -> None:
    _table(tmp_path / "t", {"k": [5]}, "2026-11-20")
    table = _table(tmp_path / "t", {"k": [900]}, "2026-11-21")
    assert near_key(table, {"k": 4}) == {"k": "900"}
    assert near_key(table, {"k": 4}, "2026-11-20") == {"k": "5"}
    assert near_key(table, {"k": 4}, "2026-11-19") is None


def test_the_file_that_might_hold_the_key_is_looked_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in (0, 100, 200, 300):
        table = _table(tmp_path / "t", {"k": list(range(start, start + 50, 2))})
    monkeypatch.setattr("batchinfer.lookups.near_keys._MOST_KEYS", 25)
    assert near_key(table, {"k": 211}) == {"k": "210"}


def test_what_is_no_key_of_the_table_is_told(tmp_path: Path) -> None:
    table = _table(tmp_path / "t", {"k": [5]})
    with pytest.raises(InputError, match="no whole number"):
        near_key(table, {"k": "five"})
    with pytest.raises(InputMissing):
        near_key(str(tmp_path / "none"), {"k": 5})
