"""Damaged files of a pipeline's tables: commands say which, and `doctor --deep` finds them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from spark.earlier_build import forget_what_it_was_made_of
from spark.projects import DAY, SmallProject

from batchinfer.checked_parquet import _MARK
from batchinfer.errors import DamagedFile
from batchinfer.pipeline.damaged_files import damage_behind, look_deep
from batchinfer.pipeline.lookup import lookup_keys
from batchinfer.pipeline.plan import plan_slice
from batchinfer.pipeline.status import pipeline_status


def only_file(table: str) -> Path:
    [path] = Path(table).glob("slice=*/*.parquet")
    return path


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def of_a_feature(path: Path) -> int:
    """A place in the last page of a column that the model reads."""
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    [read] = [column for column in columns if column.path_in_schema == "size"]
    start = read.dictionary_page_offset or read.data_page_offset
    return start + read.total_compressed_size - 1


def test_a_flipped_bit_of_landed_rows_publishes_nothing(ready: SmallProject) -> None:
    path = only_file(ready.context().landed)
    flip(path, of_a_feature(path))
    with pytest.raises(DamagedFile) as caught:
        ready.score()
    [problem] = caught.value.problems
    assert str(path) in problem and "the checksum of a page does not match its bytes" in problem
    assert caught.value.exit_code == 3
    assert caught.value.hint == (
        f"batchinfer extract {ready.named} --slice {DAY} --force lands it anew from its source; "
        f"batchinfer doctor -p {ready.root}/conf/pipelines/small.yaml --deep names any others"
    )
    assert ready.states() == {DAY: "failed"}, "nothing was published"


def test_a_damaged_file_of_predictions_is_told_and_written_anew(ready: SmallProject) -> None:
    ready.score()
    path = only_file(ready.context().predictions)
    flip(path, -100)
    key = {"source_file": "a.csv", "source_line": 2}
    with pytest.raises(DamagedFile, match=f"{path.name} is damaged: the checksum of its footer"):
        lookup_keys(ready.context(), [key])
    assert ready.states() == {DAY: "published"} and ready.score().status == "unchanged", (
        "what needs no row reads none"
    )
    forget_what_it_was_made_of(ready.context().predictions)
    with pytest.raises(DamagedFile):
        pipeline_status(ready.context())
    with pytest.raises(DamagedFile):
        ready.score()
    with pytest.raises(DamagedFile) as planned:
        plan_slice(ready.context(), DAY)
    assert f"score {ready.named} --slice {DAY} --force writes it anew" in str(planned.value.hint)
    [damage] = look_deep(ready.context()).damaged
    assert damage.file == str(path)
    assert damage.hint == f"batchinfer score {ready.named} --slice {DAY} --force writes it anew"
    ready.score(DAY, force=True)
    assert ready.states() == {DAY: "published"}
    assert look_deep(ready.context()).damaged == []


def test_a_backfill_tells_a_damaged_slice_and_with_force_writes_it_anew(
    ready: SmallProject,
) -> None:
    ready.score()
    path = only_file(ready.context().predictions)
    path.write_bytes(b"PAR1 is all that is left PAR1")
    forget_what_it_was_made_of(ready.context().predictions)
    told = ready.backfill(DAY, DAY)
    assert (told.exit_code, len(told.errors)) == (3, 1) and str(path) in told.errors[0]
    assert ready.backfill(DAY, DAY, force=True).exit_code == 0
    assert look_deep(ready.context()).damaged == []
    assert ready.states() == {DAY: "published"}


def test_all_tables_are_read_and_each_damaged_file_named(ready: SmallProject) -> None:
    ready.score()
    context = ready.context()
    whole = look_deep(context)
    assert (whole.exit_code, whole.without_checksums) == (0, 0) and whole.files >= 2
    assert whole.to_json()["status"] == "ok"
    landed, published = only_file(context.landed), only_file(context.predictions)
    flip(landed, of_a_feature(landed))
    published.write_bytes(published.read_bytes()[:-20])
    found = look_deep(context)
    assert found.exit_code == 3 and found.files == whole.files
    assert {one.file for one in found.damaged} == {str(landed), str(published)}
    body = found.to_json()
    assert body["status"] == "damaged" and len(body["errors"]) == 2
    published.unlink()
    problems = {one.file: one.problem for one in look_deep(context).damaged}
    assert problems[str(published)] == "the table's log tells of it, and it is not there"


def test_a_file_of_an_earlier_build_is_read_and_counted(ready: SmallProject) -> None:
    path = only_file(ready.context().landed)
    path.write_bytes(path.read_bytes().replace(_MARK, b"-" * len(_MARK)))
    ready.score()
    report = look_deep(ready.context())
    assert (report.damaged, report.without_checksums) == ([], 1)


def test_an_error_of_spark_that_comes_from_a_damaged_file_names_it(ready: SmallProject) -> None:
    context = ready.context()
    path = only_file(context.landed)
    told = RuntimeError(f"[FAILED_READ_FILE.NO_HINT] reading file file://{path}. SQLSTATE: KD001")
    nameless = RuntimeError("at org.apache.parquet.column.values.dictionary.PlainValuesDictionary")
    assert damage_behind(context, DAY, told) is None, "the file is whole"
    flip(path, of_a_feature(path))
    for error in (told, nameless):
        found = damage_behind(context, DAY, error)
        assert isinstance(found, DamagedFile) and str(path) in str(found)
    assert damage_behind(context, DAY, RuntimeError("division by zero")) is None
