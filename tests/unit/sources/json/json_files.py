"""What the tests of JSON files share: files written and read, and what came of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchinfer.config.schema import schema_fields
from batchinfer.config.sources import JsonSource
from batchinfer.sources.listing import list_files
from batchinfer.sources.parsed import Parsed
from batchinfer.sources.readers import read_splits
from batchinfer.sources.text.byte_ranges import align, count_range, needs_count, plan_text_splits


def json_source(path: Path, schema: dict[str, Any], **options: Any) -> JsonSource:
    return JsonSource.model_validate(
        {"kind": "json", "path": [str(path)], "schema": schema, "options": options}
    )


def read_file(
    path: Path, source: JsonSource, block_bytes: int = 2**21, target_bytes: int = 2**24
) -> list[Parsed]:
    splits = plan_text_splits(list_files([str(path)], path.parent), source, target_bytes)
    splits = align([count_range(split) if needs_count(split) else split for split in splits])
    return list(read_splits(splits, source, schema_fields(source), block_bytes))


def read_text(
    folder: Path, text: bytes, schema: dict[str, Any], name: str = "x.jsonl", **options: Any
) -> list[Parsed]:
    path = folder / name
    path.write_bytes(text)
    return read_file(path, json_source(path, schema, **options))


def rows_of(blocks: list[Parsed], *without: str) -> list[dict[str, Any]]:
    gone = {"source_file", *without}
    return [
        {name: row[name] for name in row if name not in gone}
        for block in blocks
        for row in block.rows.to_pylist()
    ]


def bad_of(blocks: list[Parsed]) -> list[tuple[int | None, bytes, str]]:
    return [(bad.source_line, bad.raw, bad.reason) for block in blocks for bad in block.bad]


def messages(blocks: list[Parsed]) -> list[str]:
    return [bad.message for block in blocks for bad in block.bad]


def blank_of(blocks: list[Parsed]) -> int:
    return sum(block.blank_lines for block in blocks)
