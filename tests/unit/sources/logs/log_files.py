"""Logs as files, and what the reader makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchinfer.config.schema import schema_fields
from batchinfer.config.sources import LogSource
from batchinfer.sources.listing import list_files
from batchinfer.sources.parsed import Parsed
from batchinfer.sources.readers import read_splits
from batchinfer.sources.text.byte_ranges import align, count_range, needs_count, plan_text_splits


def log_source(path: Path, schema: dict[str, str] | None = None, **options: Any) -> LogSource:
    return LogSource.model_validate(
        {"kind": "text_log", "path": [str(path)], "schema": schema, "options": options}
    )


def read_log(
    path: Path, source: LogSource, block_bytes: int = 2**21, target_bytes: int = 2**24
) -> list[Parsed]:
    splits = plan_text_splits(list_files([str(path)], path.parent), source, target_bytes)
    splits = align([count_range(split) if needs_count(split) else split for split in splits])
    return list(read_splits(splits, source, schema_fields(source), block_bytes))


def rows(blocks: list[Parsed]) -> list[dict[str, Any]]:
    return [row for block in blocks for row in block.rows.to_pylist()]


def bad(blocks: list[Parsed]) -> list[tuple[int | None, bytes, str]]:
    return [(each.source_line, each.raw, each.reason) for block in blocks for each in block.bad]


def read_text(folder: Path, text: bytes, **options: Any) -> list[Parsed]:
    path = folder / "x.log"
    path.write_bytes(text)
    schema = options.pop("schema", None)
    return read_log(path, log_source(path, schema, **options))


def read_line(folder: Path, line: bytes, **options: Any) -> dict[str, Any] | str:
    """The row of one line, without its place, or why it gives none: `reason: message`."""
    blocks = read_text(folder, line + b"\n", **options)
    (found,) = [*rows(blocks), *(each for block in blocks for each in block.bad)]
    if not isinstance(found, dict):
        return f"{found.reason}: {found.message}"
    del found["source_file"], found["source_line"]
    return found
