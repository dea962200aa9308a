"""A million rows into a store, through its `write_part`, against the plainest ways to do the same:
for Redis a Python program that writes commands into `redis-cli --pipe`, for PostgreSQL a bare COPY
by psycopg, row by row and as text that is made in one go.

Rows are read from a Parquet file and made JSON before anything is timed: all contenders get the
same keys and values in memory. Making of commands, and the checksum of every row, which only the
store makes, are counted. What bounds the figure: Python's making of the bytes, then the server;
both on the same cores. `finish` (counting, and PostgreSQL's index) is told apart.

The servers are started here, on the loopback address, without disks to wait for.

    python -m benchmarks.load [--rows 1000000] [--repeats 5] [--stores redis postgres]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from batchinfer.lookups.stores.generation import Generation, Layer
from batchinfer.lookups.stores.online_store import OnlineStore, Rows
from batchinfer.lookups.stores.stored_rows import stored_keys, stored_values
from benchmarks.revision import commit

LAYER = "20261130T021500-1f2e3d4c"
BATCH_ROWS = 40_000
# Rows that are compared before anything is timed.
COMPARED = 1_000


def main() -> None:
    """Prints medians of rows a second, ratios, and one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--stores", nargs="+", choices=["redis", "postgres"], default=[])
    given = parser.parse_args()
    rows = rows_of_a_file(given.rows)
    found: dict[str, float] = {}
    for kind in given.stores or ["redis", "postgres"]:
        with {"redis": redis_contenders, "postgres": postgres_contenders}[kind]() as (
            store,
            plain,
        ):
            found |= compare(kind, store, plain, rows, given.repeats)
    size = sum(
        len(key) + len(value)
        for keys, values in rows
        for key, value in zip(keys, values, strict=True)
    )
    print(
        json.dumps(
            found
            | {
                "rows": given.rows,
                "bytes_a_row": round(size / given.rows, 1),
                "cores": os.cpu_count(),
                "git": commit(),
            }
        )
    )


