"""What a forecast is held against: the last value of the target that was known.

Owns where that value stands: in the column that the step `lag` makes of the target with the fewest
rows back. How far ahead a forecast is, only that step says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from batchinfer.errors import InputError
from batchinfer.prepare.lookback import Lag
from batchinfer.prepare.table_step import TableStep

if TYPE_CHECKING:
    from batchinfer.config.pipeline import Target
    from batchinfer.models.training import Trained


def last_value_column(steps: Sequence[TableStep], target: str) -> str | None:
    """The column with the last known value of the target; None where no step looks back at it.

    Runs on: driver.
    """
    periods = [
        count for step in steps if isinstance(step, Lag) and target in step.columns
        for count in step.periods
    ]  # fmt: skip
    return f"{target}_lag_{min(periods)}" if periods else None


class LastValues:
    """The targets and the last known values of the validation rows, in the order in which they
    come.

    Args:
        column: with the last known values.

    Attributes:
        column: as given.
    """

    def __init__(self, column: str, target: Target) -> None:
        self.column = column
        self._target = target
        self._pairs: list[np.ndarray] = []

    def add(self, rows: pa.RecordBatch) -> None:
        """Some more validation rows; those without a target are left out, as in training."""
        from batchinfer.models.targets import target_array

        target = target_array(rows.column(self._target.column), self._target)
        last = rows.column(self.column).cast(pa.float64(), safe=False)
        pairs = np.stack([target, last.to_numpy(zero_copy_only=False)])
        self._pairs.append(pairs[:, ~np.isnan(target)])

    def metrics(self, trained: Trained) -> tuple[Mapping[str, float], list[str]]:
        """The metrics of the last known value and the skill of a regression, and a sentence where
        they are not of all validation rows; nothing of another task, or without validation rows.

        Runs on: driver.
        """
        from batchinfer.models.metrics import last_value_metrics

        if trained.task != "regression" or not trained.rows_validation:
            return {}, []
        target, last = np.concatenate(self._pairs, axis=1)
        if len(target) != trained.rows_validation:
            raise InputError(
                f"got {len(target)} last known values of {trained.rows_validation} validation "
                "rows; allowed: one of each"
            )
        prediction = trained.handler.decode(trained.outputs)["prediction"]
        found = last_value_metrics(target, prediction.to_numpy(zero_copy_only=False), last)
        lacking = int((~np.isfinite(last)).sum())
        if not lacking:
            return found, []
        return found, [
            f"{lacking:,} of {len(last):,} validation rows have no last known value (column "
            f"{self.column}): skill and mae_last_value are of the others"
        ]
