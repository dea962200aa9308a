"""The night of one pipeline: land what is new, score what landed, and what its window lacks, load
the stores that want it.

Owns the order of its steps and what its JSON line says. What slices it owes stands in
`pipeline.owed_slices`; the window in `schedule`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from batchinfer.command_reports import RunReport, StoreReport
from batchinfer.errors import BatchInferError, ConfigError, Interrupted
from batchinfer.nights.quarantine_counts import QuarantineCount, count_of_run
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.observed.observed_run import ObservedRun, observe
from batchinfer.pipeline.run_record import append_attempt
from batchinfer.pipeline.scheduled.night_rows import NIGHTLY
from batchinfer.schedule import MOST_OUTSIDE, Step, night_steps

if TYPE_CHECKING:
    from batchinfer.pipeline.backfill import BackfillReport
    from batchinfer.spark.session import OpenSession


@dataclass(frozen=True)
class NightReport:
    """What a night did: the report of its scoring, which slices it landed, scored, left, and the
    stores that it loaded.

    Attributes:
        last: of `score` where slices are ingest dates, else of `backfill`.
    """

    last: RunReport | BackfillReport
    slices: dict[str, list[str]]
    stores: list[StoreReport] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return getattr(self.last, "exit_code", 0)

    def to_json(self) -> dict[str, Any]:
        loaded = {"stores": [asdict(store) for store in self.stores]} if self.stores else {}
        return {**self.last.to_json(), **self.slices, **loaded}


@dataclass
class Night:
    """One night of one pipeline, however often it is tried.

    Attributes:
        ref: the pipeline as the user named it.
        day: the day of the run, such as 2026-11-21.
        most: so many slices outside of the window are scored, over all attempts.
        slices: names of those that the attempts landed and scored, and that the last one left.
        late: of the slices that landed, those from before the window.
        context: of the latest attempt; None where the pipeline file could not be loaded.
        began: when its first attempt began.
        counts: of what each step read and put into quarantine, the latest by step and slice.
    """

    ref: str
    day: str
    env: str = "local"
    overrides: Sequence[str] = ()
    most: int = MOST_OUTSIDE
    slices: dict[str, list[str]] = field(
        default_factory=lambda: {"landed": [], "scored": [], "left": []}
    )
    late: list[str] = field(default_factory=list)
    context: Context | None = None
    began: dt.datetime | None = None
    counts: dict[tuple[str, str | None], QuarantineCount] = field(default_factory=dict)
    _outside: set[str] = field(default_factory=set)

    @property
    def facts(self) -> dict[str, Any]:
        """What the JSON of a failure says as well; its lists grow while the night goes on."""
        return {"pipeline": self.ref, "slice": self.day, **self.slices}

    @property
    def is_told(self) -> bool:
        """Whether the pipeline file names somebody who is told of its nights."""
        return self.context is not None and bool(self.context.pipeline.notify)

    def attempt(self, is_last: bool = True) -> NightReport:
        """Lands and scores once.

        Args:
            is_last: whether no further attempt follows on an exit code that is worth one.

        Runs on: driver.

        Raises:
            BatchInferError: of the first step that failed.
        """
        from batchinfer.api import session_of

        self.began = self.began or dt.datetime.now(dt.timezone.utc)
        try:
            date = dt.date.fromisoformat(self.day)
        except ValueError as error:
            raise ConfigError(
                f"--slice: got {self.day!r}; allowed: a day such as 2026-11-21"
            ) from error
        context = self.context = Context.open(
            self.ref, self.env, self.overrides, reads_source=True, sends_notices=True
        )
        rule = context.pipeline.source.slice
        land, score = night_steps(rule if isinstance(rule, str) else rule.model_dump(), date)
        with _Record(context, self.day, is_last) as record:
            if context.pipeline.after:
                from batchinfer.pipeline.scheduled.awaited import check_upstream

                check_upstream(context, date)
            # One for both steps: executors are asked once for what they reach.
            open_session = session_of(context, scores=True)
            self._land(land, open_session)
            if score.command == "score":
                last = self._score_day(score, open_session)
            else:
                last = self._score_owed(score, open_session, record)
            record.exit_code = getattr(last, "exit_code", 0)
            stores = self._load(open_session)
        last.warnings += record.notes
        return NightReport(last, self.slices, stores)

    def _step(self) -> Context:
        """The pipeline for a step, which is a run of its own."""
        assert self.context is not None, "an attempt opens it first"
        return self.context.child_of(NIGHTLY)

    def _land(self, step: Step, open_session: OpenSession) -> None:
        from batchinfer.pipeline.extract import extract_source
        from batchinfer.show import show_extract

        day = step.options.get("slice")
        with self._counting("extract", day):
            report = show_extract(extract_source(self._step(), day, open_session))
        self._count("extract", day, report.to_json())
        _add(self.slices["landed"], report.slices if report.status != "unchanged" else ())

    def _score_day(self, step: Step, open_session: OpenSession) -> RunReport:
        from batchinfer.pipeline.score import score_slice
        from batchinfer.show import show_run

        day = step.options["slice"]
        with self._counting("score", day):
            report = show_run(score_slice(self._step(), day, open_session))
        self._count("score", day, report.to_json())
        _add(self.slices["scored"], [day] if report.status != "unchanged" else ())
        return report

    def _score_owed(self, step: Step, open_session: OpenSession, record: _Record) -> BackfillReport:
        """Scores what is owed outside of the window, the newest first, then the window."""
        from batchinfer.pipeline.backfill import backfill_slices
        from batchinfer.pipeline.scheduled.owed_slices import find_owed
        from batchinfer.show import show_backfill

        context = self._step()
        first, last = step.options["from"], step.options["to"]
        self.late = [name for name in self.slices["landed"] if name < first]
        owed = find_owed(context, first, last)
        rest = max(0, self.most - len(self._outside))
        chosen, left = owed.slices[:rest], owed.slices[rest:]
        self.slices["left"][:] = sorted(left)
        try:
            report = backfill_slices(context, first, last, open_session, before=chosen)
        except Interrupted as stopped:
            self._take_scored(stopped.facts.get("slices", ()), chosen)
            raise
        self._take_scored(report.slices, chosen)
        if left:
            report.warnings.append(self._told_left())
        failed = [one["slice"] for one in report.slices if one["status"] == "failed"]
        record.owed = owed.settled(failed, left)
        return show_backfill(report)

    def _load(self, open_session: OpenSession) -> list[StoreReport]:
        """Brings the stores that say `after: score` to what is published now."""
        assert self.context is not None, "an attempt opens it first"
        wanted = [one.kind for one in self.context.pipeline.load if one.after == "score"]
        if not wanted:
            return []
        from batchinfer.pipeline.load import load_stores
        from batchinfer.report.shown_answers import show_load

        reports = [
            show_load(load_stores(self._step(), open_session, to=kind))
            for kind in dict.fromkeys(wanted)
        ]
        return [store for report in reports for store in report.stores]

    def _take_scored(self, outcomes: Iterable[dict[str, Any]], outside: Sequence[str]) -> None:
        scored = []
        for one in outcomes:
            self._count("score", one["slice"], one, one.get("exit_code", 0))
            if one["status"] not in ("failed", "unchanged"):
                scored.append(one["slice"])
        _add(self.slices["scored"], scored)
        self._outside |= set(scored) & set(outside)

    @contextlib.contextmanager
    def _counting(self, step: str, slice_: str | None) -> Generator[None]:
        """Counts what a step has read, where it ends in an error."""
        try:
            yield
        except BatchInferError as error:
            self._count(step, slice_, error.facts, error.exit_code)
            raise

    def _count(
        self, step: str, slice_: str | None, body: Mapping[str, Any], exit_code: int = 0
    ) -> None:
        if count := count_of_run(step, slice_, body, exit_code):
            self.counts[step, slice_] = count

    def _told_left(self) -> str:
        left = self.slices["left"]
        count = (
            "1 slice that landed is" if len(left) == 1 else f"{len(left):,} slices that landed are"
        )
        assert self.context is not None, "an attempt has opened it"
        span = self.context.asked.command("backfill", "--from", min(left), "--to", max(left))
        return (
            f"{count} not scored, more than --most {self.most} outside of the window: "
            f"{span} scores what is missing or stale there"
        )


class _Record:
    """The night's row in the runs table, whatever becomes of the night.

    Attributes:
        owed: what the next night is told; None: that this one has not come so far.
        exit_code: of a night that ended without an error.
        notes: what collectors could not be told.
    """

    def __init__(self, context: Context, day: str, is_last: bool) -> None:
        self.owed: dict[str, object] | None = None
        self.exit_code = 0
        self.notes: list[str] = []
        self._context, self._day, self._is_last = context, day, is_last
        self._seen: ObservedRun | None = None

    def __enter__(self) -> _Record:
        self._started, self._began = time.perf_counter(), dt.datetime.now(dt.timezone.utc)
        self._seen = observe(self._context, NIGHTLY, self._day)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        from batchinfer.errors import WORTH_A_RETRY

        code = self.exit_code if error is None else getattr(error, "exit_code", 1)
        ended = "interrupted" if isinstance(error, Interrupted) else "failed" if code else "done"
        seconds = time.perf_counter() - self._started
        row = {
            "run_id": self._context.run_id,
            "pipeline": self._context.name,
            "command": NIGHTLY,
            "slice": None,
            "started_at": self._began,
            "status": ended,
            "exit_code": code,
            "seconds": seconds,
        }
        problems = list(error.problems) if isinstance(error, BatchInferError | Interrupted) else []
        body = {"day": self._day, "status": ended, "exit_code": code, "errors": problems}
        # What another attempt of this night will look for again is owed by this night still.
        settles = self._is_last or code not in WORTH_A_RETRY
        append_attempt(self._context.runs, row, body | ((self.owed if settles else None) or {}))
        if self._seen is None:
            return
        if error is not None:
            self._seen.finish_failed(error, seconds)
        else:
            self.notes = self._seen.finish(ended, code, seconds, {})


def _add(names: list[str], more: Iterable[str]) -> None:
    names[:] = sorted({*names, *more})
