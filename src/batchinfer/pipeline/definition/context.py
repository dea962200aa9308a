"""What every command of a pipeline starts from: its configuration, its tables, its registry, its
run.

Owns where a pipeline's tables are. Loading a context starts no JVM and reads no data.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.config.environment import Environment
from batchinfer.config.loader import Loaded, load_pipeline
from batchinfer.config.pipeline import Pipeline
from batchinfer.config.rules import unset_variables
from batchinfer.config.sources import DeltaSource
from batchinfer.errors import InputMissing
from batchinfer.pipeline.definition.feature_steps import check_document
from batchinfer.pipeline.slices.feature_tables import Preparation, open_preparation, prepared_fields
from batchinfer.stores import use

if TYPE_CHECKING:
    import pyarrow as pa

    from batchinfer.models.registry import Registry


def new_run_id() -> str:
    """A run id that sorts by time: `20261121T021500-1f2e3d4c`."""
    return f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


def join(folder: str, *parts: str) -> str:
    """A path or URI below a folder or URI; an absolute path or URI stays as it is."""
    last = "/".join(parts)
    if "://" in last or last.startswith("/"):
        return last
    return f"{folder.rstrip('/')}/{last}"


def _make_importable(root: Path) -> None:
    """A module of the user's own beside `conf/` is found here, in the workers, and in the children
    that they spawn.
    """
    place = str(root)
    if place not in sys.path:
        sys.path.append(place)
    known = os.environ.get("PYTHONPATH", "")
    if place not in known.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join(part for part in (known, place) if part)


def table_fields(table: str) -> dict[str, pa.DataType]:
    """Arrow types of the columns that a landed table has of its source: all but file, line and
    slice.

    Raises:
        StorageError: no table, or its log cannot be read.
    """
    from batchinfer.config.types import parse_ddl, spark_name
    from batchinfer.contracts import SLICE, SOURCE_FILE, SOURCE_LINE
    from batchinfer.lake.delta import table_schema

    added = (SLICE, SOURCE_FILE, SOURCE_LINE)
    # By way of Spark's names: how the inner fields of lists are called is a matter of the writer.
    return {
        field.name: parse_ddl(spark_name(field.type))
        for field in table_schema(table)
        if field.name not in added
    }


@dataclass(frozen=True)
class Context:
    """A pipeline, ready to run in one environment."""

    loaded: Loaded
    run_id: str = field(default_factory=new_run_id)

    @classmethod
    def open(
        cls,
        ref: str,
        env: str = "local",
        overrides: Mapping[str, Any] | Sequence[str] = (),
        reads_source: bool = False,
    ) -> Context:
        """Loads a pipeline by name or file, with every problem of it reported at once.

        Args:
            reads_source: the command needs the variables that the source names for addresses and
                secrets.

        Raises:
            ConfigError: all that is wrong, each with file, place, what was got and what is allowed.
        """
        checks = [check_document, unset_variables] if reads_source else [check_document]
        loaded = load_pipeline(ref, overrides, env, document_checks=checks)
        _make_importable(loaded.root)
        context = cls(loaded)
        use(
            context.environment.spark.conf,
            (context.environment.lake, context.environment.reports, context.predictions),
        )
        return context

    def with_new_run(self) -> Context:
        """The same pipeline with a run id of its own."""
        return Context(self.loaded)

    @property
    def pipeline(self) -> Pipeline:
        return self.loaded.pipeline

    @property
    def environment(self) -> Environment:
        return self.loaded.environment

    @property
    def name(self) -> str:
        return self.pipeline.name

    @property
    def root(self) -> Path:
        return self.loaded.root

    @property
    def landed(self) -> str:
        return join(self.environment.lake, "landed", self.name)

    @property
    def landed_for_training(self) -> str:
        """Table of labelled data that has a source of its own. A pipeline's name cannot hold a dot,
        so no other has it.
        """
        return join(self.environment.lake, "landed", f"{self.name}.train")

    @property
    def quarantine(self) -> str:
        return join(self.environment.lake, "quarantine", self.name)

    @property
    def predictions(self) -> str:
        return join(self.environment.lake, self.pipeline.sink.table)

    @property
    def runs(self) -> str:
        return join(self.environment.lake, "runs")

    @property
    def bundle_cache(self) -> Path:
        return self.loaded.home / "bundles"

    @property
    def packed(self) -> Path:
        """Folder for what is packed for executors."""
        return self.loaded.home / "shipped"

    @cached_property
    def source_fields(self) -> dict[str, pa.DataType]:
        """Arrow types of the source's own columns, in schema order; without a schema, those that
        have landed or were recorded.

        Raises:
            InputMissing: the pipeline declares no schema, and nothing has landed yet.
        """
        from batchinfer.lake.delta import exists

        # Labelled data may have landed first: they have the columns of the source, and the target.
        return self.fields_of(self.landed if exists(self.landed) else self.landed_for_training)

    def fields_of(self, table: str) -> dict[str, pa.DataType]:
        """The same of one of the two tables that the source may land in: labelled data may have the
        target besides.
        """
        from batchinfer.config.schema import schema_fields
        from batchinfer.lake.delta import exists

        declared = schema_fields(self.pipeline.source)
        if declared is not None:
            return declared
        if isinstance(self.pipeline.source, DeltaSource):
            return self._recorded_fields()
        if not exists(table):
            raise InputMissing(
                f"{self.landed}: nothing has landed, and the pipeline declares no source.schema; "
                "allowed: extract first",
                hint=f"batchinfer extract -p {self.name}",
            )
        return table_fields(table)

    def _recorded_fields(self) -> dict[str, pa.DataType]:
        from batchinfer.config.types import parse_ddl
        from batchinfer.pipeline.slices.delta_register import read_register

        register = read_register(self)
        if register is None:
            raise InputMissing(
                f"{self.landed}: no version of the source has been recorded, and the pipeline "
                "declares no source.schema; "
                "allowed: extract first",
                hint=f"batchinfer extract -p {self.name}",
            )
        return {name: parse_ddl(type_) for name, type_ in register.columns.items()}

    @cached_property
    def landed_fields(self) -> dict[str, pa.DataType]:
        """Arrow types of the columns that are read: the source's, and of landed tables the file and
        the line; not the slice.
        """
        import pyarrow as pa

        from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE

        if isinstance(self.pipeline.source, DeltaSource):
            return self.source_fields
        return {**self.source_fields, SOURCE_FILE: pa.string(), SOURCE_LINE: pa.int64()}

    @cached_property
    def preparation(self) -> Preparation:
        """The table transforms, with the feature tables at the versions that this run reads.

        Raises:
            InputError: a feature table that is missing, or that lacks what a step needs.
        """
        return open_preparation(self) if self.pipeline.prepare else Preparation()

    @cached_property
    def prepared_fields(self) -> dict[str, pa.DataType]:
        """Arrow types of the columns after the table transforms: what features, signature and
        scoring see.
        """
        return prepared_fields(self, self.preparation, self.landed_fields)

    @cached_property
    def key_fields(self) -> dict[str, pa.DataType]:
        return {name: self.landed_fields[name] for name in self.pipeline.source.key}

    @cached_property
    def registry(self) -> Registry:
        from batchinfer.models.registry import Registry

        return Registry(self.environment.registry, self.environment.artifacts)
