"""Batches of rows that weigh about the same, for models that pad every row of a batch to its
longest.

Owns the order in which a window of rows is scored, and where it is cut. What a row weighs (tokens,
pixels, nodes) the handler says; this module knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer.errors import ModelError

# Rows that are put in order together, in batches: more would pad less, and hold more rows in
# memory.
WINDOW_BATCHES = 16

Weigh = Callable[[pa.RecordBatch], Any]


def weigh_of(handler: Any) -> Weigh | None:
    """The handler's `weight`, if it has one."""
    weigh = getattr(handler, "weight", None)
    return weigh if callable(weigh) else None


def row_weights(weigh: Weigh, rows: pa.RecordBatch) -> np.ndarray | None:
    """What each row weighs, `(rows,) float64`; None if the handler cannot say: a row that it cannot
    read is found later.

    Raises:
        ModelError: other than one non-negative number for each row.
    """
    try:
        found = weigh(rows)
    except ModelError:
        raise
    except Exception:  # noqa: BLE001 - the same row fails in encode, where it is isolated and told with its reason
        return None
    weights = np.asarray(found, dtype=np.float64)
    if weights.shape != (rows.num_rows,) or not np.all(weights >= 0):
        raise ModelError(
            f"weight gave {weights.shape} values for {rows.num_rows} rows, the least "
            f"{weights.min(initial=0.0)}; "
            "allowed: one number for each row, none below 0"
        )
    return weights


def cut(
    weights: np.ndarray, rows: Callable[[], int], most_weight: float | None
) -> Iterator[np.ndarray]:
    """Positions of the rows of each batch, light rows first: at most `rows()` of them, and so many
    that, padded to the heaviest, they weigh no more than `most_weight`; at least one.

    `rows` is asked anew for every batch.
    """
    order = np.argsort(weights, kind="stable")
    start = 0
    while start < len(order):
        end = min(len(order), start + max(1, rows()))
        if most_weight is not None:
            padded = weights[order[start:end]] * np.arange(1, end - start + 1)
            end = start + max(1, int(np.searchsorted(padded, most_weight, side="right")))
        yield order[start:end]
        start = end
