"""New files of a source: which they are, what their columns are, and what is refused before any
work.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchinfer.errors import ConfigError, InputMissing
from batchinfer.pipeline.definition.column_names import check_source_columns
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.landing.increment import Increment, Landing
from batchinfer.pipeline.landing.new_files import find_new_files

from ..one_process import OneProcess

PIPELINE = """\
name: small
source:
  kind: parquet
  {place}
  key: {key}
  slice: {slice}
features:
  - standardize: {{columns: [{feature}]}}
train:
  target: {{column: big, positive: ["yes"]}}
model: {{uri: "models:/small@champion"}}
sink: {{table: predictions/small}}
"""
Find = Callable[..., Increment | None]


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Context]:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)

    def opened(
        place: str = "path: in", key: str = "id", slice_: str = "ingest_date", feature: str = "size"
    ) -> Context:
        file = tmp_path / "conf/pipelines/small.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(PIPELINE.format(place=place, key=key, slice=slice_, feature=feature))
        return Context.open(str(file))

    return opened


@pytest.fixture
def find(context: Callable[..., Context]) -> Find:
    def found(**more: Any) -> Increment | None:
        opened = context(**more)
        landing = Landing(opened, opened.pipeline.source, opened.landed, "2026-11-21")
        return find_new_files(landing, OneProcess)

    return found


def write(folder: Path, **columns: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table({"id": [1], "size": [0.5], "big": ["no"]} | columns), folder / "a.parquet"
    )


def test_a_table_is_a_folder_below_the_lake_or_an_absolute_one(find: Find, tmp_path: Path) -> None:
    write(tmp_path / "var/lake/exports/x")
    for place in (
        "table: exports/x",
        f"table: {tmp_path}/var/lake/exports/x",
        f"table: file://{tmp_path}/var/lake/exports/x",
    ):
        increment = find(place=place)
        assert increment is not None and list(increment.records.fingerprints) == ["a.parquet"]
    assert find(place="options: {table: exports/x}") is not None
    with pytest.raises(InputMissing, match="exports/y"):
        find(place="table: exports/y")
    with pytest.raises(ConfigError, match="s3://bucket/x"):
        find(place="table: s3://bucket/x")


def test_a_delta_table_is_not_read_as_the_files_in_its_folder(find: Find, tmp_path: Path) -> None:
    write(tmp_path / "in/x/day=1")
    (tmp_path / "in/x/_delta_log").mkdir()
    with pytest.raises(
        ConfigError, match=r"in/x is a Delta table; got kind: parquet; allowed: kind: delta"
    ):
        find()


def test_names_that_are_no_columns_are_told_at_their_place_as_soon_as_the_columns_are_known(
    find: Find, tmp_path: Path
) -> None:
    write(tmp_path / "in")
    with pytest.raises(ConfigError) as caught:
        find(key="[idd, source_line]", slice_="{column: sizes}", feature="siz")
    problems = caught.value.problems
    assert len(problems) == 3
    assert problems[0].endswith(
        "small.yaml:5:9 (source.key[0]): no such column: got 'idd' (did you mean id?); "
        "allowed: id, size, big, source_file, source_line"
    )
    assert (
        "small.yaml:6:11 (source.slice.column): no such column: got 'sizes' (did you mean size?)"
        in problems[1]
    )
    assert (
        "(features[0].standardize.columns): standardize: no column 'siz'; did you mean 'size'?"
        in problems[2]
    )


def test_what_is_scored_needs_no_target_and_what_is_learnt_from_does(
    find: Find, context: Callable[..., Context], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"id": [1], "size": [0.5]}), tmp_path / "in/a.parquet")
    increment = find()
    assert increment is not None and list(increment.records.fields) == ["id", "size"]
    with pytest.raises(ConfigError, match=r"train\.target\.column.*no such column: got 'big'"):
        check_source_columns(context().loaded, increment.records.fields, target_needed=True)


def test_columns_that_a_schema_declares_are_held_against_the_file_when_it_is_loaded(
    context: Callable[..., Context],
) -> None:
    with pytest.raises(ConfigError, match="no such column: got 'idd'"):
        context(place="path: in\n  schema: {id: bigint, size: double, big: string}", key="idd")


@pytest.mark.parametrize("kind", ["parquet", "images", "texts"])
def test_files_that_are_no_lines_cannot_be_appended_to(tmp_path: Path, kind: str) -> None:
    text = (
        f"name: small\nsource:\n  kind: {kind}\n  path: in\n  on_changed: append\nmodel: "
        f"{{uri: "
        f"'models:/small@champion'}}\n"
    )
    file = tmp_path / "small.yaml"
    file.write_text(text + "sink: {table: predictions/small}\n")
    with pytest.raises(ConfigError) as caught:
        Context.open(str(file))
    [problem] = caught.value.problems
    assert problem.endswith(
        f"small.yaml:5:3 (source.on_changed): got append, but a file of kind {kind} that changed "
        "can only be landed anew; "
        "allowed: fail, replace"
    )


@pytest.mark.parametrize("place", ["path: in\n  table: x", "roots: in", "path: []"])
def test_a_parquet_source_has_a_path_or_a_table(
    context: Callable[..., Context], place: str
) -> None:
    with pytest.raises(ConfigError, match="either path or table, not both"):
        context(place=place)


def test_parquet_has_no_options(context: Callable[..., Context]) -> None:
    with pytest.raises(ConfigError, match="header"):
        context(place="path: in\n  options: {header: true}")
