"""Places of categories: hashes that never change, crosses, many distinct values."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from transform_cases import batch_of, fitted

from batchinfer.transforms.category_places import combined, hashes

# Changing any of these moves every hashed feature of every bundle: it needs a new version of
# `hashing` and `cross`.
GOLDEN_TEXT = [15480124129702343626, 9632248445451680882, 4245299670203427488, 3012898748006197707]
GOLDEN_INTEGER = [778860755400141486, 12061929287756718838, 7355428483730040906]
GOLDEN_BOOL = [15779520396620607129, 1695539116833864595]
GOLDEN_MISSING = 13013184759947573853
GOLDEN_PAIR = 13062804224779928103


def test_hashes_are_the_same_in_all_releases() -> None:
    golden = {
        "text": (["", "a", "é", "1"], GOLDEN_TEXT),
        "integer": ([1, -1, 2**62], GOLDEN_INTEGER),
        "bool": ([True, False], GOLDEN_BOOL),
    }
    for values, expected in golden.values():
        found = hashes(pa.array(values)).tolist()
        assert found == [*expected, GOLDEN_MISSING]
        assert len(set(found)) == len(found)
    assert hashes(pa.array([1], pa.int8())).tolist() == hashes(pa.array([1], pa.int64())).tolist()
    pair = hashes(pa.array(["a", "b"]))
    assert combined(pair[:1], pair[1:2]).tolist() == [GOLDEN_PAIR]
    assert combined(pair[1:2], pair[:1]).tolist() != [GOLDEN_PAIR]


def test_cross_reads_the_categories_behind_an_encoded_column() -> None:
    batch = batch_of(
        [{"text": left, "word": right} for left in ("a", "b", None) for right in ("a", "", None)]
    )
    cross = {"cross": {"columns": ["text", "word"], "buckets": 1000}}
    plain = fitted([cross], batch).apply(batch)["text_x_word"]
    encoded = fitted([{"one_hot": {"columns": ["text", "word"]}}, cross], batch).apply(batch)[
        "text_x_word"
    ]
    assert plain.equals(encoded)
    assert len({tuple(row) for row in plain.to_pylist()}) == 9


def test_many_distinct_categories_give_what_few_give() -> None:
    # Lookups and crosses take another road where a batch has many distinct values; the matrix is
    # written in blocks.
    data = [
        {"text": f"t{row % 90}", "word": f"w{row % 70}", "whole": row % 80, "number": float(row)}
        for row in range(2500)
    ]
    raw = [
        {"one_hot": {"columns": ["text", "whole"]}},
        {"embedding_index": {"columns": "word"}},
        {"standardize": {"columns": "number"}},
        {"cross": {"columns": ["text", "word", "whole"], "buckets": 64}},
    ]
    batch = batch_of(data)
    transforms = fitted(raw, batch.slice(0, 75))
    together = transforms.tensors(batch)
    apart = [transforms.tensors(batch.slice(first, 5)) for first in range(0, 2500, 5)]
    for name, array in together.items():
        np.testing.assert_array_equal(array, np.concatenate([part[name] for part in apart]))
    assert (
        together["features"][:75, :75].sum() == 75 and together["features"][75:90, :75].sum() == 0
    )
