"""The engine: a stream of batches in, a stream of scored batches out.

Owns the loop around a model: re-batching, fingerprints, isolation of failing rows, batch sizes,
times and counts. Knows neither Spark nor files, and of a model only what `contracts.ScoringHandler`
says.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from batchinfer.contracts import BadRecord, ScoringHandler
from batchinfer.errors import TooManyQuarantined
from batchinfer.inference.ahead import ReadAhead
from batchinfer.inference.attempt import Clock, InProcess, Runner
from batchinfer.inference.batching import FixedSize, gather, new_size, rebatch
from batchinfer.inference.failed_rows import bad_records, told_too_many
from batchinfer.inference.fingerprint import Fingerprinter
from batchinfer.inference.isolation import BatchOutcome, isolate
from batchinfer.inference.known_rows import KnownRows
from batchinfer.inference.overlap import Attempt, DeviceUse, Overlapping, OverlapRunner
from batchinfer.inference.repeats import Distinct, Repeats, spread
from batchinfer.inference.row_weights import WINDOW_BATCHES, weigh_of
from batchinfer.inference.windows import LOOKED_UP_ROWS, Scored, Window
from batchinfer.masking.sensitive_columns import NONE_SENSITIVE, SensitiveColumns

MAX_BYTES = 64 * 2**20
_COUNTS = (
    "rows_in",
    "rows_scored",
    "rows_failed",
    "rows_duplicate",
    "rows_known",
    "batches",
    "attempts",
    "largest_batch",
    "smallest_batch",
)


class _Part(NamedTuple):
    """Rows that are scored together, and their fingerprints; None: not made yet."""

    rows: pa.RecordBatch
    fingerprints: pa.Array | None = None


@dataclass(frozen=True)
class _Begun:
    """A batch on its way: its rows, those of them that are scored, and the seconds that this
    process has had to do with it.
    """

    batch: pa.RecordBatch
    fingerprints: pa.Array
    distinct: Distinct | None
    rows: pa.RecordBatch
    attempt: Attempt | None
    seconds: float


class BatchScorer:
    """Scores a stream with one model; every input row comes out once, as scored or as failed.

    Args:
        handler: the model, or another way to run it, such as `watchdog.ChildRunner`.
        batch_rows: rows of a batch, or `auto`: found while running; or a size that goes on from
            other streams.
        max_bytes: most bytes of a batch's columns; a single row may have more.
        columns_for_fingerprint: the model's inputs in the order of its signature; None: no
            fingerprints are made, and failed rows are written with all their columns.
        key_columns: what identifies a row.
        clock: seconds, monotonic.
        max_failures: most rows that may fail in the whole stream, such as rows x
            max_quarantine_rate; None: all may.
        timeout_s: a batch that takes longer ends this process (see `attempt.InProcess`); None:
            never.
        deduplicate: score rows of one batch that have the same fingerprint once, where that pays.
            Only right if the model reads no other columns than those of the fingerprint.
        max_weight: most that the rows of a batch weigh together, each counted as heavy as the
            heaviest; for handlers with a method `weight`. Rows of such handlers are batched by
            weight within a window, and come out in their order.
        read_ahead: read in a thread of its own from the start; otherwise only where waiting shows
            that it pays.
        sensitive: columns whose values no message of a failed row shows.
        known: rows that were answered before by the same model: those of the stream that have the
            fingerprint of one get its predictions.

    Attributes:
        read_ahead: whether the last stream was read by a thread of its own.
        timings: seconds spent in read (waiting for rows, and cutting), fingerprint, encode,
            forward, decode; and in lookup, where rows are known.
        counts: rows_in, rows_scored, rows_failed, rows_known (the rest), rows_duplicate (part of
            rows_scored: scored as a copy of another row of its batch), batches, attempts,
            largest_batch, smallest_batch.
        unreported: failed rows of the batch at which `TooManyQuarantined` was raised.
    """

    def __init__(
        self,
        handler: ScoringHandler | Runner,
        batch_rows: int | Literal["auto"] | FixedSize = "auto",
        max_bytes: int = MAX_BYTES,
        columns_for_fingerprint: Sequence[str] | None = None,
        key_columns: Sequence[str] = (),
        clock: Clock = time.perf_counter,
        *,
        max_failures: int | None = None,
        timeout_s: float | None = None,
        deduplicate: bool = False,
        max_weight: float | None = None,
        read_ahead: bool = False,
        sensitive: SensitiveColumns = NONE_SENSITIVE,
        known: KnownRows | None = None,
    ) -> None:
        # A child process knows its handler alone: batches for it are cut by rows and bytes only.
        own = handler.handler if isinstance(handler, InProcess) else handler
        self._weigh = None if isinstance(own, Runner) else weigh_of(own)
        self._max_weight = max_weight
        self.read_ahead = read_ahead
        self._runner: Runner = (
            handler if isinstance(handler, Runner) else InProcess(handler, clock, timeout_s)
        )
        self.size = batch_rows if isinstance(batch_rows, FixedSize) else new_size(batch_rows)
        self._max_bytes = max_bytes
        self._inputs = (
            tuple(columns_for_fingerprint) if columns_for_fingerprint is not None else None
        )
        self._fingerprint = Fingerprinter(self._inputs or ())
        self._key, self._sensitive = tuple(key_columns), sensitive
        self._clock = clock
        self._max_failures = max_failures
        self._repeats = Repeats() if deduplicate and self._inputs is not None else None
        self._known = known if self._inputs is not None else None
        self._own_timings = {"read": 0.0, "fingerprint": 0.0}
        if self._known is not None:
            self._own_timings["lookup"] = 0.0
        self._asked = 0.0  # when the last batch was asked for
        self._whole = False  # whether the last batch was scored at the first attempt
        self.counts: dict[str, int] = dict.fromkeys(_COUNTS, 0)
        self.unreported: list[BadRecord] = []

    @property
    def declared(self) -> Mapping[str, pa.DataType]:
        """Arrow type of each prediction column."""
        return self._runner.declared

    def device_use(self) -> DeviceUse:
        """What the device of the model has done up to now; of one that computes in step with this
        process, its stages tell.
        """
        if isinstance(self._runner, OverlapRunner):
            self._runner.use.end(self._clock())
            return self._runner.use
        seconds = self.timings
        waits_s = seconds["read"] + seconds["fingerprint"] + seconds["encode"]
        return DeviceUse(computing=seconds["forward"], input=waits_s, output=seconds["decode"])

    @property
    def timings(self) -> dict[str, float]:
        """Seconds spent in each stage so far."""
        return self._own_timings | self._runner.timings

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends a child process, if there is one."""
        self._runner.close()

    def score(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Scored]:
        """Scores all rows, in order.

        Runs on: executor.

        Raises:
            ModelError: the handler gives other columns than it declares.
            TooManyQuarantined: more rows than `max_failures` failed; `unreported` holds those not
                yet given out.
            InputError: a column of the fingerprint is missing.
        """
        ahead = ReadAhead(batches, always=self.read_ahead)
        batched = rebatch if self._known is None else gather
        stream = self._read(batched(ahead, self._window_rows, self._max_bytes))
        try:
            if self._weigh is not None or self._known is not None:
                yield from self._score_windows(stream)
                return
            for begun in self._under_way(map(_Part, stream)):
                if begun is None:
                    continue
                scored, took_s = self._finish(begun)
                handed = self._clock()
                yield scored
                # What the consumer does with a batch is a part of what it costs.
                self._measure(begun, took_s + self._clock() - handed)
        finally:
            self.read_ahead = ahead.ahead
            ahead.close()

    def _window_rows(self) -> int:
        window = self.size.rows * (1 if self._weigh is None else WINDOW_BATCHES)
        return window if self._known is None else max(window, LOOKED_UP_ROWS)

    def score_batch(self, batch: pa.RecordBatch) -> Scored:
        """Scores one batch of at least one row as it is, and learns nothing of its speed; raises as
        `score` does.
        """
        return self._finish(self._begin(_Part(batch), self._clock()))[0]

    def _read(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        while True:
            self._asked = self._clock()
            batch = next(stream, None)
            self._own_timings["read"] += self._clock() - self._asked
            if batch is None:
                return
            self._heed_bytes(batch)
            yield batch

    def _under_way(self, parts: Iterable[_Part | None]) -> Iterator[_Begun | None]:
        """Parts that were begun, in order; where the runner overlaps, each comes out when the next
        one was begun, too. None comes out as such, behind all that came before.
        """
        before: _Begun | None = None
        for part in parts:
            begun = None if part is None else self._begin(part, self._asked)
            if before is not None:
                yield before
            before = begun
            if begun is None or begun.attempt is None or begun.attempt.failure is not None:
                # Nothing is on the device while the rows that failed are looked for.
                yield begun
                before = None
        if before is not None:
            yield before

    def _begin(self, part: _Part, asked: float) -> _Begun:
        started = self._clock()
        batch, fingerprints = part
        if fingerprints is None:
            fingerprints = self._fingerprints(batch)
        distinct = self._repeats.find(fingerprints) if self._repeats else None
        rows = batch if distinct is None else batch.take(pa.array(distinct.first))
        attempt = (
            self._runner.submit(rows, asked) if isinstance(self._runner, Overlapping) else None
        )
        return _Begun(batch, fingerprints, distinct, rows, attempt, self._clock() - started)

    def _finish(self, begun: _Begun) -> tuple[Scored, float]:
        """What became of a batch that was begun, and how long this process had to do with it,
        without waiting for a device.
        """
        started = self._clock()
        scored = self._scored(begun)
        waited_s = begun.attempt.waited_s if begun.attempt else 0.0
        return scored, begun.seconds + self._clock() - started - waited_s

    def _scored(self, begun: _Begun) -> Scored:
        batch, fingerprints = begun.batch, begun.fingerprints
        first_row = self.counts["rows_in"]
        outcome = self._outcome(begun)
        self._learn(batch.num_rows, outcome)
        failed = bad_records(batch, outcome.failures, self._key, self._inputs, self._sensitive)
        if outcome.stopped:
            self.unreported = failed
            raise TooManyQuarantined(
                told_too_many(
                    failed, self.counts["rows_failed"], self.counts["rows_in"], self._max_failures
                )
            )
        rows = batch
        if failed:
            mask = pa.array(outcome.scored)
            rows, fingerprints = batch.filter(mask), fingerprints.filter(mask)
        failed_at = tuple(first_row + row for row in sorted(outcome.failures))
        return Scored(rows, outcome.predictions, fingerprints, failed, failed_at)

    def _score_windows(self, stream: Iterable[pa.RecordBatch]) -> Iterator[Scored]:
        """Scores windows of rows in parts, and gives each window in its order."""
        opened: deque[Window] = deque()
        begun_with: deque[tuple[Window, np.ndarray]] = deque()

        def parts() -> Iterator[_Part | None]:
            first_row = self.counts["rows_in"]
            for rows in stream:
                opened.append(window := self._open(rows, first_row))
                first_row += rows.num_rows
                for at in window.cut(self._weigh, lambda: self.size.rows, self._max_weight):
                    places, *part = window.part(at)
                    begun_with.append((window, places))
                    self._asked = self._clock()
                    yield _Part(*part)
                window.is_cut = True
                if window.is_done:
                    # None of its rows goes to the model: what is open goes out.
                    yield None

        for begun in self._under_way(parts()):
            if begun is not None:
                self._finish_part(*begun_with.popleft(), begun)
            while opened and opened[0].is_done:
                yield self._close(opened.popleft())
        yield from map(self._close, opened)

    def _open(self, rows: pa.RecordBatch, first_row: int) -> Window:
        fingerprints, started = self._fingerprints(rows), self._clock()
        window = Window(rows, fingerprints, first_row, self._known)
        self._note_lookup(started)
        return window

    def _finish_part(self, window: Window, places: np.ndarray, begun: _Begun) -> None:
        before = self.counts["rows_in"]
        try:
            part, took_s = self._finish(begun)
        except TooManyQuarantined:
            self.unreported = [*window.failed.values(), *self.unreported]
            raise
        self._measure(begun, took_s)
        window.add(places, part, [at - before for at in part.failed_at])

    def _close(self, window: Window) -> Scored:
        started = self._clock()
        scored = window.joined(self.declared)
        self._note_lookup(started)
        self.counts["rows_in"] += window.known_rows
        self.counts["rows_known"] += window.known_rows
        return scored

    def _note_lookup(self, started: float) -> None:
        if self._known is not None:
            self._own_timings["lookup"] += self._clock() - started

    def _fingerprints(self, batch: pa.RecordBatch) -> pa.Array:
        if self._inputs is None:
            return pa.nulls(batch.num_rows, pa.binary())
        start = self._clock()
        try:
            return self._fingerprint(batch)
        finally:
            self._own_timings["fingerprint"] += self._clock() - start

    def _outcome(self, begun: _Begun) -> BatchOutcome:
        """The outcome of a batch, of which each distinct row is scored once where these were looked
        for.
        """
        may_fail = (
            None if self._max_failures is None else self._max_failures - self.counts["rows_failed"]
        )
        of_distinct = isolate(
            begun.rows, self._runner, may_fail, begun.attempt.result if begun.attempt else None
        )
        if begun.distinct is None:
            return of_distinct
        outcome = spread(of_distinct, begun.distinct.equals)
        if not outcome.stopped:
            self.counts["rows_duplicate"] += int(outcome.scored.sum()) - int(
                of_distinct.scored.sum()
            )
            outcome.stopped = may_fail is not None and len(outcome.failures) > may_fail
        return outcome

    def _heed_bytes(self, batch: pa.RecordBatch) -> None:
        wanted = self.size.rows
        if batch.num_rows < wanted and batch.nbytes * wanted > self._max_bytes * batch.num_rows:
            self.size.too_many_bytes(wanted)

    def _measure(self, begun: _Begun, seconds: float) -> None:
        """Learns what a batch cost: where a device computes beside this process, the slower of the
        two decides.
        """
        if self._whole:
            device_s = begun.attempt.device_s if begun.attempt else 0.0
            self.size.record(begun.batch.num_rows, max(seconds, device_s))

    def _learn(self, rows: int, outcome: BatchOutcome) -> None:
        if outcome.too_large is not None:
            self.size.out_of_memory(outcome.too_large)
        self._whole = outcome.too_large is None and outcome.attempts == 1
        counts = self.counts
        counts["rows_in"] += rows
        counts["rows_scored"] += int(outcome.scored.sum())
        counts["rows_failed"] += len(outcome.failures)
        counts["batches"] += 1
        counts["attempts"] += outcome.attempts
        counts["largest_batch"] = max(counts["largest_batch"], rows)
        counts["smallest_batch"] = min(counts["smallest_batch"] or rows, rows)
