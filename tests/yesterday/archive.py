"""A lake as one file: packed by the maker, unpacked by the tests wherever they like.

Two things in a lake name the folder that it lies in, and decide what is read: MLflow's database,
and the register of a table that is read in place. They are rewritten when it is unpacked, so that
tests can run side by side, whatever lies at the place that it was made at. What rows merely tell
(`source_table` of predictions, reports of runs) stays as it was written, byte by byte.
"""

from __future__ import annotations

import io
import json
import lzma
import socket
import sqlite3
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

LAKES = Path(__file__).parent / "lakes"
# State that no later command needs: pages, what is packed for executors, copies, pictures.
_LEFT_OUT = ("var/reports", "var/shipped", "var/bundles", "var/staging", "models")
_PICTURES = (".png", ".html")
# Every file is of this time: old enough for the clean-up of logs, young enough for zip files. So a
# test does the same on each day.
_TIME = 1_577_836_800  # 2020-01-01


def pack(root: Path, target: Path) -> None:
    """Packs a project with its state; the same files give the same bytes.

    Raises:
        ValueError: a file tells of the machine that it was made on.
    """
    files = [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file() and not _is_left_out(path.relative_to(root))
    ]
    check_neutral(files)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in files:
            member = tarfile.TarInfo(path.relative_to(root).as_posix())
            member.size, member.mtime, member.mode = path.stat().st_size, _TIME, 0o644
            with path.open("rb") as content:
                archive.addfile(member, content)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def _is_left_out(path: Path) -> bool:
    text = path.as_posix()
    return (
        "__pycache__" in path.parts
        or path.suffix in _PICTURES
        or any(text.startswith(f"{each}/") for each in _LEFT_OUT)
    )


def unpack(name: str, root: Path) -> dict[str, Any]:
    """Unpacks a lake into a folder, which then is a project; what the build of then said of it."""
    said = json.loads((LAKES / f"{name}.json").read_text(encoding="utf-8"))
    with tarfile.open(LAKES / f"{name}.tar.xz") as archive:
        archive.extractall(root, filter="data")
    former, here = said["made"]["root"], str(root)
    for path in root.glob("var/*.db"):
        _move_database(path, former, here)
    for log in root.glob("var/lake/landed/*/_delta_log"):
        _move_register(log, former, here)
    return said


def _move_database(path: Path, former: str, here: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for table, column in _text_columns(connection):
            connection.execute(
                f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?)'
                f' WHERE instr("{column}", ?)',
                (former, here, former),
            )


def _text_columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    tables = [
        row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    ]
    return [
        (table, row[1])
        for table in tables
        for row in connection.execute(f'PRAGMA table_info("{table}")')
        if row[2].upper().startswith(("VARCHAR", "TEXT", "CLOB"))
    ]


def _move_register(log: Path, former: str, here: str) -> None:
    """Rewrites the rows of a register, and in the log the sizes of its files; nothing else."""
    for commit in sorted(log.glob("*.json")):
        lines = []
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                path = log.parent / action["add"]["path"]
                if path.exists() and "table_id" in pq.read_schema(path).names:
                    action["add"]["size"] = _replaced(path, former, here)
                    line = json.dumps(action, separators=(",", ":"))
            lines.append(line)
        commit.write_text("".join(f"{line}\n" for line in lines))


def _replaced(path: Path, former: str, here: str) -> int:
    rows = pq.read_table(path)
    place = rows.schema.get_field_index("source_table")
    moved = pa.array(
        [text.replace(former, here) for text in rows.column(place).to_pylist()], pa.string()
    )
    pq.write_table(rows.set_column(place, rows.schema.field(place), moved), path)
    return path.stat().st_size


def check_neutral(files: list[Path]) -> None:
    """Holds that no file, database, table or archive inside names this machine or a place on it.

    Raises:
        ValueError: one does.
    """
    import batchinfer

    checkouts = {Path(__file__).parents[2], Path(batchinfer.__file__).parents[2]}
    own = {*map(str, checkouts), sys.prefix, f"{Path.home()}/", socket.gethostname()}
    marks = [mark.encode() for mark in own if len(mark) > 3]
    found = [(path, content) for path in files for content in _contents(path)]
    told = sorted(
        {f"{path}: {mark.decode()}" for path, content in found for mark in marks if mark in content}
    )
    if told:
        raise ValueError(
            "these files tell of the machine that they were made on:\n" + "\n".join(told)
        )


def _contents(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if path.suffix == ".parquet":
        yield json.dumps(pq.read_table(path).to_pylist(), default=str).encode()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())
