"""A real PostgreSQL server of the system's packages, for as long as the tests need one."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

USER, PASSWORD = "extractor_zq71", "canary-pass-5ab0"


@dataclass(frozen=True)
class Postgres:
    """A server on a free port of the loopback address; its only user owns everything."""

    binaries: Path
    port: int

    @property
    def url(self) -> str:
        return f"jdbc:postgresql://127.0.0.1:{self.port}/postgres"

    def variables(self, prefix: str = "ORDERS") -> dict[str, str]:
        return {f"{prefix}_URL": self.url, f"{prefix}_USER": USER, f"{prefix}_PASSWORD": PASSWORD}

    def sql(self, text: str) -> str:
        """Runs statements; what the last one gives, as bare text."""
        command = [
            self.binaries / "psql",
            "-qAtX",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            USER,
        ]
        done = subprocess.run(
            [*command, "-d", "postgres"], input=text, env={**os.environ, "PGPASSWORD": PASSWORD},
            capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Starts a server, and removes it afterwards; without the packages the test is skipped, in CI
    it fails.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        reason = "PostgreSQL is not installed (Debian, Ubuntu: apt-get install postgresql)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    binaries = found[-1].parent
    # Below /tmp itself: the server's user may not enter the folders of the tests.
    folder = Path(tempfile.mkdtemp(prefix="batchinfer-postgres-"))
    # The server refuses to run as root.
    as_user = (
        {"user": "postgres", "group": pwd.getpwnam("postgres").pw_gid, "extra_groups": []}
        if os.geteuid() == 0
        else {}
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(*command: str | Path) -> None:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, **as_user
        )
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        (folder / "password").write_text(PASSWORD)
        if as_user:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        data, log = folder / "data", folder / "log"
        secret = f"--pwfile={folder / 'password'}"
        run(
            binaries / "initdb",
            "-D",
            data,
            "-U",
            USER,
            "-A",
            "scram-sha-256",
            secret,
            "-N",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        )
        # Loopback only, no socket file, and no care for a disk that fails: the data lives for
        # minutes.
        options = (
            f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        )
        # Its output goes to the log alone: a pipe of ours would stay open as long as the server.
        starting = [binaries / "pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start"]
        started = subprocess.run(
            starting,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            **as_user,
        )
        assert started.returncode == 0, log.read_text() if log.exists() else "no log"
        try:
            yield Postgres(binaries, port)
        finally:
            run(binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
