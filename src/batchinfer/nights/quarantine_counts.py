"""How many records the steps of a night put into quarantine, and of how many.

Owns which of a step's records count. Who is told of them stands in `notices`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchinfer.errors import TooManyQuarantined


@dataclass(frozen=True)
class QuarantineCount:
    """The records of one step. Those that the pipeline file says to remove count nowhere.

    Attributes:
        step: extract or score.
        slice: None: whatever the step landed.
        records: in quarantine.
        of: so many that were read.
        run_id: the run that put them there.
        is_refused: they were more than `checks.max_quarantine_rate` allows, so that nothing was
            landed or published.
    """

    step: str
    slice: str | None
    records: int
    of: int
    run_id: str
    is_refused: bool

    @property
    def rate(self) -> float:
        return self.records / max(1, self.of)


def count_of_run(
    step: str, slice_: str | None, body: Mapping[str, Any], exit_code: int
) -> QuarantineCount | None:
    """The count of a run; None of one that did nothing, or that ended before it had counted.

    Args:
        body: fields of its JSON line.
    """
    if body.get("status") == "unchanged" or not body.get("rows_in"):
        return None
    removed = body.get("rows_removed", 0)
    return QuarantineCount(
        step,
        slice_,
        body.get("rows_quarantined", 0) - removed,
        body["rows_in"] - removed,
        body.get("run_id", ""),
        exit_code == TooManyQuarantined.exit_code,
    )
