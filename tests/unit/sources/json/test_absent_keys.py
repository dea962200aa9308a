"""Keys of the schema that a file lacks: what looks like them is found, whatever the road and
however the file is cut.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from json_files import json_source, read_file, read_text

from batchinfer.config.types import parse_ddl
from batchinfer.json_values import from_json, to_json
from batchinfer.sources.listing import list_files
from batchinfer.sources.parsed import FileKeys, Parsed
from batchinfer.sources.readers import read_splits
from batchinfer.sources.text.byte_ranges import plan_text_splits

# A map keeps the fast road away.
MAP = {"m": "map<string,string>"}


def told(blocks: list[Parsed]) -> dict[str, FileKeys]:
    found: dict[str, FileKeys] = {}
    for block in blocks:
        for file, keys in block.keys.items():
            found.setdefault(file, FileKeys()).add(from_json(FileKeys, to_json(keys)))
    return found


def absent(
    folder: Path, records: list[Any], schema: dict[str, Any], block: int = 2**21, **options: Any
) -> dict[str, tuple[list[str], list[str]]]:
    path = folder / "x.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    source = json_source(path, schema, **options)
    return told(read_file(path, source, block, 4 * block))["x.jsonl"].absent


@pytest.mark.parametrize("more", [{}, MAP], ids=["fast road", "plain road"])
@pytest.mark.parametrize("block", [64, 2**21])
@pytest.mark.parametrize(
    ("record", "schema", "expected"),
    [
        ({"id": 1, "Amount": 2.5}, {"amount": "double"}, {"amount": (["amount"], ["Amount"])}),
        ({"id": 1, "other": 2.5}, {"amount": "double"}, {"amount": (["amount"], [])}),
        ({"id": 1, "amount": None, "Amount": 1}, {"amount": "double"}, {}),
        (
            {"id": 1, "User": {"name": "x"}},
            {
                "n": {"type": "string", "path": "user.name"},
                "a": {"type": "int", "path": "user.age"},
            },
            {"user": (["n", "a"], ["User"])},
        ),
        (
            {"id": 1, "user": {"Name": "x"}},
            {"n": {"type": "string", "path": "user.name"}},
            {"user.name": (["n"], ["user.Name"])},
        ),
        (
            {"id": 1, "user": {"Name": "x", "age": 3}},
            {"user": "struct<name:string,age:int>"},
            {"user.name": (["user"], ["user.Name"])},
        ),
        (
            {"id": 1, "tags": [{"Text": "x", "n": 1}]},
            {"tags": "array<struct<text:string,n:int>>"},
            {"tags[].text": (["tags"], ["tags[].Text"])},
        ),
        ({"id": 1, "tags": []}, {"tags": "array<struct<text:string>>"}, {}),
        (
            {"id": 1, "tags": [{"Text": "x"}]},
            {"first": {"type": "string", "path": "tags[0].text"}},
            {"tags[0].text": (["first"], ["tags[0].Text"])},
        ),
        # A name that another column reads is no other spelling of this one.
        (
            {"id": 1, "Amount": 2.5},
            {"amount": "double", "big": {"type": "double", "path": "Amount"}},
            {"amount": (["amount"], [])},
        ),
    ],
)
def test_absent_keys_are_told_with_what_looks_like_them(
    tmp_path: Path,
    record: Any,
    schema: dict[str, Any],
    expected: Any,
    more: dict[str, str],
    block: int,
) -> None:
    records = [record | {name: {} for name in more}] * 9
    assert absent(tmp_path, records, {"id": "long", **schema, **more}, block) == expected


@pytest.mark.parametrize("block", [64, 2**21])
def test_a_key_that_any_record_has_is_there(tmp_path: Path, block: int) -> None:
    records = [*[{"id": 1, "Amount": 2}] * 9, {"id": 1, "amount": None}, *[{"id": 1}] * 9]
    assert absent(tmp_path, records, {"id": "long", "amount": "double"}, block) == {}
    # One that no record has is found by one that looks like it, however rare.
    assert absent(tmp_path, [*[{"id": 1}] * 30, {"Amount": 3}], {"amount": "double"}, block) == {
        "amount": (["amount"], ["Amount"])
    }


def test_items_of_a_list_that_stands_under_another_name(tmp_path: Path) -> None:
    schema = {"sku": {"type": "int", "path": "items.sku"}}
    found = absent(tmp_path, [{"Items": [{"sku": 1}]}], schema, explode="items")
    assert found == {"items": (["sku"], ["Items"])}
    found = absent(tmp_path, [{"items": [{"Sku": 1}]}], schema, explode="items")
    assert found == {"items[].sku": (["sku"], ["items[].Sku"])}
    assert absent(tmp_path, [{"items": []}], schema, explode="items") == {}


def test_each_of_many_small_files_is_told_by_itself(tmp_path: Path) -> None:
    for number in range(20):
        key = "Amount" if number in (3, 19) else "amount"
        (tmp_path / f"{number:02}.json").write_text(f'{{"id": {number}, "{key}": 1}}\n')
    source = json_source(tmp_path, {"id": "long", "amount": "double"})
    fields = {"id": "bigint", "amount": "double"}
    splits = plan_text_splits(list_files([str(tmp_path)], tmp_path), source)
    blocks = list(
        read_splits(splits, source, {name: parse_ddl(type_) for name, type_ in fields.items()})
    )
    found = {file: keys.absent for file, keys in told(blocks).items() if keys.absent}
    renamed = {"amount": (["amount"], ["Amount"])}
    assert found == {"03.json": renamed, "19.json": renamed}
    assert sum(block.fine_files for block in blocks) + len(told(blocks)) == 20


def test_records_that_are_no_json_do_not_stop_the_search(tmp_path: Path) -> None:
    text = b'{"id": 1, "Amount": 2\n[1]\n' + b"[" * 3000 + b'\n{"id": 1, "Amount": 3}\n'
    [block] = read_text(tmp_path, text, {"id": "long", "amount": "double"})
    assert block.keys["x.jsonl"].absent == {"amount": (["amount"], ["Amount"])}


def test_nobody_looks_where_nobody_asked(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"Amount": 1}\n')
    source = json_source(path, {"amount": "double"})
    source = source.model_copy(
        update={"columns": source.columns.model_copy(update={"missing": "null"})}
    )
    [block] = read_file(path, source)
    assert (block.keys, block.rows.num_rows) == ({}, 1)
