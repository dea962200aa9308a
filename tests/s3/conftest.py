"""A real S3 server (moto) in a process of its own, and projects whose sources, or whose lake, are
in its buckets.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from e2e.commands import Project, Result, new_project

SHARE = Path(sys.prefix) / "share" / "batchinfer"
MOTO = SHARE / "moto" / "bin" / "moto_server"
# No part of the words that the program says.
ACCESS_KEY, SECRET_KEY = "AKIACANARY7Q2W4E", "canary-of-s3-5f1c0d9b7a"
# The first command brings the jars.
FIRST_S = 900


@dataclass(frozen=True)
class Server:
    """An S3 server; objects are put and removed over its own protocol."""

    url: str

    def put(self, place: str, content: str | bytes) -> None:
        self._ask("PUT", place, content.encode() if isinstance(content, str) else content)

    def delete(self, place: str) -> None:
        self._ask("DELETE", place)

    def _ask(self, method: str, place: str, data: bytes | None = None) -> None:
        # moto takes any signature for one: without, an object that is there cannot be replaced.
        headers = {
            "Content-Type": "application/octet-stream",
            "Authorization": "AWS4-HMAC-SHA256 Credential=x/20261121/us-east-1/s3/aws4_request",
        }
        request = urllib.request.Request(f"{self.url}/{quote(place)}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status in (200, 204)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# The server as one that does not know conditional writes: it never sees the header.
FORGETFUL = """
import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import main
known = DomainDispatcherApplication.__call__
def call(self, environ, start_response):
    environ.pop("HTTP_IF_NONE_MATCH", None)
    return known(self, environ, start_response)
DomainDispatcherApplication.__call__ = call
main(sys.argv[1:])
"""


@contextmanager
def serving(program: str | None = None, **environment: str) -> Iterator[Server]:
    """A server of its own.

    Args:
        program: Python that starts it, in place of its own command.
    """
    if not MOTO.is_file():
        pytest.skip(f"{MOTO} is not there; `make s3` installs it")
    port = free_port()
    start = [str(MOTO)] if program is None else ["-c", program]
    command = [str(MOTO.with_name("python")), *start, "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(port, process)
        yield Server(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"moto did not start: exit {process.poll()}")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serving() as started:
        yield started


@pytest.fixture
def bucket(server: Server, request: pytest.FixtureRequest) -> str:
    """A bucket of the test's own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:50].strip("-")
    server.put(name, b"")
    return name


def package() -> str:
    """Hadoop's file system for S3, of the version that Spark's own Hadoop has."""
    from batchinfer.spark.session import spark_home

    [jar] = (spark_home() / "jars").glob("hadoop-client-api-*.jar")
    return f"org.apache.hadoop:hadoop-aws:{jar.stem.removeprefix('hadoop-client-api-')}"


def settings_for(url: str) -> str:
    """What an environment needs for a bucket, as docs/object-stores.md has it."""
    provider = "software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider"
    return f"""\
    spark.jars.packages: {package()}
    spark.jars.ivy: {SHARE / "jars-s3"}
    spark.hadoop.fs.s3a.endpoint: {url}
    spark.hadoop.fs.s3a.endpoint.region: us-east-1
    spark.hadoop.fs.s3a.path.style.access: true
    spark.hadoop.fs.s3a.aws.credentials.provider: {provider}
"""


def use_store(project: Project, url: str) -> None:
    project.edit("conf/environments/local.yaml", "  conf:\n", "  conf:\n" + settings_for(url))


def run(project: Project, *arguments: str, **environment: str) -> Result:
    return project.run(
        *arguments,
        timeout_s=FIRST_S,
        **{"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, **environment},
    )


@pytest.fixture
def project(tmp_path: Path, server: Server) -> Project:
    """A project whose environment has the server's address."""
    made = new_project(tmp_path)
    use_store(made, server.url)
    return made


def use_lake(project: Project, lake: str) -> None:
    """Puts tables and reports into a bucket."""
    text = (project.root / "conf/environments/local.yaml").read_text()
    project.write("conf/environments/local.yaml", f"lake: {lake}\nreports: {lake}-reports\n{text}")


@pytest.fixture
def lake(server: Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A lake in the test's bucket, which this process and those that it starts can open."""
    from batchinfer.config.s3 import VARIABLE

    place = f"s3a://{bucket}/lake"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv(VARIABLE, text_for(server.url))
    return place


def text_for(url: str) -> str:
    """What tells a process of a server, as the environment's settings do."""
    from batchinfer.config.s3 import settings_by_bucket, to_text

    return to_text(
        settings_by_bucket(
            {"spark.hadoop.fs.s3a.endpoint": url, "spark.hadoop.fs.s3a.path.style.access": True}, {}
        )
    )
