"""A table that is read in place, and of which files are gone or damaged: every road ends with the
file's name, and with exit 3.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable
from spark.lakes import DAYS, LakeProject

from batchinfer.errors import BatchInferError
from batchinfer.pipeline.damaged_files import look_deep

ROADS = ["direct", "arrow", "pandas"]


def refused(lake: LakeProject, road: str) -> BatchInferError:
    # Spark remembers tables for a while.
    lake.spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    with pytest.raises(BatchInferError) as caught:
        lake.score(DAYS[0], f"model.road={road}", force=True)
    assert caught.value.exit_code == 3
    return caught.value


def files(place: str) -> list[Path]:
    return sorted(Path(place).rglob("part-*.parquet"))


def test_a_file_that_is_gone_or_cut_is_named_on_every_road(lake: LakeProject) -> None:
    lake.make("spark", range(20))
    lake.extract(None)
    [file] = [each for each in files(lake.place) if DAYS[0] in str(each)]
    for checksum in Path(lake.place).rglob(".*.crc"):
        checksum.unlink()
    whole = file.read_bytes()
    for road in ROADS:
        file.write_bytes(whole[: len(whole) // 2])
        assert str(file) in str(refused(lake, road))
    file.unlink()
    for road in ROADS:
        assert str(refused(lake, road)) == f"no such file: {file}"
    [damage] = look_deep(lake.context()).damaged
    assert (damage.table, damage.file) == (lake.place, str(file))


def test_a_clone_whose_base_is_gone(lake: LakeProject) -> None:
    base = str(lake.root / "base")
    lake.sql(
        f"CREATE TABLE delta.`{base}` (id int, color string, size double, big string, day date) "
        "USING delta"
    )
    lake.sql(f"INSERT INTO delta.`{base}` VALUES (0, 'red', 1.0, 'no', DATE'{DAYS[0]}')")
    lake.sql(f"CREATE TABLE {{here}} SHALLOW CLONE delta.`{base}`")
    lake.insert(range(2, 4, 2))
    lake.extract(None)
    for road in ROADS:
        assert lake.score(DAYS[0], f"model.road={road}", force=True).rows_in == 2
    [file] = files(base)
    file.unlink()
    for road in ROADS:
        assert str(refused(lake, road)) == f"no such file: {file}"


@pytest.mark.parametrize("damage", ["a checkpoint", "the newest commit", "a later commit"])
def test_a_damaged_log_is_named_on_every_road(lake: LakeProject, damage: str) -> None:
    lake.make("spark", range(20))
    table = DeltaTable(lake.place)
    if damage == "a checkpoint":
        table.create_checkpoint()
    lake.extract(None)
    version = table.version() + (damage == "a later commit")
    if damage == "a later commit":
        lake.append("spark", range(20, 22))
    kind = "checkpoint.parquet" if damage == "a checkpoint" else "json"
    file = Path(lake.place, f"_delta_log/{version:020d}.{kind}")
    file.write_bytes(file.read_bytes()[:60])
    for checksum in file.parent.glob(".*.crc"):
        checksum.unlink()
    for road in ROADS:
        if damage == "a later commit":
            # The version that was recorded is whole.
            assert lake.score(DAYS[0], f"model.road={road}", force=True).rows_in == 10
        else:
            assert f"{file} is damaged" in str(refused(lake, road))
    with pytest.raises(BatchInferError, match=f"{file.name} is damaged") as caught:
        lake.extract(None)
    assert caught.value.exit_code == 3
    assert [each.problem.split()[0] for each in look_deep(lake.context()).damaged] == [str(file)]


def test_a_table_that_went_back_is_told(lake: LakeProject) -> None:
    lake.make("spark", range(20))
    lake.append("spark", range(20, 22))
    newest = lake.version
    lake.extract(None)
    for file in Path(lake.place, "_delta_log").glob(f"*{newest:020d}*"):
        file.unlink()
    [warning] = [each for each in lake.extract(None).warnings if "latest version" in each]
    assert f"is {newest - 1}, and the last extract read version {newest}" in warning
    assert lake.extract(None).warnings == [
        f"nothing new: no slice changed up to version {newest - 1}"
    ]
