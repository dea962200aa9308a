"""Which Java is found, with real folders and real executables."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchinfer.errors import SetupError
from batchinfer.java import check_java, find_java, release_number


def make_java(home: Path, release: str | None = None, says: str = "", exit_code: int = 0) -> Path:
    """A folder such as a JDK's: `bin/java` that answers as told, and a `release` file where one is
    given.
    """
    command = home / "bin" / "java"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{says}\nEND\nexit {exit_code}\n")
    command.chmod(0o755)
    if release is not None:
        (home / "release").write_text(f'IMPLEMENTOR="X"\nJAVA_VERSION="{release}"\n')
    return command


def refusal(environ: dict[str, str]) -> SetupError:
    with pytest.raises(SetupError) as caught:
        find_java(environ)
    assert caught.value.exit_code == 2
    assert len(caught.value.problems) == 1 and "\n" not in caught.value.problems[0]
    return caught.value


def test_java_home_goes_before_the_path_and_is_not_run(tmp_path: Path) -> None:
    command = make_java(tmp_path / "jdk", "17.0.15", says="must not be asked", exit_code=1)
    make_java(tmp_path / "old", "11.0.2")
    java = find_java({"JAVA_HOME": str(tmp_path / "jdk"), "PATH": str(tmp_path / "old" / "bin")})
    assert (java.command, java.version, java.release) == (command, "17.0.15", 17)


def test_a_link_on_the_path_leads_to_the_release_file(tmp_path: Path) -> None:
    command = make_java(tmp_path / "jdk", "21.0.1", exit_code=1)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(command)
    assert find_java({"PATH": str(tmp_path / "bin")}).release == 21
    assert find_java({"PATH": str(tmp_path / "bin"), "JAVA_HOME": ""}).release == 21


@pytest.mark.parametrize(
    ("says", "release"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime', 17),
        ('openjdk version "22-ea" 2024-03-19', 22),
        ("openjdk 21 version 21", 21),
    ],
)
def test_without_a_release_file_java_is_asked(tmp_path: Path, says: str, release: int) -> None:
    make_java(tmp_path, says=says)
    assert find_java({"JAVA_HOME": str(tmp_path)}).release == release


@pytest.mark.parametrize(
    ("release", "says"), [("11.0.2", ""), ("1.8.0_392", ""), (None, 'java version "1.8.0_392"')]
)
def test_too_old_a_java_is_named_with_what_to_install(
    tmp_path: Path, release: str | None, says: str
) -> None:
    make_java(tmp_path, release, says)
    error = refusal({"JAVA_HOME": str(tmp_path)})
    assert "is too old: Spark 4 needs Java 17 or newer" in error.problems[0]
    assert "install Java 17" in str(error.hint)


def test_java_home_that_leads_nowhere(tmp_path: Path) -> None:
    assert "is not a folder" in refusal({"JAVA_HOME": str(tmp_path / "gone")}).problems[0]
    assert "holds no bin/java" in refusal({"JAVA_HOME": str(tmp_path)}).problems[0]
    file = tmp_path / "file"
    file.write_text("")
    assert "is not a folder" in refusal({"JAVA_HOME": str(file)}).problems[0]


def test_a_java_that_may_not_be_executed(tmp_path: Path) -> None:
    make_java(tmp_path, "17.0.1").chmod(0o644)
    assert "may not be executed" in refusal({"JAVA_HOME": str(tmp_path)}).problems[0]


def test_no_java_at_all(tmp_path: Path) -> None:
    error = refusal({"PATH": str(tmp_path)})
    assert "Java was not found" in error.problems[0] and "install Java 17" in str(error.hint)


def test_a_java_that_breaks_or_babbles(tmp_path: Path) -> None:
    make_java(tmp_path / "broken", says="libjli.so: cannot open shared object file", exit_code=127)
    assert (
        "failed (exit 127): libjli.so"
        in refusal({"JAVA_HOME": str(tmp_path / "broken")}).problems[0]
    )
    make_java(tmp_path / "babble", says="hello")
    assert "failed (exit 0): hello" in refusal({"JAVA_HOME": str(tmp_path / "babble")}).problems[0]
    (make_java(tmp_path / "binary")).write_bytes(b"\x7fELFnot really")
    assert "could not be run" in refusal({"JAVA_HOME": str(tmp_path / "binary")}).problems[0]


def test_check_java_reads_the_environment_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_java(tmp_path / "jdk", "17.0.15")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    check_java()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    with pytest.raises(SetupError):
        check_java()


@pytest.mark.parametrize(
    ("text", "number"),
    [("17.0.15", 17), ("1.8.0_392", 8), ("22-ea", 22), ("9", 9), ("1", 1), ("x", 0), ("", 0)],
)
def test_release_numbers(text: str, number: int) -> None:
    assert release_number(text) == number


def test_make_asks_for_java_with_the_standard_library_alone(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    source = Path(__file__).parents[2] / "src"
    bare = [sys.executable, "-S", "-m", "batchinfer.java"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(source)}
    wrong = subprocess.run(
        bare,
        env=environment | {"JAVA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "JAVA_HOME" in wrong.stderr and "Traceback" not in wrong.stderr
    here = {name: value for name, value in os.environ.items() if name == "JAVA_HOME"}
    assert subprocess.run(bare, env=environment | here, check=False).returncode == 0
