"""Rows that a step names as those that it fails on: they are left out of what is learned from,
counted, and told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchinfer.errors import TooManyQuarantined, UnfitRows
from batchinfer.pipeline.definition.quarantine_rate import is_too_many, told_rate

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from batchinfer.transforms import TransformPipeline

_SHOWN = 5
_OVERFLOW = re.compile(r"(\w+)(?:\([\d,]+\))? overflow$")


@dataclass
class RowsLeftOut:
    """What one training leaves out.

    Attributes:
        reasons: how many rows for each.
    """

    reasons: Counter[str] = field(default_factory=Counter[str])

    @property
    def rows(self) -> int:
        return self.reasons.total()

    def inputs_of(
        self, transforms: TransformPipeline, rows: pa.RecordBatch, hashes: np.ndarray | None
    ) -> tuple[pa.RecordBatch, Mapping[str, np.ndarray]]:
        """The rows that no step fails on, and what the steps make of them; the others are counted.

        Args:
            hashes: (rows,) as `TransformPipeline.tensors` takes them.
        """
        import numpy as np

        from batchinfer.transforms import fit_rows

        try:
            return rows, transforms.tensors(rows, hashes)
        except UnfitRows as unfit:
            self.reasons.update(unfit.rows.values())
            rows = fit_rows(rows, unfit)
            left = None if hashes is None else np.delete(hashes, list(unfit.rows))
            return rows, transforms.tensors(rows, left)

    def judge(self, of: int, allowed: float) -> None:
        """Whether as many may be left out.

        Args:
            of: rows that were read.
            allowed: `checks.max_quarantine_rate`.

        Raises:
            TooManyQuarantined: more than that.
        """
        if not is_too_many(self.rows, of, allowed):
            return
        told = told_rate(
            self.rows, of, allowed, self._commonest(), "rows could not be learned from"
        )
        raise TooManyQuarantined(
            told,
            f"{self._remedy()}, or a higher checks.max_quarantine_rate",
        )

    def _remedy(self) -> str:
        """What may be written in place of the expressions that the most rows failed on."""
        over = [found[1] for why in self._commonest() if (found := _OVERFLOW.search(why))]
        wider = "bigint" if over and set(over) <= {"tinyint", "smallint", "int"} else "double"
        remedies = [f"a cast of its columns to a wider type, as by cast(… as {wider})"] * bool(over)
        if len(over) < len(self._commonest()):
            remedies.append(
                "an expression that has a value for such rows, as by nullif or coalesce"
            )
        return ", ".join(remedies)

    def warnings(self, of: int) -> list[str]:
        """A sentence about the rows that were left out; none where there are none."""
        if not self.rows:
            return []
        counted = "; ".join(f"{why} ({count:,})" for why, count in self._commonest().items())
        return [
            f"{self.rows:,} of {of:,} rows were not learned from: {counted}; where such rows are "
            "scored, they go to quarantine"
        ]

    def _commonest(self) -> dict[str, int]:
        return dict(self.reasons.most_common(_SHOWN))
