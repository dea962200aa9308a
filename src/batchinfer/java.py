"""Which Java Spark would start, and whether it will do.

Owns the search for Java: the same one that Spark's own scripts make (`JAVA_HOME` first, then
`PATH`). Starts no JVM where the JDK's `release` file tells the version, so every command can afford
to ask.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from batchinfer.errors import SetupError

OLDEST = 17
"""Spark 4 is compiled for this release of Java."""

TRIED = (17, 21)
"""Releases that Spark 4.1 names as supported; a newer one may work."""

_INSTALL = (
    "install Java 17 (Debian, Ubuntu: apt-get install openjdk-17-jre-headless; macOS: brew "
    "install openjdk@17)"
)
_VERSION = re.compile(r'version "?(\d+)(?:\.(\d+))?([^"\s]*)"?')
_ANSWER_TIMEOUT_S = 20


@dataclass(frozen=True)
class Java:
    """A Java that was found.

    Attributes:
        command: the `java` that Spark would run.
        version: as it names itself, such as `17.0.15`.
        release: the number that matters, such as 17 (8 for `1.8.0_392`).
    """

    command: Path
    version: str
    release: int


def check_java() -> None:
    """Returns if Spark would find a Java that it can run on.

    Runs on: driver.

    Raises:
        SetupError: no Java, one that is too old, or a `JAVA_HOME` that leads nowhere; one sentence.
    """
    find_java(os.environ)


def find_java(environ: Mapping[str, str]) -> Java:
    """The Java that Spark's scripts would start in this environment.

    Raises:
        SetupError: there is none, it does not answer, or it is older than Java 17.
    """
    home = environ.get("JAVA_HOME", "")
    command = _from_home(Path(home)) if home else _from_path(environ.get("PATH", ""))
    version = _released_version(command) or _asked_version(command)
    release = release_number(version)
    if release < OLDEST:
        raise SetupError(
            f"Java {version} ({command}) is too old: Spark 4 needs Java 17 or newer",
            hint=_install_hint(home),
        )
    return Java(command, version, release)


def _install_hint(home: str) -> str:
    return _INSTALL + (", and let JAVA_HOME name its folder" if home else "")


def _from_home(home: Path) -> Path:
    command = home / "bin" / "java"
    hint = (
        "unset JAVA_HOME to use the java on PATH, or let it name the folder that holds "
        f"bin/java; else {_INSTALL}"
    )
    if not home.is_dir():
        raise SetupError(f"JAVA_HOME is {home}, which is not a folder", hint=hint)
    if not command.is_file():
        raise SetupError(f"JAVA_HOME is {home}, which holds no bin/java", hint=hint)
    if not os.access(command, os.X_OK):
        raise SetupError(f"JAVA_HOME is {home}, whose bin/java may not be executed", hint=hint)
    return command


def _from_path(path: str) -> Path:
    found = shutil.which("java", path=path)
    if found is None:
        raise SetupError(
            "Java was not found: JAVA_HOME is not set, and there is no java on PATH", hint=_INSTALL
        )
    return Path(found)


def _released_version(command: Path) -> str | None:
    """Version from the `release` file of the JDK that the command belongs to; None if there is no
    such file.
    """
    # `java` on PATH is often a link into the JDK; a launcher script of a version switcher is not,
    # and is asked instead.
    try:
        text = (command.resolve().parent.parent / "release").read_text(
            encoding="utf-8", errors="replace"
        )
    except OSError:
        return None
    match = re.search(r'^JAVA_VERSION="?([0-9][^"\s]*)"?', text, re.MULTILINE)
    return match[1] if match else None


def _asked_version(command: Path) -> str:
    hint = f"run `{command} -version` to see what it says; else {_INSTALL}"
    try:
        done = subprocess.run(
            [str(command), "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{command} could not be run: {_reason(error)}", hint=hint) from error
    said = (done.stderr + done.stdout).strip()
    match = _VERSION.search(said)
    if done.returncode != 0 or match is None:
        first = said.splitlines()[0] if said else "nothing"
        raise SetupError(f"{command} -version failed (exit {done.returncode}): {first}", hint=hint)
    return match[0].removeprefix("version").strip().strip('"')


def _reason(error: OSError | subprocess.TimeoutExpired) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer within {_ANSWER_TIMEOUT_S} s"
    return error.strerror or str(error)


def release_number(version: str) -> int:
    """The release of a version text: 17 of `17.0.15`, 8 of `1.8.0_392`, 22 of `22-ea`; 0 where
    there is no number.
    """
    match = re.match(r"(\d+)(?:\.(\d+))?", version)
    if match is None:
        return 0
    return int(match[2]) if match[1] == "1" and match[2] else int(match[1])


def main() -> int:
    """`python -m batchinfer.java`: what `make` asks before it downloads anything; needs the
    standard library only.
    """
    try:
        check_java()
    except SetupError as error:
        sys.stderr.write(
            f"batchinfer: {error}" + (f"\nHint: {error.hint}" if error.hint else "") + "\n"
        )
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
