"""What every command of a pipeline starts from: its configuration, its tables, its registry, its
run.

Owns where a pipeline's tables are. Loading a context starts no JVM and reads no data.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
import uuid
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.config.environment import Environment
from batchinfer.config.loader import Loaded, load_pipeline
from batchinfer.config.pipeline import Pipeline
from batchinfer.config.project import given_project
from batchinfer.config.rules import keep_own_secrets, wrong_notice_variables, wrong_variables
from batchinfer.config.s3 import find_problems
from batchinfer.config.sink_places import (
    FALLBACKS,
    LANDED,
    QUARANTINE,
    RUNS,
    default_sink,
)
from batchinfer.config.uris import join
from batchinfer.hinted_commands import Asked
from batchinfer.hints import CommandLine
from batchinfer.lake.table_places import is_reachable
from batchinfer.masking.sensitive_columns import SensitiveColumns
from batchinfer.object_stores import use
from batchinfer.observability.run_facts import ParentRun
from batchinfer.pipeline.definition.feature_steps import check_document_steps
from batchinfer.pipeline.definition.upstream_names import after_check
from batchinfer.report.terminal import show_line

if TYPE_CHECKING:
    from batchinfer.models.registry import Registry


def new_run_id() -> str:
    """A run id that sorts by time: `20261121T021500-1f2e3d4c`."""
    return f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


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


def _derived_from(columns: Set[str], derive: Mapping[str, str]) -> set[str]:
    """The names of expressions that read one of these columns, or another such expression."""
    from batchinfer.transforms.expressions import ExpressionError, parse_expression

    names: set[str] = set()
    # Each expression may read those above it.
    for name, text in derive.items():
        with suppress(ExpressionError):  # it is refused elsewhere
            if not (columns | names).isdisjoint(parse_expression(text).columns):
                names.add(name)
    return names


@dataclass(frozen=True)
class Context:
    """A pipeline, ready to run in one environment.

    Attributes:
        asked: how whoever runs it named it, for the commands of hints.
        parent: the run that began this one: a night, a backfill; None: a user or a scheduler.
    """

    loaded: Loaded
    asked: Asked
    run_id: str = field(default_factory=new_run_id)
    parent: ParentRun | None = None

    @classmethod
    def open(
        cls,
        ref: str,
        env: str = "local",
        overrides: Mapping[str, Any] | Sequence[str] = (),
        reads_source: bool = False,
        project: str | Path | None = None,
        sends_notices: bool = False,
    ) -> Context:
        """Loads a pipeline by name or file, with every problem of it reported at once. State that
        lies where earlier builds kept it is warned of on stderr.

        Args:
            reads_source: the command needs the variables that the source names for addresses and
                secrets.
            project: a folder in place of the working folder, to find the pipeline from.
            sends_notices: the command needs the variables that `notify` names.

        Raises:
            ConfigError: all that is wrong, each with file, place, what was got and what is allowed.
        """
        start = given_project(project)
        checks = [keep_own_secrets, check_document_steps, after_check(ref, start)]
        checks += [wrong_variables] if reads_source else []
        checks += [wrong_notice_variables] if sends_notices else []
        loaded = load_pipeline(ref, overrides, env, document_checks=checks, start=start)
        for warning in loaded.warnings:
            show_line(f"batchinfer: {warning}")
        _make_importable(loaded.root)
        trains = loaded.pipeline.train is not None
        context = cls(loaded, Asked.of(ref, env, overrides, trains))
        use(
            context.environment.spark.conf,
            [
                context.environment.lake,
                context.environment.reports,
                context.predictions,
                *([context.looked_up] if context.looked_up else []),
                *([context.outcomes] if context.outcomes else []),
            ],
        )
        return context

    def with_new_run(self) -> Context:
        """The same pipeline with a run id of its own."""
        return replace(self, run_id=new_run_id())

    def child_of(self, command: str) -> Context:
        """The same pipeline for a run that this one begins, whose command that is."""
        parent = ParentRun(self.run_id, self.name, command, self.parent)
        return replace(self, run_id=new_run_id(), parent=parent)

    def extract_command(self, slice_: str | None = None) -> CommandLine:
        """The command that lands what is new; where slices are days of ingest, as a day.

        Args:
            slice_: that day; None: today.
        """
        if self.pipeline.source.slice != "ingest_date":
            return self.asked.command("extract")
        day = slice_ or dt.datetime.now(dt.UTC).date().isoformat()
        return self.asked.command("extract", "--slice", day)

    @property
    def pipeline(self) -> Pipeline:
        return self.loaded.pipeline

    @cached_property
    def sensitive(self) -> SensitiveColumns:
        """Columns whose values no text shows: those that the file names, and those that are derived
        from them.
        """
        names = set(self.pipeline.sensitive)
        if self.pipeline.outcomes is not None:
            # The key of the outcomes has the same values by other names.
            keys = zip(self.pipeline.source.key, self.pipeline.outcomes.key, strict=False)
            names |= {other for own, other in keys if own in names}
            if self.pipeline.train is not None and self.pipeline.train.target.column in names:
                names.add(self.pipeline.outcomes.value)
        if names and self.pipeline.derive:
            names |= _derived_from(names, self.pipeline.derive)
        return SensitiveColumns(frozenset(names))

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
        return join(self.environment.lake, LANDED, self.name)

    @property
    def landed_for_training(self) -> str:
        """Table of labelled data that has a source of its own. A pipeline's name cannot hold a dot,
        so no other has it.
        """
        return join(self.environment.lake, LANDED, f"{self.name}.train")

    @property
    def quarantine(self) -> str:
        return join(self.environment.lake, QUARANTINE, self.name)

    @property
    def predictions(self) -> str:
        table = self.pipeline.sink.table or default_sink(self.name)
        return join(self.environment.lake, table)

    @property
    def fallbacks(self) -> str:
        """The table of answers for keys without a fresh prediction."""
        return join(self.environment.lake, FALLBACKS, self.name)

    @property
    def outcomes(self) -> str | None:
        """The table of what came true; None where the pipeline names none."""
        named = self.pipeline.outcomes
        return None if named is None else join(self.environment.lake, named.table)

    @property
    def looked_up(self) -> str | None:
        """Where runs of the pipeline put what their tasks look answered rows up in; None where
        workers cannot open the staging folder themselves.
        """
        place = join(self.environment.staging, "reuse", self.name)
        if find_problems(self.environment.spark.conf, os.environ, [place]):
            return None
        return place if is_reachable(place) else None

    @property
    def staged_tables(self) -> tuple[str, ...]:
        """The tables that runs of the pipeline stage files in, and the folder of what they look
        up.
        """
        own = (self.landed, self.landed_for_training, self.predictions, self.quarantine)
        own = (*own, self.looked_up) if self.looked_up else own
        return own if self.pipeline.fallback is None else (*own, self.fallbacks)

    @property
    def runs(self) -> str:
        return join(self.environment.lake, RUNS)

    @property
    def bundle_cache(self) -> Path:
        return self.loaded.home / "bundles"

    @property
    def packed(self) -> Path:
        """Folder for what is packed for executors."""
        return self.loaded.home / "shipped"

    @cached_property
    def registry(self) -> Registry:
        from batchinfer.models.registry import Registry

        return Registry(self.environment.registry, self.environment.artifacts, self.asked)