def rows_of_a_file(count: int) -> list[Rows]:
    """Rows of predictions, from a Parquet file, as stores have them."""
    noise = np.random.default_rng(0)
    table = pa.table(
        {
            "customer_id": pa.array([f"C{number:09d}" for number in range(count)]),
            "score": noise.random(count),
            "label": pa.array(np.where(noise.random(count) < 0.5, "stays", "leaves")),
            "model_name": pa.array(["churn"] * count),
            "model_version": pa.array(np.full(count, 7)),
            "scored_at": pa.array(np.full(count, 1_790_000_000_000_000), pa.timestamp("us", "UTC")),
            "slice": pa.array(["2026-11-30"] * count),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        pq.write_table(table, file)
        batches = list(pq.ParquetFile(file).iter_batches(BATCH_ROWS))
    return [
        (stored_keys([batch["customer_id"]]).to_pylist(), stored_values(batch).to_pylist())
        for batch in batches
    ]


Plain = dict[str, tuple[Callable[[list[Rows]], None], Callable[[bytes], bytes]]]


def compare(
    kind: str, store: OnlineStore, plain: Plain, rows: list[Rows], repeats: int
) -> dict[str, float]:
    """Seconds of each contender in turn, their ratios to the store."""
    seconds: dict[str, list[float]] = {name: [] for name in ("store", "finish", *plain)}
    asked = rows[0][0][:COMPARED]
    for repeat in range(-1, repeats):
        for name, (write, read) in plain.items():
            started = time.perf_counter()
            write(rows)
            seconds[name].append(time.perf_counter() - started)
            if repeat < 0 and [read(key) for key in asked] != rows[0][1][:COMPARED]:
                raise SystemExit(f"{kind}, {name}: other rows than those that were written")
        store.begin(LAYER, 1)
        started = time.perf_counter()
        part = store.write_part(LAYER, 0, iter(rows))
        seconds["store"].append(time.perf_counter() - started)
        layer = Layer(LAYER, (part,))
        started = time.perf_counter()
        store.finish(layer)
        seconds["finish"].append(time.perf_counter() - started)
        if repeat < 0 and store.read(generation(layer), asked) != rows[0][1][:COMPARED]:
            raise SystemExit(f"{kind}: other rows than those that were written")
        store.drop([LAYER])
        if repeat < 0:
            seconds = {name: [] for name in seconds}
    count = sum(len(keys) for keys, _ in rows)
    told = {f"{kind}_{name}_s": round(median(each), 2) for name, each in seconds.items()}
    for name, each in seconds.items():
        print(f"{kind:9} {name:16} {median(each):6.2f} s {count / median(each):12,.0f} rows/s")
    for name in plain:
        ratios = [one / own for one, own in zip(seconds[name], seconds["store"], strict=True)]
        told[f"{kind}_rate_to_{name}"] = round(median(ratios), 2)
        print(f"{kind:9} rate of the store to {name}: {median(ratios):.2f}")
    return told


def generation(layer: Layer) -> Generation:
    return Generation("bench", (layer,), "rows", 1, None, None, layer.rows, ("id",), "", "")


@contextmanager
def redis_contenders() -> Generator[tuple[OnlineStore, Plain]]:
    """A server, the store on it, and `redis-cli --pipe`."""
    from redis import Redis

    from batchinfer.lookups.stores.redis_store import RedisStore

    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", folder]
        server = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
        )
        try:
            url = f"redis://127.0.0.1:{port}/0"
            client = Redis.from_url(url)
            wait(client.ping)
            prefix = f"pred:plain:{LAYER}:".encode()

            def pipe(rows: list[Rows]) -> None:
                client.flushall()
                cli = subprocess.Popen(
                    ["redis-cli", "-p", str(port), "--pipe"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                )
                assert cli.stdin is not None
                for keys, values in rows:
                    for key, value in zip(keys, values, strict=True):
                        name = prefix + key
                        cli.stdin.write(
                            b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
                            % (len(name), name, len(value), value)
                        )
                cli.stdin.close()
                if cli.wait() or client.dbsize() != sum(len(keys) for keys, _ in rows):
                    raise SystemExit("redis-cli --pipe did not write all rows")

            yield (
                RedisStore(url, "scores"),
                {"redis_cli_pipe": (pipe, lambda key: client.get(prefix + key))},
            )
        finally:
            server.terminate()
            server.wait()


@contextmanager
def postgres_contenders() -> Generator[tuple[OnlineStore, Plain]]:
    """A server, the store on it, and COPY by psycopg."""
    import psycopg

    from batchinfer.lookups.stores.postgres_store import PostgresStore

    with postgres() as url, psycopg.connect(url, autocommit=True) as connection:

        def make() -> None:
            connection.execute("DROP TABLE IF EXISTS plain")
            connection.execute("CREATE TABLE plain (key text NOT NULL, value text NOT NULL)")

        def by_row(rows: list[Rows]) -> None:
            make()
            with connection.cursor().copy("COPY plain FROM STDIN") as copy:
                for keys, values in rows:
                    for key, value in zip(keys, values, strict=True):
                        copy.write_row((key.decode(), value.decode()))

        def as_text(rows: list[Rows]) -> None:
            make()
            with connection.cursor().copy("COPY plain FROM STDIN") as copy:
                for keys, values in rows:
                    lines = [
                        b"%b\t%b\n" % (key, value.replace(b"\\", b"\\\\"))
                        for key, value in zip(keys, values, strict=True)
                    ]
                    copy.write(b"".join(lines))

        def read(key: bytes) -> bytes:
            connection.execute("CREATE INDEX IF NOT EXISTS plain_key ON plain (key)")
            query = "SELECT value FROM plain WHERE key = %s"
            found = connection.execute(query, [key.decode()]).fetchone()
            return b"" if found is None else found[0].encode()

        yield (
            PostgresStore(url, "online", "scores"),
            {"copy_write_row": (by_row, read), "copy_text": (as_text, read)},
        )


@contextmanager
def postgres() -> Generator[str]:
    """A server of PostgreSQL whose user asks for no password; yields its address."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1].parent
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="benchmark-postgres-"))
    # The server refuses to run as root.
    own = {"user": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    if own:
        shutil.chown(folder, "postgres")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **own}
    initialize = [binaries / "initdb", "-D", folder / "data", "-U", "bench", "-A", "trust", "-N"]
    control = [binaries / "pg_ctl", "-D", folder / "data", "-w"]
    try:
        subprocess.run([*initialize, "-E", "UTF8", "--locale=C.UTF-8"], check=True, **quiet)
        subprocess.run([*control, "-o", options, "start"], check=True, **quiet)
        yield f"postgresql://bench@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, **quiet)
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(answers: Callable[[], object]) -> None:
    from redis.exceptions import ConnectionError as Lost

    for _ in range(500):
        try:
            answers()
            return
        except Lost:
            time.sleep(0.02)
    raise SystemExit("the server does not answer")


if __name__ == "__main__":
    main()
