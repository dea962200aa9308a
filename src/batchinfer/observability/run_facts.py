"""A run as values: what is known of it when it begins, and when it has ended. Sends nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ParentRun:
    """The run that began another one: a night, a backfill."""

    run_id: str
    pipeline: str
    command: str
    parent: ParentRun | None = None

    @property
    def root(self) -> ParentRun:
        """The first of all: the run that nobody else began."""
        return self if self.parent is None else self.parent.root


@dataclass(frozen=True)
class NominalTime:
    """The time that a slice stands for; the end is no part of it."""

    start: dt.datetime
    end: dt.datetime | None


@dataclass(frozen=True)
class RunBegan:
    """A run whose work begins.

    Attributes:
        description: of the pipeline, for people.
        slice: its name; None: the run is of no one slice.
        span: of the slice; None where slices are no hours, days or months.
        began: an aware datetime.
    """

    run_id: str
    pipeline: str
    command: str
    description: str
    slice: str | None
    span: NominalTime | None
    began: dt.datetime
    parent: ParentRun | None = None


@dataclass(frozen=True)
class RunEnded:
    """How a run has ended.

    Attributes:
        status: published, landed, unchanged, failed, interrupted …
        seconds: how long it took.
        ended: an aware datetime.
        facts: fields of its JSON line.
        errors: what was wrong, a sentence each.
        newest: when the newest published slice begins; None where that is not known.
    """

    status: str
    exit_code: int
    seconds: float
    ended: dt.datetime
    facts: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    newest: dt.datetime | None = None

    @property
    def is_interrupted(self) -> bool:
        return self.status == "interrupted"
