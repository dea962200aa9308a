"""A device that is played: it computes at once, but ends later, by a clock that the test moves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

LATE = "late"


@dataclass
class PlayedClock:
    """Seconds that pass only where somebody takes time."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class PlayedMark:
    number: int
    begun: float
    ended: float
    error: Exception | None


@dataclass
class PlayedLane:
    """One queue: a batch takes `batch_s`, from when it was queued or the one before ended.

    Attributes:
        log: what was done, in order, with the number of the batch.
        late: gives the error that the device finds in an output, which `wait` then raises.
        most: most batches that were on the device, or waited to be read, at a time.
    """

    clock: PlayedClock = field(default_factory=PlayedClock)
    batch_s: float = 0.0
    late: Callable[[Any], Exception | None] = lambda _: None
    log: list[str] = field(default_factory=list)
    moved: list[bool] = field(default_factory=list)
    most: int = 0
    _free_at: float = 0.0
    _number: int = 0
    _held: int = 0

    def send(self, tensors: Mapping[str, Any], move: bool) -> dict[str, Any]:
        self.moved.append(move)
        return dict(tensors)

    def compute(self, work: Callable[[], Any]) -> tuple[Any, PlayedMark]:
        number, self._number = self._number, self._number + 1
        self.log.append(f"compute {number}")
        output = work()
        begun = max(self.clock(), self._free_at)
        self._free_at = begun + self.batch_s
        self._held += 1
        self.most = max(self.most, self._held)
        return output, PlayedMark(number, begun, self._free_at, self.late(output))

    def wait(self, mark: PlayedMark) -> None:
        self.log.append(f"wait {mark.number}")
        self.clock.now = max(self.clock.now, mark.ended)
        self._held -= 1
        if mark.error is not None:
            raise mark.error

    def span(self, mark: PlayedMark) -> tuple[float, float]:
        return mark.begun, mark.ended

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        self.log.append("read")
        yield
