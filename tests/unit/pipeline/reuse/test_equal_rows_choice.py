"""Whether equal rows of a whole run are brought together: judged from a sample of their
first rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchinfer.contracts import DataFile
from batchinfer.errors import ConfigError
from batchinfer.inference.split_reading import Split
from batchinfer.inference.splits import plan_splits
from batchinfer.pipeline.reuse.equal_rows_choice import Decision, decide
from batchinfer.pipeline.slices.reading import SliceSplit

ROWS = 20_000
EACH = np.arange(ROWS)


@pytest.mark.parametrize(
    ("columns", "exchange", "reason"),
    [
        ([EACH] * 10, False, "no two of a sample of 20,000 rows are equal"),
        (
            [EACH * 0] * 4 + [EACH] * 6,
            False,
            "lets expect 20,000 distinct rows of 20,000; scoring each once saves about 0 s",
        ),
        (
            [EACH % 100] * 10,
            True,
            "lets expect 100 distinct rows of 20,000; scoring each once saves about 19900 s",
        ),
        ([EACH, EACH], False, "lets expect 20,000 distinct rows of 20,000"),
    ],
    ids=[
        "wide and distinct",
        "distinct beyond the first columns",
        "wide and equal",
        "narrow and distinct",
    ],
)
def test_a_sample_says_whether_it_pays(
    columns: list[np.ndarray], exchange: bool, reason: str, tmp_path: Path
) -> None:
    names = [f"c{place}" for place in range(len(columns))]
    files = []
    for number in range(4):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table([column[number::4] for column in columns], names), path)
        files.append(DataFile(str(path), path.stat().st_size, ROWS // 4))
    # A model that takes a second a row: whatever there is to save is worth it.
    splits = [SliceSplit(split) for split in plan_splits(files, 4, smallest_bytes=1)]
    decision = decide(splits, names, 1.0, "auto", 4, "place")
    assert (decision.exchange, reason in decision.reason) == (exchange, True), decision.reason


def test_rows_meet_nowhere_without_a_folder_that_workers_see() -> None:
    splits = [SliceSplit(Split((), 1_000_000, 1))]
    why = "workers cannot open the environment's `staging` folder without Spark"
    assert decide(splits, ["x"], 1.0, "auto", 2, None) == Decision(
        False, f"only inside batches: {why}"
    )
    assert not decide(splits, ["x"], 1.0, "never", 2, None).exchange
    assert decide(splits, ["x"], 1.0, "always", 2, "place").exchange
    with pytest.raises(ConfigError) as raised:
        decide(splits, ["x"], 1.0, "always", 2, None)
    told = f"model.deduplicate: got always, but {why}; allowed: auto, never"
    assert raised.value.problems == (told,)
