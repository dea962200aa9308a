"""Two batches on a device at a time: whose error is whose, what happens in which order, and how
long everybody took.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fake_handlers import Doubling, stream_of
from hypothesis import given, settings
from hypothesis import strategies as st
from lanes import PlayedLane

from batchinfer.errors import ModelError, TooManyQuarantined
from batchinfer.inference.batching import FixedSize
from batchinfer.inference.engine import BatchScorer, Scored
from batchinfer.inference.overlap import DeviceUse, OverlapRunner

XS = st.lists(st.integers(0, 20), max_size=60)
SIZES = st.lists(st.integers(0, 25), max_size=6)
STAGES = ["encode", "forward", "late", "decode"]


def late_for(poison: set[int]) -> Any:
    """The device's own error, found when it is waited for."""

    def late(output: np.ndarray) -> Exception | None:
        bad = poison & set(output.tolist())
        return ValueError(f"cannot take {min(bad)}") if bad else None

    return late


def plain(xs: list[int], but: set[int]) -> list[tuple[int, float]]:
    return [(line, 2.0 * x + 1) for line, x in enumerate(xs, 1) if x not in but]


def scored_rows(results: list[Scored]) -> list[tuple[int, float]]:
    return [
        row
        for scored in results
        for row in zip(
            scored.rows.column("source_line").to_pylist(),
            scored.predictions["score"].to_pylist(),
            strict=True,
        )
    ]


@settings(max_examples=150, deadline=None)
@given(
    XS,
    SIZES,
    st.sets(st.integers(0, 20)),
    st.sampled_from(STAGES),
    st.integers(1, 70),
    st.booleans(),
)
def test_any_poison_rows_cost_only_themselves(
    xs: list[int],
    sizes: list[int],
    poison: set[int],
    stage: str,
    batch_rows: int,
    deduplicate: bool,
) -> None:
    lane = PlayedLane(late=late_for(poison if stage == "late" else set()))
    runner = OverlapRunner(Doubling(() if stage == "late" else sorted(poison), stage), lane)
    scorer = BatchScorer(runner, batch_rows, columns_for_fingerprint=["x"], deduplicate=deduplicate)
    results = list(scorer.score(stream_of(xs, sizes)))
    assert scored_rows(results) == plain(xs, poison)
    bad = [line for line, x in enumerate(xs, 1) if x in poison]
    assert [record.source_line for scored in results for record in scored.failed] == bad
    assert [at for scored in results for at in scored.failed_at] == [line - 1 for line in bad]
    reason = {"encode": "encode_error", "decode": "decode_error"}.get(stage, "model_error")
    assert {record.reason for scored in results for record in scored.failed} <= {reason}
    assert (
        scorer.counts["rows_in"]
        == len(xs)
        == scorer.counts["rows_scored"] + scorer.counts["rows_failed"]
    )
    assert lane.most <= 2


class Logged(Doubling):
    """Writes into the lane's log, takes a second of the clock to encode and two to decode."""

    def __init__(self, lane: PlayedLane, **faults: Any) -> None:
        super().__init__(**faults)
        self.lane = lane

    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
        self.lane.log.append(f"encode {batch.num_rows}")
        self.lane.clock.now += 1
        return super().encode(batch)

    def decode(self, output: Any) -> dict[str, pa.Array]:
        self.lane.log.append(f"decode {len(output)}")
        self.lane.clock.now += 2
        return super().decode(output)


def test_the_next_batch_is_on_its_way_before_the_last_one_is_waited_for() -> None:
    lane = PlayedLane()
    list(BatchScorer(OverlapRunner(Logged(lane), lane), 2).score(stream_of([1, 2, 3, 4, 5], [])))
    expected = ["encode 2", "compute 0", "encode 2", "compute 1", "wait 0", "read", "decode 2"]
    expected += [
        "encode 1",
        "compute 2",
        "wait 1",
        "read",
        "decode 2",
        "wait 2",
        "read",
        "decode 1",
    ]
    assert lane.log == expected


def test_a_batch_that_fails_at_once_is_settled_before_another_one_is_begun() -> None:
    lane = PlayedLane()
    handler = Logged(lane, poison=[4], stage="forward")
    results = list(
        BatchScorer(OverlapRunner(handler, lane), 2).score(stream_of([1, 2, 3, 4, 5, 6], []))
    )
    assert scored_rows(results) == plain([1, 2, 3, 4, 5, 6], {4})
    expected = ["encode 2", "compute 0", "encode 2", "compute 1", "wait 0", "read", "decode 2"]
    expected += [
        "encode 1",
        "compute 2",
        "wait 2",
        "read",
        "decode 1",
        "encode 1",
        "compute 3",
    ]  # halves of the second, alone
    expected += ["encode 2", "compute 4", "wait 4", "read", "decode 2"]
    assert lane.log == expected


def test_memory_that_ends_is_the_matter_of_the_batch_that_asked_for_it() -> None:
    class Growing(FixedSize):
        """The second batch is larger than what fits."""

        @property
        def rows(self) -> int:
            return 4 if not handler.calls else min(8, self.ceiling)

    handler = Doubling(most_rows=7)
    size = Growing(8)
    scorer = BatchScorer(OverlapRunner(handler, PlayedLane()), size)
    results = list(scorer.score(stream_of(list(range(20)), [])))
    assert scored_rows(results) == plain(list(range(20)), set())
    assert handler.calls[:4] == [4, 8, 4, 4]
    assert size.ceiling == 7
    assert handler.calls[4:] == [7, 1]


