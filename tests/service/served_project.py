"""A project whose predictions lie in an embedded store, and the real command that serves them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import requests

from batchinfer.contracts import KEY_PROPERTY, SLICE
from batchinfer.lake import delta
from batchinfer.lake.ledger import publish_transactions
from batchinfer.lake.staging import StagedWriter
from batchinfer.lookups.stores.embedded_store import EmbeddedStore
from batchinfer.lookups.stores.generation import Generation, Layer, Pointer, columns_text
from batchinfer.lookups.stores.online_store import OnlineStore, part_of
from batchinfer.lookups.stores.stored_rows import stored_keys, stored_values

SCHEMA = pa.schema(
    [
        ("customer", pa.string()),
        ("order", pa.int64()),
        ("slice", pa.string()),
        ("score", pa.float64()),
        ("label", pa.string()),
    ]
)
KEY = ("customer", "order")
_PIPELINE = """
name: {name}
source:
  kind: csv
  path: data/*.csv
  schema: {{customer: string, order: long, day: date, spend: double}}
  key: [customer, order]
  slice: {{column: day, unit: day}}
model: {{uri: "models:/{name}@champion"}}
sink: {{table: predictions/{name}}}
"""


def new_project(folder: Path, *names: str, load: str = "") -> Path:
    """A project with pipelines of these names, and nothing published.

    Args:
        load: their store, as pipeline files say it; empty: the embedded one.
    """
    pipelines = folder / "conf" / "pipelines"
    pipelines.mkdir(parents=True)
    for name in names:
        (pipelines / f"{name}.yaml").write_text(
            _PIPELINE.format(name=name) + (f"load: [{load}]\n" if load else "")
        )
    return folder


def rows(
    count: int, label: str = "first", slice_: str = "2026-11-21", start: int = 0
) -> pa.RecordBatch:
    """Rows of customer cN, order N; `label` tells the generation that they are of."""
    numbers = range(start, start + count)
    return pa.RecordBatch.from_pylist(
        [
            {
                "customer": f"c{number}",
                "order": number,
                "slice": slice_,
                "score": number / 2,
                "label": label,
            }
            for number in numbers
        ],
        SCHEMA,
    )


def store_of(project: Path, name: str, part: str = "") -> EmbeddedStore:
    return EmbeddedStore(str(project / "var" / "online" / name / part))


def write_generation(
    project: Path,
    name: str,
    generation: str,
    batch: pa.RecordBatch,
    parts: int = 2,
    key: tuple[str, ...] = KEY,
    part: str = "",
    store: OnlineStore | None = None,
) -> Generation:
    """Writes all rows as one layer, and sets the pointer to it: what `load` does, without Spark.

    Args:
        store: into which; None: the embedded one.
    """
    store = store_of(project, name, part) if store is None else store
    before = store.pointer()
    keys = stored_keys([batch[column] for column in key]).to_pylist()
    pairs = sorted(zip(keys, stored_values(batch).to_pylist(), strict=True))
    store.begin(generation, parts)
    written = []
    for number in range(parts):
        own = [(key, value) for key, value in pairs if part_of(key, parts) == number]
        columns = [([key for key, _ in own], [value for _, value in own])] if own else []
        written.append(store.write_part(generation, number, columns))
    layer = Layer(generation, tuple(written))
    store.finish(layer)
    now = dt.datetime.now(dt.timezone.utc)
    confirmed = (now - dt.timedelta(hours=1)).isoformat(timespec="seconds")
    slices = sorted(set(batch["slice"].to_pylist()))
    told = Generation(
        name=generation,
        layers=(layer,),
        table=str(project / "var" / "lake" / "predictions" / name),
        version=1,
        slice=max(slices, default=None),
        as_of=None,
        rows=batch.num_rows,
        key=key,
        schema=columns_text(batch.schema),
        loaded_at=now.isoformat(timespec="seconds"),
        confirmed=dict.fromkeys(slices, confirmed),
        line=name,
    )
    store.switch(Pointer(told, before.current if before else None), before)
    store.drop(store.layers() - Pointer(told, before.current if before else None).layers())
    store.close()
    return told


def publish(project: Path, name: str, batch: pa.RecordBatch) -> None:
    """Publishes the rows of one slice, as a run does."""
    place = str(project / "var" / "lake" / "predictions" / name)
    (slice_,) = set(batch["slice"].to_pylist())
    delta.ensure_table(place, SCHEMA, [SLICE], configuration={KEY_PROPERTY: ",".join(KEY)})
    with StagedWriter(place, SCHEMA, [SLICE], KEY) as writer:
        writer.write(batch.drop_columns(SLICE), {SLICE: slice_})
        files = writer.close()
    delta.commit(place, files, transactions=lambda at: publish_transactions(name, slice_, at))


def caller_line(name: str, key: str, *pipelines: str) -> str:
    """A line of a keys' file."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return ":".join([name, digest, *([",".join(pipelines)] if pipelines else [])])


@dataclasses.dataclass
class Served:
    """A service that runs.

    Attributes:
        url: where it answers.
        lines: that it has written to standard error so far.
    """

    process: subprocess.Popen[str]
    url: str
    lines: list[str]

    def stop(self, within_s: float = 30.0) -> tuple[int, dict[str, Any]]:
        """Ends it by SIGTERM; its exit code and its JSON line."""
        self.process.terminate()
        return self.ended(within_s)

    def ended(self, within_s: float = 30.0) -> tuple[int, dict[str, Any]]:
        code = self.process.wait(within_s)
        assert self.process.stdout is not None
        return code, json.loads(self.process.stdout.read().splitlines()[-1])

    def log(self) -> list[dict[str, Any]]:
        """The access log so far."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def logged(self, count: int, within_s: float = 5.0) -> list[dict[str, Any]]:
        """The access log, once it has so many lines."""
        until = time.monotonic() + within_s
        while len(self.log()) < count and time.monotonic() < until:
            time.sleep(0.02)
        return self.log()

    def workers(self) -> list[int]:
        """Processes of the workers."""
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(project: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "batchinfer", "serve", "--port", "0", *options]


def run_service(
    project: Path, *options: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A service that is to end by itself."""
    return subprocess.run(
        command(project, *options),
        cwd=project,
        env=_environment(project, env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _environment(project: Path, env: Mapping[str, str] | None) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("BATCHINF")}
    return {**plain, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}


@contextmanager
def serving(
    project: Path, *options: str, env: Mapping[str, str] | None = None, shown: Sequence[str] = ()
) -> Iterator[Served]:
    """The service, once it says that it serves; ended afterwards."""
    process = subprocess.Popen(
        command(project, *options),
        cwd=project,
        env=_environment(project, env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    begun: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process, lines, begun), daemon=True)
    reader.start()
    try:
        url = begun.get(timeout=90)
        assert url is not None, "".join(lines)
        yield Served(process, url, lines)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        reader.join(10)


def _read(process: subprocess.Popen[str], lines: list[str], begun: queue.Queue[str | None]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        if line.startswith("serving "):
            begun.put(line.split()[-1])
    begun.put(None)


def get(served: Served, path: str, **options: Any) -> requests.Response:
    return requests.get(served.url + path, timeout=20, **options)


def post(served: Served, path: str, **options: Any) -> requests.Response:
    return requests.post(served.url + path, timeout=20, **options)


def problem(answer: requests.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem document of an answer, which is held against what all of them have in common."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["type"] == f"urn:batchinfer:problem:{kind}"
    assert told["status"] == status
    assert told["title"]
    assert told["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    assert len(answer.content) < 20_000
    return told


def exchange(url: str, sent: bytes, within_s: float = 15.0) -> bytes:
    """What a connection answers to these bytes until it ends, or says nothing more."""
    host, _, port = url.rpartition("//")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=within_s) as connection:
        if sent:
            connection.sendall(sent)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65_536):
                answer += piece
        return answer
