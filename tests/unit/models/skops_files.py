"""skops files taken apart and put together again, for tests that bend one."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

from batchinfer.models.formats import archives


def unpacked(data: bytes) -> tuple[dict[str, bytes], dict[str, Any]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return members, json.loads(members["schema.json"])


def packed(members: dict[str, bytes], schema: dict[str, Any]) -> bytes:
    return archives.write_archive({**members, "schema.json": json.dumps(schema).encode()})


def nodes(schema: Any, loader: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if isinstance(schema, dict):
        found += [schema] if schema.get("__loader__") == loader else []
        schema = list(schema.values())
    if isinstance(schema, list):
        found += [node for one in schema for node in nodes(one, loader)]
    return found


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
