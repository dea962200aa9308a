"""One build's runs for `benchmarks.incremental`: reads a word a line, does it, and writes what it
took.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.incremental import DAY
from benchmarks.workloads import WIDTH, Net

_PIPELINE = """\
name: bench
source: {kind: delta, path: ../table, key: key, slice: {column: day, unit: day}}
model: {uri: "models:/bench@champion"}
sink: {table: predictions/bench}
"""


def main() -> int:
    """Says of each word what the run took; ends with its input."""
    folder, hidden = Path(sys.argv[1]), int(sys.argv[2])
    answers, sys.stdout = sys.stdout, sys.stderr
    runs = Runs(folder, hidden)
    for word in map(str.strip, sys.stdin):
        print(json.dumps(runs.do(word)), file=answers, flush=True)
    runs.spark.stop()
    return 0


class Runs:
    """A project of this build on the table beside its folder."""

    def __init__(self, folder: Path, hidden: int) -> None:
        import safetensors.torch

        import batchinfer
        from batchinfer.config.loader import load_state
        from batchinfer.spark.session import open_session

        self.pipeline = folder / "conf/pipelines/bench.yaml"
        self.pipeline.parent.mkdir(parents=True)
        self.pipeline.write_text(_PIPELINE)
        self.spark = open_session(load_state("local")[0].spark, "benchmark")
        self.land()
        torch.manual_seed(0)
        weights = folder / "net.safetensors"
        safetensors.torch.save_file(Net(hidden=hidden).state_dict(), str(weights))
        described = {
            "class": "benchmarks.workloads:Net",
            "arguments": {"features": WIDTH, "outputs": 1, "hidden": hidden},
        }
        weights.with_suffix(".json").write_text(json.dumps(described))
        batchinfer.register(str(self.pipeline), str(weights))

    def do(self, word: str) -> dict[str, Any]:
        """Scores what is stale (`begin`, `changed`), or all rows (`full`)."""
        if word == "changed":
            self.land()
        return self.score(force=word == "full")

    def land(self) -> None:
        from batchinfer.pipeline.definition.context import Context
        from batchinfer.pipeline.extract import extract_source

        extract_source(Context.open(str(self.pipeline)), None, lambda: self.spark)

    def score(self, force: bool) -> dict[str, Any]:
        from batchinfer.pipeline.definition.context import Context
        from batchinfer.pipeline.score import score_slice

        # It is recorded: the next run knows the batch size and how fast the model is.
        context = Context.open(str(self.pipeline))
        report = score_slice(context, DAY, lambda: self.spark, force=force)
        stages = report.stage_seconds
        return {
            "seconds": round(report.seconds - stages["session"], 3),
            "model_s": round(sum(stages[name] for name in ("encode", "forward", "decode")), 3),
            "rows_scored": report.rows_scored,
            "rows_reused": report.rows_reused,
            "reuse": getattr(report, "reuse", ""),
            "stages": {name: seconds for name, seconds in stages.items() if seconds},
        }


if __name__ == "__main__":
    raise SystemExit(main())
