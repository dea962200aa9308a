"""Keys that repeat: inside one run, with what landed before, in files of any number, and not where
rows are about to go.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from spark.projects import PIPELINE, SmallProject, csv_of

from batchinfer.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

BY_COLOR = PIPELINE.replace("slice: ingest_date", "slice: {column: color}")
HEAD = "id,color,size,big\n"


@pytest.fixture
def colors(small: SmallProject) -> SmallProject:
    small.write("conf/pipelines/small.yaml", BY_COLOR)
    return small


def test_a_key_that_repeats_inside_a_run_lands_nothing(small: SmallProject) -> None:
    small.write("in/b.csv", csv_of(range(38, 50)))
    with pytest.raises(
        InputError, match=r"keys \(id\) that repeat .* slice 2026-11-21: \{\"id\": 38\} 2 times"
    ) as caught:
        small.extract()
    assert '{"id": 39} 2 times' in str(caught.value)
    assert not list((small.root / "var").rglob("slice=*/*.parquet"))


def test_a_key_that_landed_before_is_found_again(small: SmallProject) -> None:
    small.extract()
    small.write("in/b.csv", csv_of(range(39, 50)))
    with pytest.raises(InputError, match=r"\{\"id\": 39\} 2 times"):
        small.extract()


def test_a_key_may_stand_in_two_slices(colors: SmallProject) -> None:
    colors.write("in/b.csv", HEAD + "0,blue,1.0,yes\n")
    assert colors.extract(None).rows_landed == 41
    colors.write("in/c.csv", HEAD + "0,green,1.0,yes\n")
    assert colors.extract(None).rows_landed == 1
    colors.write("in/d.csv", HEAD + "0,red,1.0,yes\n")
    with pytest.raises(InputError, match=r"slice red: \{\"id\": 0\} 2 times"):
        colors.extract(None)


def test_rows_that_are_replaced_repeat_no_key(small: SmallProject) -> None:
    small.extract()
    small.write("in/a.csv", csv_of(range(41)))
    assert small.extract("2026-11-21", "source.on_changed=replace").rows_landed == 41
    small.write("in/a.csv", csv_of(range(41)) + "0,red,1.0,yes\n")
    with pytest.raises(InputError, match=r"\{\"id\": 0\} 2 times"):
        small.extract("2026-11-21", "source.on_changed=replace")


def test_a_folder_and_a_column_with_signs_that_mean_something_elsewhere(
    tmp_path: Path, spark: SparkSession
) -> None:
    project = SmallProject(tmp_path / "a[b]{c} d", lambda: spark)
    pipeline = PIPELINE.replace("{id: int,", '{"i.d`x": int,').replace("key: id", 'key: ["i.d`x"]')
    project.write(
        "conf/pipelines/small.yaml",
        pipeline.replace("slice: ingest_date", "slice: {column: color}"),
    )
    project.write("in/a.csv", "i.d`x,color,size,big\n1,r*[d],1.0,no\n2,r*[d],1.0,no\n")
    assert project.extract(None).rows_landed == 2
    project.write("in/b.csv", "i.d`x,color,size,big\n2,r*[d],1.0,no\n")
    with pytest.raises(InputError, match=r"slice r\*\[d\]: \{\"i\.d`x\": 2\} 2 times"):
        project.extract(None)


def test_hundreds_of_staged_files_are_one_read(colors: SmallProject) -> None:
    colors.write("in/a.csv", HEAD + "".join(f"{n},color{n},1.0,yes\n" for n in range(300)))
    assert len(colors.extract(None).slices) == 300
    colors.write("in/b.csv", HEAD + "".join(f"{n},color{n},1.0,yes\n" for n in range(299, 500)))
    with pytest.raises(InputError, match=r"slice color299: \{\"id\": 299\} 2 times"):
        colors.extract(None)
