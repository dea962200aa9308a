"""Tables whose rows are all written anew."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from batchinfer.errors import InputError
from batchinfer.lake.delta import ensure_table, transaction_versions
from batchinfer.lake.small_tables import replace_all_rows
from batchinfer.lake.snapshots import open_table, snapshot_files
from batchinfer.lake.table_rows import read_table_rows

SCHEMA = pa.schema([("name", pa.string()), ("day", pa.string()), ("n", pa.int64())])


@pytest.mark.parametrize("partition", [("day",), ()])
def test_the_rows_of_one_commit_take_the_place_of_all_others(
    tmp_path: Path, partition: tuple[str, ...]
) -> None:
    place = str(tmp_path / "table")
    ensure_table(place, SCHEMA, partition)

    def put(day: str, *names: str, schema: pa.Schema = SCHEMA) -> list[dict[str, object]]:
        beside = {} if partition else {"day": day}
        replace_all_rows(
            place,
            schema,
            [{"name": name, "n": len(name), **beside} for name in names],
            partition={"day": day} if partition else None,
            stats_columns=["name"],
            transactions={"seen": len(names)},
            run_id="r1",
            command="score",
        )
        return sorted(
            read_table_rows(open_table(place)).to_pylist(), key=lambda row: str(row["name"])
        )

    assert len(put("a", "x", "yy", "zzz")) == 3
    assert put("b", "q") == [{"name": "q", "day": "b", "n": 1}]
    assert transaction_versions(place, ["seen"]) == {"seen": 1}
    before = set(Path(place).rglob("*.parquet"))
    with pytest.raises(InputError, match="more"):
        put("c", "w", schema=SCHEMA.append(pa.field("more", pa.int64())))
    assert set(Path(place).rglob("*.parquet")) == before, "what was staged is gone"
    assert len(snapshot_files(place)) == 1
    assert put("d") == []
