"""Columns of CSV and Parquet files: other names, missing ones, new ones; and the landed table, to
which columns come later.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from spark.projects import DAY, SmallProject

from batchinfer.errors import ConfigError, InputError

NEXT_DAY = "2026-11-22"
CSV = """\
name: small
source:
  kind: csv
  path: in/*.csv
  schema: {id: int, size: double, color: string}
  slice: ingest_date
features: [{standardize: {columns: size}}]
train: {target: {column: color, positive: ["red"]}}
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/small}
"""


@pytest.fixture
def project(local: SmallProject) -> SmallProject:
    local.write("conf/pipelines/small.yaml", CSV)
    return local


def rows(project: SmallProject) -> list[dict[str, object]]:
    table = project.table("landed")
    return table.drop_columns(["source_file", "source_line"]).to_pylist()


def test_headers_with_spaces_and_brackets_land_under_other_names(project: SmallProject) -> None:
    project.write("in/a.csv", "Order ID,Size (cm),color\n1,2.5,red\nx,1,red\n")
    with pytest.raises(InputError) as caught:
        project.extract()
    assert "not in the schema: 'Order ID', 'Size (cm)'" in str(caught.value)
    assert "id: {type: int, column: 'Order ID'}" in str(caught.value.hint)
    project.edit("id: int", 'id: {type: int, column: "Order ID"}')
    project.edit("size: double", 'size: {type: double, column: "Size (cm)"}')
    project.edit("slice: ingest_date", "slice: id\n  key: id\n  unique: assumed")
    report = project.extract(None)
    assert (report.rows_landed, report.rows_quarantined, report.warnings) == (1, 1, [])
    assert rows(project) == [{"id": 1, "size": 2.5, "color": "red", "slice": "1"}]
    [bad] = project.table("quarantine").to_pylist()
    assert (bad["source_line"], bad["raw"]) == (3, b"x,1,red")
    assert "column id: got 'x'" in bad["message"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("id: int", "'Order ID': int", "order_id: {type: long, column: 'Order ID'}"),
        ("id: int", "id: {type: int, column: size}", "which id is already"),
        ("id: int", "id: {type: int, path: size}", "path"),
        ("id: int", "id: {column: size}", "type"),
        (
            "schema: {id: int",
            "options: {header: false}\n  schema: {id: {type: int, column: n}",
            "files with header: false have none",
        ),
        ("kind: csv", "kind: csv\n  columns: {new: yes}", "allowed: auto, fail, ignore, add"),
    ],
)
def test_names_that_cannot_be_are_told_from_the_file_alone(
    project: SmallProject, old: str, new: str, said: str
) -> None:
    project.edit(old, new)
    with pytest.raises(ConfigError) as caught:
        project.extract()
    assert said in str(caught.value)


def test_a_missing_column_is_null_with_a_warning_and_a_look_alike_ends_the_run(
    project: SmallProject,
) -> None:
    project.edit("color: string", "color: string, note: string")
    project.write("in/a.csv", "id,size\n1,2.5\n")
    project.write("in/b.csv", "note,id,size,color\nx,2,3.5,red\n")
    # The target is nobody's business.
    assert project.extract().warnings == [
        "column note is missing in 1 of 2 files, such as a.csv: null in their rows"
    ]
    assert {row["id"]: row["note"] for row in rows(project)} == {1: None, 2: "x"}
    project.write("in/c.csv", "Note,id,size\nx,3,4.5\n")
    with pytest.raises(InputError, match="Perhaps 'Note' stands for 'note'"):
        project.extract()
    quiet = ("source.columns.missing=null", "source.columns.new=ignore")
    assert project.extract(DAY, *quiet).warnings == []


def test_a_renamed_column_beside_files_with_the_old_name_is_read_under_both(
    project: SmallProject,
) -> None:
    project.edit("color: string", "color: string, note: string")
    project.write("in/a.csv", "id,size,note\n1,2.5,x\n")
    project.write("in/b.csv", "id,size,other,notes\n2,3.5,0,y\n")
    with pytest.raises(InputError) as caught:
        project.extract()
    hint = str(caught.value.hint)
    assert "some of the files that are read have 'note' and others 'notes'" in hint
    assert "have both: notes: {type: string, column: 'notes'} beside the other columns" in hint
    assert 'derive: {note_of_both: "coalesce(note, notes)"}' in hint
    settings = re.findall(r"--set (source\.columns\.\w+=\w+)", hint)
    assert project.extract(NEXT_DAY, *settings).rows_landed == 2, "or null where it is missing"
    project.edit("note: string", "note: string, notes: {type: string, column: 'notes'}")
    derived = 'derive: {note_of_both: "coalesce(note, notes)"}\nfeatures: '
    project.edit("features: [", derived + "[{one_hot: {columns: note_of_both}}, ")
    project.extract(DAY, "source.columns.new=ignore")
    landed = [row for row in rows(project) if row["slice"] == DAY]
    assert {row["id"]: (row["note"], row["notes"]) for row in landed} == {
        1: ("x", None),
        2: (None, "y"),
    }
    project.edit("slice: ingest_date", "key: note\n  slice: ingest_date")
    project.edit(", notes: {type: string, column: 'notes'}", "")
    project.edit(derived + "[{one_hot: {columns: note_of_both}}, ", "features: [")
    with pytest.raises(InputError) as caught:
        project.extract("2026-11-23")
    assert "no setting reads both, because no row lands without note" in str(caught.value.hint)


def test_parquet_files_with_either_name_are_read_under_both(project: SmallProject) -> None:
    for file, name in (("a", "note"), ("b", "Note")):
        (project.root / "in").mkdir(exist_ok=True)
        values = pa.table({"id": [1], "size": [2.5], name: [file]})
        pq.write_table(values, project.root / f"in/{file}.parquet")
    project.edit("kind: csv", "kind: parquet")
    project.edit("*.csv", "*.parquet")
    project.edit("schema: {id: int,", "schema: {id: long, note: string,")
    with pytest.raises(InputError) as caught:
        project.extract()
    both = "note_2: {type: string, column: 'Note'}"
    assert f"have both: {both} beside" in str(caught.value.hint)
    project.edit("note: string", f"note: string, {both}")
    assert project.extract().rows_landed == 2
    found = {(row["note"], row["note_2"]) for row in rows(project)}
    assert found == {("a", None), (None, "b")}


def test_each_way_out_of_a_renamed_column_is_enough_by_itself(project: SmallProject) -> None:
    project.edit("color: string", "color: string, note: string")
    project.write("in/b.csv", "id,size,notes\n2,3.5,y\n")
    with pytest.raises(InputError) as caught:
        project.extract()
    hint = str(caught.value.hint)
    assert "note: {type: string, column: 'notes'} in source.schema; or let missing" in hint
    settings = re.findall(r"--set (source\.columns\.\w+=\w+)", hint)
    assert len(settings) == 2 and project.extract(DAY, *settings).rows_landed == 1
    project.edit("note: string", "note: {type: string, column: 'notes'}")
    assert project.extract(NEXT_DAY).warnings == []
    assert [row["note"] for row in rows(project) if row["slice"] == NEXT_DAY] == ["y"]


def test_new_columns_are_added_to_the_landed_table(project: SmallProject) -> None:
    project.write("in/a.csv", "id,size,color\n1,2.5,red\n")
    project.extract()
    project.write("in/b.csv", "id,size,color,more,007\n2,3.5,red,0x,\n")
    with pytest.raises(InputError, match="not in the schema: 'more', '007'") as caught:
        project.extract()
    assert "new: add" in str(caught.value.hint)
    report = project.extract(DAY, "source.columns.new=add")
    assert report.warnings == [
        "new in the landed table, and null in what landed before: more string, 007 string"
    ]
    assert {row["id"]: (row["more"], row["007"]) for row in rows(project)} == {
        1: (None, None),
        2: ("0x", None),
    }
    # A later file may lack it, and that is said.
    project.write("in/c.csv", "id,size,color\n3,4.5,red\n")
    assert project.extract(DAY, "source.columns.new=add").warnings == [
        "landed before, and null in what lands now: more, 007"
    ]
    project.write("in/d.csv", "id,size,color,Order ID\n3,4.5,red,1\n")
    with pytest.raises(InputError, match=r"order_id: \{type: …, column: 'Order ID'\}"):
        project.extract(DAY, "source.columns.new=add")
    project.write("in/d.csv", "id,size,color,MORE\n3,4.5,red,1\n")
    with pytest.raises(InputError, match="there is a column 'more'") as caught:
        project.extract(DAY, "source.columns.new=add")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["id", "source_file"])
def test_a_new_column_takes_no_other_one_s_place(
    project: SmallProject, kind: str, name: str
) -> None:
    text = CSV.replace("csv", kind).replace("id: int", 'id: {type: int, column: "Order ID"}')
    project.write("conf/pipelines/small.yaml", text)
    project.write("in/a.csv", f"Order ID,size,color,{name}\n1,2.5,red,x\n")
    table = {"Order ID": pa.array([1], pa.int32()), "size": [2.5], "color": ["red"], name: ["x"]}
    pq.write_table(pa.table(table), project.root / "in/a.parquet")
    with pytest.raises(InputError, match=f"the new column '{name}' cannot be added: there is"):
        project.extract(DAY, "source.columns.new=add")
    project.edit("color: string", f"color: string, other: {{type: string, column: {name}}}")
    project.extract(DAY, "source.columns.new=add")
    assert [row["other"] for row in rows(project)] == ["x"]


def test_a_header_without_a_name_lands_under_one(project: SmallProject) -> None:
    """As pandas writes the numbers of rows."""
    project.write("in/a.csv", ",size,color\n7,2.5,red\n")
    with pytest.raises(InputError) as caught:
        project.extract()
    assert "column: ''}" in str(caught.value.hint)
    project.edit("id: int", "id: {type: int, column: ''}")
    project.extract()
    assert [row["id"] for row in rows(project)] == [7]


def test_a_field_that_is_added_to_the_schema_is_null_in_earlier_slices(
    project: SmallProject,
) -> None:
    project.write("in/a.csv", "id,size,color\n1,2.5,red\n")
    project.extract()
    project.edit("color: string", "color: string, more: long")
    project.write("in/a.csv", "id,size,color,more\n1,2.5,red,7\n")
    project.extract(NEXT_DAY)
    assert {row["slice"]: row["more"] for row in rows(project)} == {DAY: None, NEXT_DAY: 7}
    project.edit("more: long", "More: {type: long, column: more}")
    with pytest.raises(InputError, match="column More differs from the table's more in case only"):
        project.extract("2026-11-23")


def test_new_columns_of_parquet_keep_their_types(project: SmallProject) -> None:
    project.write("conf/pipelines/small.yaml", CSV.replace("csv", "parquet"))
    (project.root / "in").mkdir()
    first = pa.table({"id": pa.array([1], pa.int32()), "size": [0.5], "color": ["red"]})
    pq.write_table(first, project.root / "in/a.parquet")
    more = first.append_column("at", pa.array([5], pa.timestamp("us", "UTC")))
    pq.write_table(more, project.root / "in/b.parquet")
    report = project.extract(DAY, "source.columns.new=add")
    assert report.rows_landed == 2 and report.warnings == []
    assert project.table("landed").schema.field("at").type == pa.timestamp("us", "UTC")
    other = first.append_column("at", pa.array(["x"]))
    pq.write_table(other, project.root / "in/c.parquet")
    with pytest.raises(InputError, match="the new column 'at' is string, and timestamp"):
        project.extract(DAY, "source.columns.new=add")
