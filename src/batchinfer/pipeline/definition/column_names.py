"""What a pipeline file says of columns, held against columns that only the source itself could
tell.

A declared schema is held against the file when it is loaded; without one, this is done as soon as
the columns are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from batchinfer.config.column_rules import check_column_names
from batchinfer.config.loader import Loaded
from batchinfer.config.schema import schema_fields
from batchinfer.config.types import SqlType, read_type, spark_name
from batchinfer.errors import ConfigError
from batchinfer.pipeline.definition.feature_steps import check_features
from batchinfer.pipeline.definition.table_steps import check_table_steps, document_of

if TYPE_CHECKING:
    import pyarrow as pa


def check_source_columns(
    loaded: Loaded, fields: Mapping[str, pa.DataType], target_needed: bool = False
) -> None:
    """Whether the key, the slice, the feature steps and the target name columns that there are.

    Args:
        fields: Arrow types of the source's columns.
        target_needed: to learn, there must be a target; to score there need be none.

    Runs on: driver.

    Raises:
        ConfigError: every name that is not a column, with its place in the file, and what was
            probably meant.
    """
    if schema_fields(loaded.pipeline.source) is not None:
        return
    document = document_of(loaded.pipeline)
    columns: dict[str, SqlType | None] = {
        name: read_type(spark_name(type_)) for name, type_ in fields.items()
    }
    target = loaded.pipeline.train.target.column if loaded.pipeline.train else None
    if target is not None and not target_needed:
        columns.setdefault(target, None)
    steps, prepared = check_table_steps(document, fields)
    problems = [*check_column_names(document, columns), *steps, *check_features(document, prepared)]
    if problems:
        raise ConfigError(loaded.places.sentences(problems))