def test_times_add_up_and_the_device_waits_for_rows() -> None:
    lane = PlayedLane(batch_s=2.0)
    scorer = BatchScorer(OverlapRunner(Logged(lane), lane, lane.clock), 1, clock=lane.clock)
    list(scorer.score(stream_of([1, 2, 3, 4], [])))
    runner: Any = scorer._runner
    scorer.close()
    # Encodes 0-1 and 1-2; waits 2-3 for the first, which is computed 1-3; decodes 3-5, encodes 5-6,
    # decodes 6-8, encodes 8-9, …
    assert runner.timings == {"encode": 4.0, "forward": 1.0, "decode": 8.0}
    assert sum(scorer.timings.values()) == lane.clock.now
    assert (runner.use.computing, runner.use.input, runner.use.output) == (8.0, 3.0, 2.0)
    assert lane.clock.now == 13.0


def test_a_slow_device_never_waits() -> None:
    lane = PlayedLane(batch_s=10.0)
    scorer = BatchScorer(OverlapRunner(Logged(lane), lane, lane.clock), 1, clock=lane.clock)
    list(scorer.score(stream_of([1, 2, 3, 4], [])))
    runner: Any = scorer._runner
    scorer.close()
    assert (runner.use.computing, runner.use.input, runner.use.output) == (40.0, 1.0, 2.0)
    assert lane.clock.now == 43.0


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([(0, 1, 3)], (2, 1, 0)),
        ([(0, 1, 3), (1, 3, 5)], (4, 1, 0)),
        ([(0, 1, 3), (2, 6, 7)], (3, 4, 0)),
        ([(0, 1, 3), (5, 6, 7)], (3, 2, 2)),
    ],
)
def test_what_a_device_waits_for(
    batches: list[tuple[float, float, float]], expected: tuple[float, float, float]
) -> None:
    use = DeviceUse()
    for batch in batches:
        use.add(*batch)
    assert (use.computing, use.input, use.output) == expected
    use.end(batches[-1][2] + 1.5)
    assert use.output == expected[2] + 1.5


def test_the_slower_of_the_device_and_this_process_decides_what_a_size_costs() -> None:
    class Told(FixedSize):
        costs: list[float] = []  # noqa: RUF012 - of this test alone

        def record(self, rows: int, seconds: float) -> None:
            self.costs.append(seconds)

    for batch_s, cost in ((1.0, 3.0), (10.0, 10.0)):
        lane, size = PlayedLane(batch_s=batch_s), Told(1)
        size.costs.clear()
        list(
            BatchScorer(
                OverlapRunner(Logged(lane), lane, lane.clock), size, clock=lane.clock
            ).score(stream_of([1, 2, 3], []))
        )
        assert size.costs == [cost] * 3


def test_a_lost_device_ends_the_attempt_and_blames_no_row() -> None:
    lane = PlayedLane(
        late=lambda output: (
            RuntimeError("CUDA error: device-side assert triggered") if 3 in output else None
        )
    )
    stream = BatchScorer(OverlapRunner(Doubling(), lane), 1).score(stream_of([1, 2, 3, 4], []))
    assert scored_rows([next(stream), next(stream)]) == plain([1, 2], set())
    with pytest.raises(RuntimeError, match="device-side assert"):
        next(stream)


def test_what_a_handler_itself_refuses_ends_the_run() -> None:
    class Refusing(Doubling):
        def forward(self, tensors: dict[str, Any]) -> Any:
            raise ModelError("no")

    with pytest.raises(ModelError, match="no"):
        list(BatchScorer(OverlapRunner(Refusing(), PlayedLane()), 1).score(stream_of([1], [])))


def test_too_many_failures_end_the_stream_with_those_that_were_found() -> None:
    lane = PlayedLane(late=late_for({1, 2, 3}))
    scorer = BatchScorer(OverlapRunner(Doubling(), lane), 2, max_failures=1)
    with pytest.raises(TooManyQuarantined):
        list(scorer.score(stream_of([1, 2, 3, 4, 5, 6], [])))
    assert [record.source_line for record in scorer.unreported] == [1, 2]


class Weighing(Doubling):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[int]] = []

    def forward(self, tensors: dict[str, Any]) -> Any:
        self.seen.append(tensors["x"].tolist())
        return super().forward(tensors)

    def weight(self, batch: pa.RecordBatch) -> np.ndarray:
        return batch.column("x").to_numpy()


def test_rows_that_are_batched_by_weight_overlap_too() -> None:
    xs = [5, 1, 4, 2, 3, 9, 8, 7]
    lane = PlayedLane(late=late_for({4}))
    handler = Weighing()
    scorer = BatchScorer(OverlapRunner(handler, lane), 2, max_weight=20)
    results = list(scorer.score(stream_of(xs, [])))
    assert scored_rows(results) == plain(xs, {4})
    assert lane.most == 2
    assert handler.seen == [[1, 2], [3, 4], [5, 7], [3], [4], [8, 9]]


@pytest.mark.parametrize("moves", [False, True])
def test_who_moves_the_tensors_is_told_to_the_lane(moves: bool) -> None:
    lane = PlayedLane()
    list(BatchScorer(OverlapRunner(Doubling(), lane, moves=moves), 1).score(stream_of([1], [])))
    assert lane.moved == [moves]


def test_a_device_in_step_with_this_process_is_told_by_the_stages() -> None:
    lane = PlayedLane()
    scorer = BatchScorer(Logged(lane), 1, clock=lane.clock)
    list(scorer.score(stream_of([1, 2], [])))
    assert scorer.device_use() == DeviceUse(computing=0.0, input=2.0, output=4.0)
