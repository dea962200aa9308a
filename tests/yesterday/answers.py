"""What a lake says of itself, as JSON: the maker asks the build of then, the tests that of now.

Asks by the public faces alone: commands, Python functions, tables as any reader of Delta sees them.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# Columns that differ from run to run, and from place to place.
_OF_THE_RUN = ("run_id", "scored_at", "source_table")
_ASIDE = ("slice", "stage", "published", "reason", "key", "source_file", "source_line")


def pipeline_file(root: Path, pipeline: str) -> str:
    return str(root / "conf" / "pipelines" / f"{pipeline}.yaml")


def variables(root: Path) -> dict[str, str]:
    """What the pipeline files take from the environment."""
    return {"YESTERDAY_ORDERS_URL": f"sqlite:///{root}/in/orders.db"}


def command(root: Path, *arguments: str, **extra: str) -> dict[str, Any]:
    """The JSON line of a command typed in the project, with its exit code as `exit`."""
    import batchinfer

    environment = {name: value for name, value in os.environ.items() if name != "BATCHINFER_HOME"}
    # The code of this process, wherever that comes from; a relative path would not be found.
    code = [str(Path(batchinfer.__file__).parents[1]), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(part for part in code if part)
    done = subprocess.run(
        [sys.executable, "-m", "batchinfer.cli", *arguments],
        cwd=root,
        env=environment | variables(root) | extra,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    assert lines, f"{arguments}: no line on stdout, exit {done.returncode}:\n{done.stderr}"
    return {**json.loads(lines[-1]), "exit": done.returncode}


def plain(value: Any) -> Any:
    """A value as JSON has it: bytes as hexadecimal digits, times as text, maps as objects."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        pairs = value and all(isinstance(item, tuple) for item in value)
        return plain(dict(value)) if pairs else [plain(item) for item in value]
    return value


def rows_of(root: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table of the lake; none where there is no table."""
    from deltalake import DeltaTable

    place = root / "var" / "lake" / table
    return DeltaTable(str(place)).to_pyarrow_table().to_pylist() if place.is_dir() else []


def predictions(
    root: Path, pipeline: str, slices: Iterable[str] | None = None
) -> list[dict[str, Any]]:
    """The published rows, without what differs from run to run."""
    wanted = None if slices is None else set(slices)
    rows = [
        plain({name: value for name, value in row.items() if name not in _OF_THE_RUN})
        for row in rows_of(root, f"predictions/{pipeline}")
        if wanted is None or row["slice"] in wanted
    ]
    return sorted(rows, key=json.dumps)


def quarantined(root: Path, pipeline: str) -> list[dict[str, Any]]:
    """The records in quarantine, without their bytes."""
    rows = [{name: row[name] for name in _ASIDE} for row in rows_of(root, f"quarantine/{pipeline}")]
    return sorted(rows, key=json.dumps)


def status(root: Path, pipeline: str) -> list[dict[str, Any]]:
    """What `batchinfer.status` says of each slice, by the fields that builds have told since the
    first of these lakes.
    """
    import batchinfer

    told = plain(batchinfer.status(pipeline_file(root, pipeline))["slices"])
    return [{name: fact for name, fact in each.items() if name != "last_attempt"} for each in told]


def landed(root: Path, pipeline: str) -> list[dict[str, Any]]:
    """The landed rows; of a table that is read in place, its register. In an order of their own."""
    return sorted((plain(row) for row in rows_of(root, f"landed/{pipeline}")), key=json.dumps)


def key_of(row: Mapping[str, Any], key: Iterable[str]) -> str:
    """A key as the command line takes it."""
    return ",".join(f"{name}={row[name]}" for name in key)


def parsed(key: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in key.split(","))


def are_close(found: Any, expected: Any) -> bool:
    """Whether two answers are equal, but for the last digits of single precision."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            are_close(found[name], expected[name]) for name in expected
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(are_close, found, expected))
    if isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-6)
    return bool(found == expected)
