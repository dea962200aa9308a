"""The part of set-up that pip cannot do: jars (Delta, drivers of databases), the JVM's class-data
archive, an empty registry, byte code.

    batchinfer setup                # or, as make calls it: python -m batchinfer.install

Owns what a fresh virtual environment lacks to start a session quickly and without resolving
anything. Jars and archive go into the environment itself, so that every Spark started from it has
them: scripts, notebooks, spark-submit, local clusters.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from batchinfer.errors import SetupError, StorageError
from batchinfer.hints import CommandLine, Hint
from batchinfer.java import check_java
from batchinfer.models.mlflow_client import empty_registry, make_empty_registry
from batchinfer.spark.session import class_archive, spark_home

PACKAGES = (
    "io.delta:delta-spark_4.1_2.13:4.4.0",
    "org.postgresql:postgresql:42.7.14",
    "org.xerial:sqlite-jdbc:3.54.1.0",
)
# One line a jar: its SHA-256 and its name. What Ivy brings and this list does not know is refused.
_LOCK = Path(__file__).with_name("jars.lock")

# What every command does: a session, a Python worker that returns Arrow batches, a Delta write and
# read.
_WARM_UP = """
import sys
from batchinfer.config.environment import SparkSettings
from batchinfer.spark.session import open_session
archive, table = sys.argv[1:]
conf = {"spark.ui.enabled": False, "spark.sql.shuffle.partitions": 2}
options = {"spark.driver.extraJavaOptions": f"-XX:ArchiveClassesAtExit={archive} -Xlog:disable"}
spark = open_session(SparkSettings(master="local[2]", conf=conf), "class-data archive", options)
columns = ["id", "cast(id as string) as slice", "id / 2 as half", "current_timestamp() as at"]
frame = spark.range(1000).selectExpr(*columns)
frame.mapInArrow(lambda batches: batches, frame.schema).write.format("delta").save(table)
written = spark.read.format("delta").load(table)
written.groupBy("slice").count().where("count > 1").collect()
written.selectExpr("min(id)", "max(half)", "approx_count_distinct(slice)").collect()
spark.stop()
"""


@dataclass(frozen=True)
class Installed:
    """What set-up has done.

    Attributes:
        jars_added: jars that Spark lacked.
        archive_made: the class-data archive was missing.
        registry_made: the empty registry that new projects begin with was missing.
        jars: the folder of Spark's jars.
        archive: the class-data archive.
    """

    jars_added: int
    archive_made: bool
    registry_made: bool
    jars: Path
    archive: Path

    def to_json(self) -> dict[str, Any]:
        """The JSON line of `setup`."""
        is_new = self.jars_added or self.archive_made or self.registry_made
        done = "ready" if is_new else "unchanged"
        places = {"jars": str(self.jars), "archive": str(self.archive)}
        return {"status": done, **asdict(self), **places}


def locked_jars() -> dict[str, str]:
    """SHA-256 of each jar that Spark needs besides its own, by file name."""
    lines = (
        line.split() for line in _LOCK.read_text().splitlines() if line and not line.startswith("#")
    )
    return {name: digest for digest, name in lines}


def missing_jars(folder: Path) -> list[str]:
    """Names of the locked jars that the folder lacks."""
    return [name for name in locked_jars() if not (folder / name).is_file()]


def install_jars() -> int:
    """Brings the locked jars into Spark's own jar folder; returns how many were added.

    Spark's resolver (Ivy) fetches them once; jars that Spark ships itself are left out.

    Raises:
        SetupError: the resolver failed, or a jar is not the one that is locked.
    """
    folder = spark_home() / "jars"
    missing = missing_jars(folder)
    if not missing:
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        fetched = _resolve(Path(scratch))
        for name in missing:
            if name not in fetched:
                raise SetupError(
                    f"jar {name} was not among those that {', '.join(PACKAGES)} brought: "
                    f"{', '.join(sorted(fetched))}"
                )
            digest = hashlib.sha256(fetched[name].read_bytes()).hexdigest()
            if digest != locked_jars()[name]:
                raise SetupError(
                    f"jar {name}: got SHA-256 {digest}; allowed: {locked_jars()[name]} ({_LOCK})"
                )
            # A rename, so that an interrupted set-up never leaves half a jar.
            partial = folder / f".{name}.partial"
            shutil.copyfile(fetched[name], partial)
            partial.rename(folder / name)
    return len(missing)


def _resolve(scratch: Path) -> dict[str, Path]:
    """Runs an empty script with `--packages`; returns the jars by file name without the
    organisation's prefix.
    """
    script = scratch / "nothing.py"
    script.write_text("")
    command = [str(spark_home() / "bin" / "spark-submit"), "--packages", ",".join(PACKAGES)]
    command += ["--conf", "spark.ui.enabled=false", str(script)]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    places = re.search(r"The jars for the packages stored in: (.*)", done.stdout + done.stderr)
    if done.returncode != 0 or places is None:
        raise SetupError(
            f"the jars ({', '.join(PACKAGES)}) could not be resolved: "
            f"{done.stderr.strip().splitlines()[-1:] or 'no message'}",
            hint=Hint("check the network, then: ", CommandLine("batchinfer setup")),
        )
    jars = Path(places[1].strip()).glob("*.jar")
    # Ivy calls them organisation_artifact-version.jar.
    return {jar.name.partition("_")[2]: jar for jar in jars}


def install_archive() -> bool:
    """Makes the class-data archive by running a small workload once; False if it is there
    already.
    """
    archive = class_archive()
    if archive.is_file():
        return False
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "classes.jsa"
        command = [sys.executable, "-c", _WARM_UP, str(made), f"{scratch}/table"]
        done = subprocess.run(
            command, env=_environment(), capture_output=True, text=True, check=False
        )
        if done.returncode != 0 or not made.is_file():
            raise SetupError(
                f"the class-data archive could not be made:\n{done.stderr.strip()[-2000:]}"
            )
        shutil.move(made, archive)
    return True


def _environment() -> dict[str, str]:
    own = {
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_HOME": str(spark_home()),
    }
    return {**os.environ, **own, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def set_up() -> Installed:
    """Runs all steps, each only where its result is missing, and says on stderr what each has done.

    Runs on: the machine that will be the driver.

    Raises:
        SetupError: no usable Java, no network, a jar that is not the locked one, or Spark does not
            start.
        StorageError: the environment cannot be written to.
    """
    check_java()
    # An editable installation is compiled by nobody else where PYTHONDONTWRITEBYTECODE is set, as
    # containers often do.
    compileall.compile_dir(Path(__file__).parent, quiet=2)
    added = install_jars()
    if added:
        print(f"Delta and drivers of databases: {added} jars added to Spark's own", file=sys.stderr)
        class_archive().unlink(missing_ok=True)
    made = install_archive()
    if made:
        size = class_archive().stat().st_size / 2**20
        print(f"class-data archive: {size:.0f} MiB, halves the start of the JVM", file=sys.stderr)
    registry_made = make_empty_registry()
    if registry_made:
        print(f"{empty_registry()}: new projects begin with it", file=sys.stderr)
    return Installed(added, made, registry_made, spark_home() / "jars", class_archive())


def main() -> int:
    """Sets up, as make does it; the exit code."""
    try:
        set_up()
    except (SetupError, StorageError) as error:
        print(
            f"batchinfer: {error}" + (f"\nHint: {error.hint}" if error.hint else ""),
            file=sys.stderr,
        )
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
