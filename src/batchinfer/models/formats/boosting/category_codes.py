"""Categories as a model knew them in training.

Owns the step from the values of a frame's column to their places in the list that a model's file
holds. Knows no library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def codes_of(series: Any, known: Sequence[Any], type_: str | None = None) -> np.ndarray:
    """(rows,) intp: of each value its place among the known ones, -1 for any other, or none.

    Whole numbers that pandas keeps as fractions, because one is missing, are the numbers that they
    are. Runs on: driver and executor.

    Args:
        series: of a pandas frame.
        type_: NumPy's name of the known ones' type; None: whatever they are.
    """
    import pandas as pd

    return pd.Index(list(known), dtype=type_).get_indexer(series)


def unseen_values(series: Any, codes: np.ndarray) -> np.ndarray:
    """Distinct values that are there and are not among the known ones, of whose rows the code is
    -1.
    """
    return series[(codes < 0) & series.notna().to_numpy()].unique()


def with_unseen_values(series: Any, known: Sequence[Any], type_: str | None = None) -> Any:
    """The series as categories: the known ones in their order, those that only these rows have
    behind them.

    Runs on: driver and executor.
    """
    import pandas as pd

    codes = codes_of(series, known, type_)
    unseen = unseen_values(series, codes)
    index = pd.Index([*known, *unseen.tolist()], dtype=type_)
    return pd.Categorical.from_codes(codes if not len(unseen) else index.get_indexer(series), index)
