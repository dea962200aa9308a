"""Table transforms: steps that need other rows, and so run in Spark before the features
(`prepare:`).

A new step is one class in one of the modules and one line in `parse_prepare`.
"""

from batchinfer.prepare.join import SLICE_MOMENT, Join
from batchinfer.prepare.lookback import Lag
from batchinfer.prepare.parse_prepare import STEPS, Prepared, check_prepare, parse_table_steps
from batchinfer.prepare.removal import Deduplicate
from batchinfer.prepare.table_step import (
    HIDDEN,
    RAW,
    REMOVED,
    SLICE_NAME,
    Fields,
    Surroundings,
    TableStep,
)

__all__ = [
    "HIDDEN",
    "RAW",
    "REMOVED",
    "SLICE_MOMENT",
    "SLICE_NAME",
    "STEPS",
    "Deduplicate",
    "Fields",
    "Join",
    "Lag",
    "Prepared",
    "Surroundings",
    "TableStep",
    "check_prepare",
    "parse_table_steps",
]
