"""Labelled data in a Delta table: read in place by `train`, as `score` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchinfer.config.source_options import DeltaOptions
from batchinfer.config.sources import DeltaSource
from batchinfer.config.suggestions import among
from batchinfer.config.types import spark_name
from batchinfer.errors import ConfigError, InputError
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.table_facts import table_facts

if TYPE_CHECKING:
    from batchinfer.spark.session import OpenSession


def read_labelled(
    context: Context, source: DeltaSource, paths: Sequence[str], open_session: OpenSession
) -> SliceData:
    """The whole of the table that `train.source.path` names, at its latest version.

    Raises:
        ConfigError: several paths, where one table is allowed.
        InputError: no such table, or columns that break the contract.
    """
    from batchinfer.pipeline.landing.delta_contract import check_contract
    from batchinfer.pipeline.slices.delta_opened import find_place, open_source

    if len(paths) != 1:
        raise ConfigError(
            f"train.source.path: got {len(paths)} paths; allowed with kind delta: the folder of "
            "one table"
        )
    labelled = source.model_copy(
        update={"path": paths[0], "table": None, "options": DeltaOptions()}
    )
    opened = open_source(
        find_place(context.environment, context.root, labelled, open_session), labelled
    )
    check_contract(context.pipeline, labelled, opened, None)
    fields = {name: spark_name(type_) for name, type_ in opened.fields.items()}
    return SliceData(
        opened.place,
        (),
        opened.files,
        opened.version,
        opened.version,
        opened.rows,
        fields=fields,
        rules=opened.rules,
    )


def check_readable(data: SliceData, target: str, by_spark: bool = False) -> None:
    """Whether a table that is read in place can be learned from.

    Args:
        by_spark: table transforms come first, so Spark reads the table and not its readers here.

    Raises:
        InputError: no such target column, or files that only Spark can read.
    """
    from batchinfer.inference import road_choice

    columns = data.fields or {}
    if target not in columns:
        raise InputError(
            f"{data.table}: train.target.column: no such column: {among(target, columns)}"
        )
    if by_spark:
        return
    against = road_choice.obstacles(table_facts(data.table, data.version, data.files))
    if against:
        raise InputError(
            f"{data.table}, version {data.version}: train reads the files of a table itself, but "
            f"{'; '.join(against)}; allowed: a table without deletion vectors and column mapping, "
            "on a disk that the workers share",
            hint="REORG TABLE … APPLY (PURGE) rewrites files that have deletion vectors",
        )
