"""What `benchmarks.extract` reads: real rows and lines repeated to the wanted size, and the
projects that land them.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DATA = Path(__file__).parents[1] / "examples/data"
_MEGABYTE = 10**6
COMBINED = re.compile(
    rb'^(\S+) (\S+) (\S+) \[([^\]]*)\] "((?:[^"\\]|\\.)*)" (\S+) (\S+) "((?:[^"\\]|\\.)*)" '
    rb'"((?:[^"\\]|\\.)*)"$'
)
ADULT = {
    "age": "int", "workclass": "string", "fnlwgt": "int", "education": "string",
    "education_num": "int", "marital": "string",
    "occupation": "string", "relationship": "string", "race": "string", "sex": "string",
    "capital_gain": "int",
    "capital_loss": "int", "hours": "int", "country": "string", "income": "string",
}  # fmt: skip
CSV = f"""\
source:
  kind: csv
  path: in/*.csv
  options: {{header: false, trim: true, null_values: ["?"]}}
  schema: {json.dumps(ADULT)}
"""
LOG = """\
source:
  kind: text_log
  path: in/*.log
  options: {format: combined}
"""
JSON = """\
source:
  kind: json
  path: in/*.json
  schema:
    id: {type: long, path: id}
    at: {type: string, path: created_at}
    text: {type: string, path: text}
    user: {type: long, path: user.id}
    name: {type: string, path: user.screen_name}
    followers: {type: int, path: user.followers_count}
    tag: {type: string, path: "entities.hashtags[0].text"}
"""
_REST = """\
features: [{standardize: {columns: %s}}]
train: {target: {column: %s, positive: ["x"]}, model: mlp_classifier}
model: {uri: "models:/bench@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/bench}
"""
_NUMBER_AND_TARGET = {
    "csv": ("age", "income"),
    "log": ("bytes", "user_agent"),
    "json": ("followers", "tag"),
}


class Project:
    """A project folder whose `extract` runs in this process, on a lake that is empty each time."""

    def __init__(self, root: Path, kind: str, source: str) -> None:
        self.root = root
        (root / "in").mkdir(parents=True)
        (root / "conf/pipelines").mkdir(parents=True)
        text = f"name: bench\n{source}{_REST % _NUMBER_AND_TARGET[kind]}"
        (root / "conf/pipelines/bench.yaml").write_text(text)

    def extract(self, spark: SparkSession) -> int:
        """Rows landed."""
        from batchinfer.pipeline.definition.context import Context
        from batchinfer.pipeline.extract import extract_source

        context = Context.open(str(self.root / "conf/pipelines/bench.yaml"), "local", [])
        return extract_source(context, "2026-01-01", lambda: spark).rows_landed

    def clear(self) -> None:
        """Forgets what was landed."""
        shutil.rmtree(self.root / "var", ignore_errors=True)


def csv_lines(bad_rate: float = 0.0) -> Iterator[bytes]:
    """Lines of the Adult data without end; of `bad_rate` of them a value, the number of fields or
    the encoding is wrong.
    """
    chance = random.Random(0)
    lines = [
        line
        for line in (DATA / "adult/adult_train.csv").read_bytes().splitlines(keepends=True)
        if line.count(b",") == 14
    ]
    spoil: list[Callable[[bytes], bytes]] = [
        lambda line: b"x" + line,
        lambda line: line.replace(b",", b"", 1),
        lambda line: line.replace(b" ", b" \xff", 1),
    ]
    while True:
        for line in lines:
            yield chance.choice(spoil)(line) if bad_rate and chance.random() < bad_rate else line


def log_lines() -> Iterator[bytes]:
    """Lines of an Apache log without end, all of the combined format."""
    lines = (DATA / "logs/access.log").read_bytes().splitlines(keepends=True)
    while True:
        yield from (line for line in lines if COMBINED.match(line))


def json_lines() -> Iterator[bytes]:
    """Nested status records without end."""
    chance = random.Random(0)
    words = (
        "batch",
        "rows",
        "scored",
        "table",
        "lake",
        "lookup",
        "slice",
        "model",
        "record",
        "backfill",
    )
    number = 0
    while True:
        number += 1
        record = {
            "id": number,
            "created_at": "Mon Apr 06 07:05:03 +0200 2015",
            "text": " ".join(chance.choices(words, k=12)),
            "user": {
                "id": number % 9973,
                "screen_name": f"user{number % 9973}",
                "followers_count": number % 512,
                "lang": "en",
            },
            "entities": {
                "hashtags": [{"text": chance.choice(words), "indices": [0, 5]}]
                if number % 3
                else [],
                "urls": [],
            },
            "retweet_count": number % 7,
        }
        yield json.dumps(record).encode() + b"\n"


def write_lines(path: Path, lines: Iterator[bytes], megabytes: float) -> int:
    """Writes lines up to a size; how many they are."""
    count, size = 0, 0
    with path.open("wb") as file:
        while size < megabytes * _MEGABYTE:
            line = next(lines)
            file.write(line)
            size += len(line)
            count += 1
    return count


def write_tiny_files(folder: Path, lines: Iterator[bytes], megabytes: float, files: int) -> int:
    """The same over many files; how many lines they are."""
    return sum(
        write_lines(folder / f"{number:05}.csv", lines, megabytes / files)
        for number in range(files)
    )
