"""Standard output is the JSON line alone, whatever a model prints, wherever it runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.commands import DAY, Project, Result

# More than are scored beside the driver.
ROWS = 3_000
PIPELINE = """\
name: loud
source: {kind: csv, path: in/*.csv, schema: {id: int, size: double}, key: id, slice: ingest_date}
model: {uri: "models:/loud@champion"}
sink: {table: predictions/loud}
"""
HANDLER = """\
import os
import pyarrow as pa
import batchinfer

print("said at the import")


class Doubled(batchinfer.Handler):
    output = {"double": "double"}

    def encode(self, batch):
        os.write(1, b"said to the operating system\\n")
        return {"size": batch.column("size").to_pylist()}

    def forward(self, tensors):
        print("said by forward", flush=True)
        os.system("echo said by a child")
        return [size * 2 for size in tensors["size"]]

    def decode(self, output):
        return {"double": pa.array(output)}
"""


@pytest.fixture
def loud(project: Project) -> Project:
    project.write("conf/pipelines/loud.yaml", PIPELINE)
    project.write("loud_handlers.py", HANDLER)
    rows = "".join(f"{n},{n}.5\n" for n in range(ROWS))
    project.write("in/a.csv", f"id,size\n{rows}")
    return project


def test_a_model_that_prints(loud: Project) -> None:
    def told(done: Result, *said: str) -> Result:
        assert done.code == 0, done.stderr
        assert len(done.stdout.splitlines()) == 1
        for words in said:
            assert words in done.stderr
        return done

    told(loud.run("extract", "-p", "loud", "--slice", DAY))
    path = {"PYTHONPATH": f"{loud.root}:{Path(__file__).parents[2] / 'src'}"}
    register = ("register", "-p", "loud", "--artifact", "loud_handlers:Doubled")
    told(loud.run(*register, **path), "said at the import")
    everything = ("said by forward", "said to the operating system", "said by a child")
    scored = told(loud.run("score", "-p", "loud", "--slice", DAY, **path), *everything)
    assert scored.json["rows_scored"] == ROWS
    submit = str(Path(__file__).parents[2] / "spark-submit.sh")
    job = ["bash", submit, "jobs/score.py", "-p", "loud", "--slice", DAY, "--force"]
    submitted = told(loud.execute(job, **path), *everything)
    assert submitted.json["status"] == "published"
