"""An index of published rows whose `staging` is a bucket: tasks write it there, and each worker
reads a copy of its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from s3.test_store_commits import keys

from batchinfer.lake.table_places import open_filesystem
from batchinfer.pipeline.reuse.carried_rows import open_index
from batchinfer.pipeline.reuse.known_index import (
    AnsweringModel,
    IndexPlan,
    KnownIndex,
    PartFiles,
    build_part,
    remove_files,
)


def prints(number: int) -> bytes:
    return np.array([number * 2**59, number], "<u8").tobytes()


def test_an_index_is_read_from_a_bucket_and_gone_after_the_run(lake: str, tmp_path: Path) -> None:
    table = pa.table(
        {
            "input_fingerprint": [prints(n) for n in range(10)],
            "bundle_digest": ["d"] * 10,
            "model_name": ["m"] * 10,
            "model_version": ["1"] * 10,
            "source_table": ["t"] * 10,
            "source_version": [3] * 10,
            "run_id": ["run-1"] * 10,
            "scored_at": pa.array([0] * 10, pa.timestamp("us", tz="UTC")),
            "score": [n / 2 for n in range(10)],
        }
    )
    filesystem, root = open_filesystem(f"{lake}/predictions")
    for number in range(2):
        with filesystem.open_output_stream(f"{root}/{number}.parquet") as sink:
            pq.write_table(table.slice(5 * number, 5), sink)
    place, other = f"{lake}/reuse", f"{lake}/reuse/part-run-8-x.arrow"
    plan = IndexPlan(
        f"{lake}/predictions", AnsweringModel("d", {"score": "double"}), place, "run-9"
    )
    files = ["0.parquet"], ["1.parquet"]
    built = [one for paths in files for one in build_part(plan, PartFiles(tuple(paths)))]
    index = KnownIndex(place, tuple(one.file for one in built), sum(one.rows for one in built))
    known = open_index(index)
    assert open_index(index) is known, "it is copied once"
    at = known.find(pa.array([prints(7), prints(20), prints(1)], pa.binary()))
    assert (at >= 0).tolist() == [True, False, True]
    found = known.predictions(at[[0, 2]], {"score": pa.float64()})
    assert found["score"].to_pylist() == [3.5, 0.5]
    filesystem, path = open_filesystem(other)
    with filesystem.open_output_stream(path) as sink:
        sink.write(b"of another run")
    assert len(keys(lake)) == 5
    remove_files(place, "run-9")
    assert {key.rpartition("/")[2] for key in keys(lake)} == {
        "0.parquet",
        "1.parquet",
        "part-run-8-x.arrow",
    }
