"""What the page about tables says of columns is so in the tables of a real lake."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from reference_pages.tables_page import NEVER_NULL, OWN, schemas, tables_page
from yesterday.archive import unpack

from batchinfer.config.types import spark_name


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("yesterday")
    unpack("format-1", root)
    return root / "var" / "lake"


def tables_of(lake: Path, kind: str) -> list[pa.Table]:
    """The tables of a kind; the register stands where landed rows would stand."""
    folder = {"runs": "runs", "register": "landed"}.get(kind, kind)
    places = [lake / "runs"] if kind == "runs" else sorted((lake / folder).iterdir())
    found = [
        pa.table(DeltaTable(str(place)).to_pyarrow_table())
        for place in places
        if (place / "_delta_log").is_dir()
    ]
    is_register = "recorded_at"
    if kind in ("landed", "register"):
        return [one for one in found if (is_register in one.column_names) == (kind == "register")]
    return found


@pytest.mark.parametrize("kind", [*schemas()])
def test_columns_of_a_real_lake_are_as_the_page_says(lake: Path, kind: str) -> None:
    expected = {field.name: spark_name(field.type) for field in schemas()[kind]}
    tables = tables_of(lake, kind)
    assert tables
    for table in tables:
        found = {field.name: spark_name(field.type) for field in table.schema}
        always = expected.keys() - OWN.keys() - {"_rescued_data"}
        assert found.keys() >= always
        assert {name: found[name] for name in always} == {name: expected[name] for name in always}
        if kind not in ("landed", "predictions"):
            assert found.keys() == always


@pytest.mark.parametrize("kind", [*schemas()])
def test_what_is_never_null_is_not_null_there(lake: Path, kind: str) -> None:
    for table in tables_of(lake, kind):
        for name in NEVER_NULL[kind] - OWN.keys():
            assert table.column(name).null_count == 0, name


@pytest.mark.parametrize("kind", [*schemas()])
def test_every_column_is_on_the_page_with_its_type(kind: str) -> None:
    for field in schemas()[kind]:
        if field.name not in OWN:
            assert f"| `{field.name}` | `{spark_name(field.type)}` | " in tables_page()
