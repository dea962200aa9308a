"""Keys that no column reads: which count, what types their values have, and that looking for them
says the same whatever the road.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from json_files import json_source, read_file

from batchinfer.config.schema import schema_fields
from batchinfer.config.shapes.source_columns import ColumnRules
from batchinfer.json_values import from_json, to_json
from batchinfer.sources.json.parser import find_new_keys
from batchinfer.sources.json.unknown_keys import KeyKinds
from batchinfer.sources.listing import list_files
from batchinfer.sources.text.byte_ranges import plan_text_splits

# A map keeps the fast road away.
MAP = {"m": "map<string,string>"}


def told(
    folder: Path, records: list[Any], schema: dict[str, Any], new: Any = "fail", **options: Any
) -> list[str]:
    path = folder / "x.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    source = json_source(path, schema, **options)
    source = source.model_copy(update={"columns": ColumnRules(new=new)})
    blocks = read_file(path, source)
    return sorted(key for block in blocks for keys in block.new_keys.values() for key in keys)


@pytest.mark.parametrize("more", [{}, MAP], ids=["fast road", "plain road"])
@pytest.mark.parametrize(
    ("record", "schema", "expected"),
    [
        ({"id": 1}, {}, []),
        ({"id": 1, "x": None, "a b": 2}, {}, ['["a b"]', "x"]),
        ({"id": 1, "user": {"name": "n", "age": 3}}, {"user": "struct<name:string>"}, ["user.age"]),
        ({"id": 1, "user": {"name": "n", "age": 3}}, {"user": "string"}, []),
        (
            {"id": 1, "user": {"name": "n", "age": 3}},
            {"n": {"type": "string", "path": "user.name"}},
            ["user.age"],
        ),
        ({"id": 1, "user": None}, {"user": "struct<name:string>"}, []),
        (
            {"id": 1, "tags": [{"text": "a", "n": 1}, {"text": "b", "o": 2}]},
            {"tags": "array<struct<text:string>>"},
            ["tags[].n", "tags[].o"],
        ),
        # Items that no column reads are no keys; those that one reads have some.
        (
            {"id": 1, "tags": [{"text": "a", "n": 1}, {"o": 2}]},
            {"first": {"type": "string", "path": "tags[0].text"}},
            ["tags[0].n"],
        ),
    ],
)
def test_unknown_keys_are_told_by_their_places(
    tmp_path: Path, record: Any, schema: dict[str, Any], expected: list[str], more: dict[str, str]
) -> None:
    records = [{"id": 0}, record | {name: {} for name in more}]
    assert told(tmp_path, records, {"id": "long", **schema, **more}) == expected


def test_values_of_maps_are_looked_into(tmp_path: Path) -> None:
    record = {"id": 1, "by": {"de": {"n": 1, "x": 2}, "fr": {"n": 1}}}
    assert told(tmp_path, [record], {"id": "long", "by": "map<string,struct<n:int>>"}) == ["by[].x"]


def test_items_of_an_exploded_list(tmp_path: Path) -> None:
    schema = {"id": "long", "sku": {"type": "int", "path": "items.sku"}}
    records = [{"id": 1, "note": "x", "items": [{"sku": 1, "color": "red"}]}]
    assert told(tmp_path, records, schema, explode="items") == ["items[].color", "note"]


def test_only_a_few_records_of_a_block_are_looked_at_where_nothing_depends_on_it(
    tmp_path: Path,
) -> None:
    records: list[dict[str, int]] = [{"id": n} for n in range(101)]
    records[0]["x"] = records[2]["y"] = records[50]["z"] = records[100]["last"] = 1
    assert told(tmp_path, records, {"id": "long"}, "auto") == ["last", "x", "z"]
    assert told(tmp_path, records, {"id": "long"}, "ignore") == []
    assert told(tmp_path, records, {"id": "long"}, "fail") == ["last", "x", "y", "z"]


def test_a_key_of_the_last_record_is_found_however_the_file_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": 1}\n' * 99 + '{"id": 1, "x": 2}\n')
    source = json_source(path, {"id": "long"})
    source = source.model_copy(update={"columns": ColumnRules(new="fail")})
    blocks = read_file(path, source, 64, 256)
    assert len(blocks) > 3 and [block.new_keys for block in blocks if block.new_keys] == [
        {"x.jsonl": ["x"]}
    ]


def test_bad_records_have_no_keys_and_deep_ones_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(
        '{"id": 1}\n[1]\n{"id": 2, "x"\n{"id": 3, "d": ' + "[" * 9999 + "]" * 9999 + "}"
    )
    source = json_source(path, {"id": "long"})
    source = source.model_copy(update={"columns": ColumnRules(new="fail")})
    [block] = read_file(path, source)
    assert block.new_keys == {"x.jsonl": ["what is nested too deeply to be read"]}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["null"], None),
        (["null", "[]", "[null]", "[[]]"], None),
        (["true", "null"], "boolean"),
        (["1", "-9223372036854775808"], "bigint"),
        (["1", "0.5", "1e3"], "double"),
        # A double would lose digits.
        (["9007199254740993", "0.5"], "string"),
        (["0.12345678901234567"], "string"),
        (["9223372036854775808"], "string"),
        (["1e999"], "string"),
        (['"a"', "null"], "string"),
        (['"a"', "1"], "string"),
        (["true", "1"], "string"),
        (['{"a": 1}'], "string"),
        (["[1, 2]", "[]", "null"], "array<bigint>"),
        (["[[1.5]]", "[[]]"], "array<array<double>>"),
        (["[1]", '["a"]'], "array<string>"),
        (['[{"a": 1}]'], "string"),
        (["[1]", "1"], "string"),
    ],
)
def test_the_type_of_a_new_key_keeps_all_its_values(
    tmp_path: Path, values: list[str], expected: str | None
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f'{{"id": 1, "x": {value}}}\n' for value in values))
    source = json_source(path, {"id": "long"})
    splits = plan_text_splits(list_files([str(path)], tmp_path), source)
    fields = schema_fields(source)
    assert fields is not None
    found = KeyKinds()
    # As two tasks tell it.
    for _ in range(2):
        found.add(from_json(KeyKinds, to_json(find_new_keys(splits, source, fields))))
    assert found.types() == ({} if expected is None else {"x": expected})
    assert found.files == {"x": "x.jsonl"}
