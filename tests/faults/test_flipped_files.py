"""Five hundred flipped bits in a landed and in a published file, each read by every road that a
user has: it is told with exit 3 and the name of the file, or the values are those that were
written.

Part of `make faults`: it takes twenty minutes. FLIPS=20 tries fewer, SEED=7 others.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from spark.projects import DAY, SmallProject

from batchinfer.command import run_command
from batchinfer.lake.snapshots import snapshot_files
from batchinfer.lookups import keyed_snapshots
from batchinfer.pipeline.damaged_files import look_deep
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.lookup import lookup_keys
from batchinfer.pipeline.status import pipeline_status

FLIPS, SEED = int(os.environ.get("FLIPS", "250")), int(os.environ.get("SEED", "22"))
ROWS = 2_500
PIPELINE = """\
name: small
source:
  kind: csv
  path: in/*.csv
  schema: {id: long, color: string, size: double, at: timestamp, is_new: boolean, big: string}
  key: id
  slice: ingest_date
features:
  - standardize: {columns: size}
  - one_hot: {columns: color}
train:
  target: {column: big, positive: ["yes"]}
  params: {hidden: [4], epochs: 1, seed: 1}
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/small}
"""
JOINING = PIPELINE.replace("small", "joining").replace(
    "features:\n",
    "prepare:\n  - join: {table: predictions/small, on: id, columns: [score], prefix: first_}\n"
    "features:\n  - standardize: {columns: first_score}\n",
)
# What a command says: its exit code, the fields of its JSON line, and the values that it read.
Road = Callable[[SmallProject], tuple[int, dict[str, Any], Any]]


@dataclass
class Joining(SmallProject):
    """The same rows in a pipeline that joins the predictions of the first one."""

    def context(self, *overrides: str) -> Context:
        return Context.open(str(self.root / "conf/pipelines/joining.yaml"), "local", overrides)

    def table(self, kind: str) -> pa.Table:
        return DeltaTable(str(self.root / "var/lake" / kind / "joining")).to_pyarrow_table()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallProject]:
    """A published slice; the commands run in this process, on one session."""
    from batchinfer.config.environment import SparkSettings
    from batchinfer.spark.session import open_session

    root = tmp_path_factory.mktemp("flipped")
    conf = {
        "spark.ui.enabled": False,
        "spark.sql.shuffle.partitions": 2,
        "spark.databricks.delta.snapshotPartitions": 2,
        "spark.sql.codegen.wholeStage": False,
    }
    spark = open_session(SparkSettings(master="local[2,1]", conf=conf), "flips")
    spark.sparkContext.setLogLevel("OFF")
    project = SmallProject(root, lambda: spark)
    project.write("conf/pipelines/small.yaml", PIPELINE)
    numbers = random.Random(SEED)
    lines = [
        f"{n},{('red', 'blue', 'green')[n % 3]},{numbers.gauss(0, 1):.6f},"
        f"2026-11-{n % 28 + 1:02d} 10:00:00,{n % 2 == 0},{('no', 'yes')[n % 5 == 0]}\n"
        for n in range(ROWS)
    ]
    project.write("in/a.csv", "id,color,size,at,is_new,big\n" + "".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BATCHINFER_HOME", raising=False)
        project.extract()
        project.train()
        project.score()
        project.write("conf/pipelines/joining.yaml", JOINING)
        other = Joining(root, lambda: spark)
        other.extract()
        other.train()
        yield project
    spark.stop()


def file_of(project: SmallProject, table: str) -> Path:
    """The one file of the slice, as the table's log has it now."""
    place = Path(project.context().environment.lake) / table / "small"
    [file] = snapshot_files(str(place))
    return place / file.path


def told(work: Callable[[], Any]) -> tuple[int, dict[str, Any]]:
    """A command's exit code and JSON line, whatever happens in it."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = run_command(work)
    return code, json.loads(out.getvalue().splitlines()[-1])


def scored_by(road: str) -> Road:
    def score(project: SmallProject) -> tuple[int, dict[str, Any], Any]:
        chosen = f"model.road={road}"
        code, line = told(lambda: project.score(DAY, chosen, force=True))
        return code, line, None if code else project.predictions()

    return score


def deep(project: SmallProject) -> tuple[int, dict[str, Any], Any]:
    code, line = told(lambda: look_deep(project.context()))
    return code, line, line["files"]


def looked_up(project: SmallProject) -> tuple[int, dict[str, Any], Any]:
    keyed_snapshots._cache.clear()
    found: list[Any] = []

    def look() -> dict[str, Any]:
        found.extend(lookup_keys(project.context(), [{"id": n} for n in range(ROWS)]))
        return {}

    code, line = told(look)
    return code, line, found


def scored_again(project: SmallProject) -> tuple[int, dict[str, Any], Any]:
    """Without --force there is nothing to do; the file's lineage says so."""
    code, line = told(project.score)
    return code, line, line["status"]


def stated(project: SmallProject) -> tuple[int, dict[str, Any], Any]:
    code, line = told(lambda: pipeline_status(project.context()))
    return code, line, line.get("slices")


def joined(project: SmallProject) -> tuple[int, dict[str, Any], Any]:
    """By another pipeline, which joins the predictions: Spark reads them."""
    other = Joining(project.root, project.open_session)
    code, line = told(lambda: other.score(DAY, force=True))
    return code, line, None if code else other.predictions()


# Of which table's file a bit is flipped, how it is read, and of how many flips one is: the pandas
# road and a join read as the arrow road does.
ROADS: dict[str, tuple[str, Road, int]] = {
    "score, direct": ("landed", scored_by("direct"), 1),
    "score, arrow": ("landed", scored_by("arrow"), 1),
    "score, pandas": ("landed", scored_by("pandas"), 5),
    "doctor --deep, landed": ("landed", deep, 1),
    "doctor --deep, published": ("predictions", deep, 1),
    "lookup": ("predictions", looked_up, 1),
    "score, up to date": ("predictions", scored_again, 1),
    "status": ("predictions", stated, 1),
    "score, joined": ("predictions", joined, 5),
}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("road", ROADS)
def test_each_flip_is_told_or_the_values_are_what_was_written(
    project: SmallProject, road: str
) -> None:
    table, read, share = ROADS[road]
    file = file_of(project, table)
    code, line, wanted = read(project)
    assert code == 0, line
    written = file.read_bytes()
    numbers = random.Random(SEED)
    counts: Counter[str] = Counter()
    faults: list[str] = []
    try:
        for _ in range(FLIPS // share):
            place, bit = numbers.randrange(len(written)), numbers.randrange(8)
            flipped = bytearray(written)
            flipped[place] ^= 1 << bit
            file.write_bytes(flipped)
            code, line, values = read(project)
            if code == 3 and file.name in " ".join(line["errors"]):
                counts["told"] += 1
            elif code == 0 and values == wanted:
                counts["equal"] += 1
            else:
                counts["silent" if code == 0 else f"exit {code}"] += 1
                said = str(line)[:500]
                faults.append(f"byte {place} of {len(written)}, bit {bit}: exit {code}, {said}")
    finally:
        file.write_bytes(written)
    print(f"\n{road}: {FLIPS // share} flips: {dict(counts)}", file=sys.__stderr__)
    assert not faults, "\n".join(faults[:5])
