"""Derived columns for a model trained elsewhere that takes columns as they are.

Owns when that is so, the landed rows to try the model on with these columns, and that none of them
is made for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchinfer.config.suggestions import listed
from batchinfer.errors import ConfigError, UnfitRows
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.training.trial_rows import read_trial_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.models.elsewhere.feeds import Feeds
    from batchinfer.transforms import TransformPipeline


def derived_for_columns(transforms: TransformPipeline | None) -> TransformPipeline | None:
    """The transforms, where they do no more than derive columns for a model that takes columns as
    they are.

    Runs on: driver.
    """
    from batchinfer.transforms import Derive, only_kept

    steps = transforms.steps if transforms else []
    alone = len(steps) == 1 or only_kept(steps)
    return transforms if steps and isinstance(steps[0], Derive) and alone else None


def rows_to_try(
    context: Context, feeds: Feeds, derived: TransformPipeline | None
) -> tuple[pa.RecordBatch | None, str]:
    """Landed rows of the columns that the model is fed, without those that an expression fails on;
    or None, and why there are none.

    Runs on: driver, without Spark.
    """
    if derived is None:
        return read_trial_rows(context, feeds.columns)
    from batchinfer.models.deriving import HandedColumns
    from batchinfer.transforms import fit_rows

    handed = HandedColumns(derived, feeds.columns)
    rows, why_none = read_trial_rows(context, handed.sources)
    if rows is None:
        return None, why_none
    try:
        return handed.of(rows), ""
    except UnfitRows as unfit:
        rows = handed.of(fit_rows(rows, unfit))
        return (rows, "") if rows.num_rows else (None, "an expression fails on each landed row")


def check_all_fed(derived: TransformPipeline | None, feeds: Feeds) -> None:
    """Whether the model is fed each derived column that no other expression reads.

    Raises:
        ConfigError: it takes one of them no more than another expression does.
    """
    if derived is None:
        return
    idle = [name for name in derived.steps[0].feeds if name not in feeds.columns]
    if idle:
        raise ConfigError(
            [
                f"derive.{name}: the model takes no such column, and no expression reads it; "
                f"it takes {listed(feeds.columns)}"
                for name in idle
            ],
            "leave the expression out, or give it the name of a column that the model takes",
        )
