"""Statistics of columns: their limits are told, and quantiles keep their rank error."""

from __future__ import annotations

import numpy as np
import pytest
from transform_cases import column_batch, fitted

from batchinfer.errors import InputError
from batchinfer.transforms import statistics


def test_a_category_column_beyond_the_limit_says_what_to_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statistics, "MAX_CATEGORIES", 3)
    batch = column_batch("text", list("abcd"))
    with pytest.raises(InputError, match="'text' has more than 3 distinct values") as caught:
        fitted([{"one_hot": {"columns": "text"}}], batch)
    assert "hashing" in str(caught.value.hint)
    with pytest.raises(InputError, match="more than 3"):
        fitted([{"one_hot": {"columns": "text"}}], batch.slice(0, 2), batch.slice(2))


def test_numbers_too_large_for_a_variance_are_refused() -> None:
    with pytest.raises(InputError, match="column 'number'"):
        fitted([{"standardize": {"columns": "number"}}], column_batch("number", [1e308, -1e308]))
    with pytest.raises(InputError, match="column 'number'"):
        fitted(
            [{"standardize": {"columns": "number"}}],
            column_batch("number", [1e200]),
            column_batch("number", [-1e200]),
        )


def test_quantiles_of_many_distinct_values_keep_the_stated_rank_error() -> None:
    values = np.random.default_rng(5).lognormal(0, 3, 300_000)
    parts = [statistics.Ranks.of(part, "number") for part in np.array_split(values, 8)]
    while len(parts) > 1:
        parts = [
            statistics.Ranks.merge(left, right, "number")
            for left, right in zip(parts[::2], parts[1::2], strict=True)
        ]
    kept, weights = statistics.Ranks.read(parts[0])
    assert len(kept) <= statistics.MAX_RANKS + 1 and weights.sum() == len(values)
    ordered = np.sort(values)
    assert (kept[0], kept[-1]) == (ordered[0], ordered[-1])
    for at in np.linspace(0, 1, 101):
        found = statistics.quantile(parts[0], float(at))
        assert found is not None
        assert (
            abs(np.searchsorted(ordered, found) / (len(values) - 1) - at) < 4 / statistics.MAX_RANKS
        )
