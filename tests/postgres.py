"""A real PostgreSQL server of the system's packages, for as long as the tests need one."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

USER, PASSWORD = "extractor_zq71", "canary-pass-5ab0"


@dataclass(frozen=True)
class Postgres:
    """A server on a free port of the loopback address; its only user owns everything."""

    binaries: Path
    port: int
    data: Path
    run: Callable[..., None] = field(repr=False)

    @property
    def url(self) -> str:
        return f"jdbc:postgresql://127.0.0.1:{self.port}/postgres"

    def variables(self, prefix: str = "ORDERS") -> dict[str, str]:
        return {f"{prefix}_URL": self.url, f"{prefix}_USER": USER, f"{prefix}_PASSWORD": PASSWORD}

    def start(self, most_file_bytes: int | None = None) -> None:
        """Begins it, on its port. Loopback only, no socket file, and no care for a disk that fails:
        the data lives for minutes.

        Args:
            most_file_bytes: that a file of it may have, which to the server is a full disk.
        """
        options = f"-p {self.port} -c listen_addresses=127.0.0.1"
        options += " -c unix_socket_directories= -c fsync=off"
        # It closes what it inherits, but for its output.
        log = self.data.parent / "server-log"
        limited = () if most_file_bytes is None else ("prlimit", f"--fsize={most_file_bytes}")
        self._control("-l", log, "-o", options, "start", before=limited)

    def stop(self) -> None:
        """Ends it at once, as a crash does; what was committed is there when it starts again."""
        if self.processes():
            self._control("-m", "immediate", "stop")

    def _control(self, *words: str | Path, before: tuple[str, ...] = ()) -> None:
        self.run(*before, self.binaries / "pg_ctl", "-D", self.data, "-w", *words)

    def processes(self) -> list[int]:
        """The server's own process first, then those that work for it; empty where it has ended."""
        file = self.data / "postmaster.pid"
        if not file.exists():
            return []
        postmaster = int(file.read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children")
        return [postmaster, *map(int, children.read_text().split())]

    def pause(self) -> None:
        """Stops all of it as a debugger does: connections stay, nothing is answered."""
        for process in self.processes():
            os.kill(process, signal.SIGSTOP)

    def resume(self) -> None:
        for process in self.processes():
            os.kill(process, signal.SIGCONT)

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
        # Output goes to the log alone: a pipe of ours would stay open as long as the server.
        with (folder / "log").open("a") as log:
            done = subprocess.run(
                command, cwd=folder, stdout=log, stderr=log, check=False, **as_user
            )
        assert done.returncode == 0, (folder / "log").read_text()

    try:
        (folder / "password").write_text(PASSWORD)
        if as_user:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        secret = f"--pwfile={folder / 'password'}"
        making = [binaries / "initdb", "-D", folder / "data", "-U", USER, "-A", "scram-sha-256"]
        run(*making, secret, "-N", "-E", "UTF8", "--locale=C.UTF-8")
        server = Postgres(binaries, port, folder / "data", run)
        server.start()
        try:
            yield server
        finally:
            server.resume()
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
