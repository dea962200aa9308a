"""Which rows a model is validated on: a share of their keys, or the latest by a column."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchinfer.contracts import DataFile
from batchinfer.errors import InputError
from batchinfer.inference.splits import split_files
from batchinfer.pipeline.slices.reading import SliceSplit
from batchinfer.pipeline.training.validation import (
    ValidationRule,
    choose_validation,
    order_numbers,
)

from ..one_process import OneProcess

START = dt.datetime(2026, 11, 21, tzinfo=dt.timezone.utc)


def chosen(folder: Path, times: list[Any], labels: list[str | None], share: float) -> Any:
    """The rule that is found over files of ten rows, and the rows as one batch."""
    table = pa.table({"at": times, "y": pa.array(labels, pa.string())})
    files = []
    for start in range(0, len(table), 10):
        path = folder / f"{start}.parquet"
        pq.write_table(table.slice(start, 10), path)
        files.append(DataFile(path.name, path.stat().st_size, 10))
    params = {"validation_by": "at", "validation_share": share}
    splits = [SliceSplit(split) for split in split_files(str(folder), files, 2)]
    spark: Any = OneProcess()
    return choose_validation(params, spark, splits, "y"), table.combine_chunks().to_batches()[0]


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_latest_rows_are_validated_on_in_whatever_order_they_lie(
    tmp_path: Path, share: float
) -> None:
    hours = np.random.default_rng(3).permutation(40)
    times = [START + dt.timedelta(hours=int(hour)) for hour in hours]
    rule, batch = chosen(tmp_path, times, ["a"] * 40, share)
    validated = rule.validated(batch, np.zeros(40, np.uint64))
    assert sorted(hours[validated]) == list(range(40 - int(40 * share), 40))
    assert rule.columns == ("at",)


def test_rows_without_a_label_do_not_move_the_border(tmp_path: Path) -> None:
    times = [START + dt.timedelta(hours=hour) for hour in range(40)]
    labels = [None if hour >= 20 else "a" for hour in range(40)]
    rule, batch = chosen(tmp_path, times, labels, 0.25)
    labelled = rule.validated(batch, np.zeros(40, np.uint64))[:20]
    assert np.flatnonzero(labelled).tolist() == [15, 16, 17, 18, 19]


def test_a_column_without_values_in_labelled_rows_is_refused(tmp_path: Path) -> None:
    times = pa.array([None] * 10, pa.timestamp("us"))
    with pytest.raises(InputError, match="column at has no value in a row with a label"):
        chosen(tmp_path, times, ["a"] * 10, 0.1)


def test_a_share_of_the_keys_is_validated_on() -> None:
    hashes = np.random.default_rng(1).integers(0, 2**64, 100_000, np.uint64)
    rule = ValidationRule(0.2)
    batch = pa.record_batch({"x": np.zeros(len(hashes))})
    assert rule.columns == () and abs(rule.validated(batch, hashes).mean() - 0.2) < 0.005
    assert not ValidationRule(0.0).validated(batch, hashes).any()


def test_order_numbers_keep_the_order_of_times_to_the_microsecond() -> None:
    times = [START, START + dt.timedelta(microseconds=1), None, START - dt.timedelta(days=400)]
    found = order_numbers(pa.array(times, pa.timestamp("ns", tz="UTC")))
    assert found[3] < found[0] < found[1] and np.isnan(found[2])
    days = order_numbers(pa.array([dt.date(1969, 12, 31), dt.date(1970, 1, 2)]))
    assert days[0] < 0 < days[1]
