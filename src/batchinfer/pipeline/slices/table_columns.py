"""Columns of a pipeline's tables as one run sees them: landed ones, prepared ones, the keys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from batchinfer.config.schema import schema_fields
from batchinfer.config.suggestions import among
from batchinfer.config.types import parse_ddl, spark_name
from batchinfer.contracts import SLICE, SOURCE_FILE, SOURCE_LINE
from batchinfer.errors import ConfigError, InputMissing
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.slices.feature_tables import (
    Preparation,
    open_preparation,
    prepared_fields,
)

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class TableColumns:
    """The columns of a pipeline's tables, each read when it is first asked for, and kept.

    Reads schemas and logs of tables, and starts no JVM. Runs on: driver.
    """

    context: Context

    @cached_property
    def source(self) -> dict[str, pa.DataType]:
        """Arrow types of the source's own columns, in schema order; without a schema, those that
        have landed or were recorded.

        Raises:
            InputMissing: the pipeline declares no schema, and nothing has landed yet.
        """
        from batchinfer.lake.delta import exists

        # Labelled data may have landed first: they have the columns of the source, and the target.
        landed = self.context.landed
        return self.of_table(landed if exists(landed) else self.context.landed_for_training)

    def of_table(self, table: str) -> dict[str, pa.DataType]:
        """The same of one of the two tables that the source may land in: labelled data may have the
        target besides.
        """
        from batchinfer.lake.delta import exists

        context = self.context
        declared = schema_fields(context.pipeline.source)
        if declared is not None:
            return declared
        if context.pipeline.source.is_in_place:
            return self._recorded()
        if not exists(table):
            raise InputMissing(
                f"{context.landed}: nothing has landed, and the pipeline declares no "
                "source.schema; allowed: extract first",
                hint=context.extract_command(),
            )
        return table_fields(table)

    def _recorded(self) -> dict[str, pa.DataType]:
        from batchinfer.pipeline.slices.delta_register import read_register

        register = read_register(self.context.landed)
        if register is None:
            raise InputMissing(
                f"{self.context.landed}: no version of the source has been recorded, and the "
                "pipeline declares no source.schema; allowed: extract first",
                hint=self.context.extract_command(),
            )
        return {name: parse_ddl(type_) for name, type_ in register.columns.items()}

    @cached_property
    def landed(self) -> dict[str, pa.DataType]:
        """Arrow types of the columns that are read: the source's, and of landed tables the file and
        the line; not the slice.
        """
        import pyarrow as pa

        if self.context.pipeline.source.is_in_place:
            return self.source
        return {**self.source, SOURCE_FILE: pa.string(), SOURCE_LINE: pa.int64()}

    @cached_property
    def preparation(self) -> Preparation:
        """The table transforms, with the feature tables at the versions that this run reads.

        Raises:
            InputError: a feature table that is missing, or that lacks what a step needs.
        """
        if not self.context.pipeline.prepare:
            return Preparation()
        return open_preparation(self.context.environment, self.context.pipeline, self.landed)

    @cached_property
    def prepared(self) -> dict[str, pa.DataType]:
        """Arrow types of the columns after the table transforms: what features, signature and
        scoring see.
        """
        return dict(prepared_fields(self.context.loaded, self.preparation, self.landed))

    @cached_property
    def key(self) -> dict[str, pa.DataType]:
        """Arrow types of the key columns."""
        return {name: self.landed[name] for name in self.context.pipeline.source.key}

    @cached_property
    def carried(self) -> dict[str, pa.DataType]:
        """Arrow types of the columns that stand beside the predictions, as scoring sees them.

        Raises:
            ConfigError: one that is none, or is in the key: without a schema, only the tables tell.
        """
        pipeline = self.context.pipeline
        allowed = [name for name in self.prepared if name not in pipeline.source.key]
        problems = [
            f"pipeline {pipeline.name}: sink.carry: no such column beside the key: "
            f"{among(name, allowed)}"
            for name in pipeline.sink.carry
            if name not in allowed
        ]
        if problems:
            raise ConfigError(problems)
        return {name: self.prepared[name] for name in pipeline.sink.carry}


def table_fields(table: str) -> dict[str, pa.DataType]:
    """Arrow types of the columns that a landed table has of its source: all but file, line and
    slice.

    Raises:
        StorageError: no table, or its log cannot be read.
    """
    from batchinfer.lake.delta import table_schema

    added = (SLICE, SOURCE_FILE, SOURCE_LINE)
    # By way of Spark's names: how the inner fields of lists are called is a matter of the writer.
    return {
        field.name: parse_ddl(spark_name(field.type))
        for field in table_schema(table)
        if field.name not in added
    }
