"""Scoring in a child process, so that a crash or a hang costs the child and not the task.

Owns the child: its start, what it is sent, how long it may take, and its end. Knows models only by
a loader. The in-process watchdog, which ends a hanging worker, is `attempt.InProcess`; a task that
is tried again comes here, and so do slices of few rows, which no worker is started for.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
from typing_extensions import Self

from batchinfer import errors, stopping
from batchinfer.contracts import ScoringHandler
from batchinfer.errors import BatchInferError, ModelError
from batchinfer.inference.attempt import CRASH, HANG, Clock, Failure, Predictions
from batchinfer.inference.child import LoadedReply, RefusedReply, ScoredReply, to_ipc

TIMEOUT_S = 120.0
LOAD_TIMEOUT_S = 600.0
# One bad row in a batch of 8192 costs 14 children, of some seconds each.
MAX_LOSSES = 300
# Parts of a batch that hung are given this many times as long as the slowest good batch took, so
# that the search for the row does not wait for the whole timeout at each halving; a single row is
# always given the whole.
_PATIENCE = 10
# A new child also has to warm up, within the time of its first batch.
_SHORTEST_S = 5.0
_END_S = 5.0
# `multiprocessing` would run the main module once more in the child: a script of a user's that
# scores would score again.
_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from batchinfer.inference.child import run_child
run_child(int(sys.argv[1]))
"""
_STDERR = 2


class ChildRunner:
    """Runs a handler in a child process, which starts at once; starts another child when one is
    lost.

    Args:
        loader: makes the handler, in the child; picklable.
        timeout_s: seconds for a batch.
        load_timeout_s: seconds for the child to start and to load.
        clock: seconds, monotonic.
        max_losses: children that may be lost before the model as a whole is to blame.
        threads: of a forward pass on the CPU; None leaves it to the environment.

    Attributes:
        starts: children started so far.
        declared: Arrow type of each prediction column; empty until the first child has loaded the
            model.
        peak_bytes: most memory that a child has had in use, as far as they have answered.
    """

    def __init__(
        self,
        loader: Callable[[], ScoringHandler],
        timeout_s: float = TIMEOUT_S,
        load_timeout_s: float = LOAD_TIMEOUT_S,
        clock: Clock = time.perf_counter,
        max_losses: int = MAX_LOSSES,
        threads: int | None = None,
    ) -> None:
        self._loader = loader
        self._threads = threads
        self._max_losses = max_losses
        self._timeout_s = timeout_s
        self._load_timeout_s = load_timeout_s
        self._clock = clock
        self._slowest_s: float | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Any = None
        self._is_loaded = False
        self.starts = 0
        self.peak_bytes = 0
        self.timings = {"encode": 0.0, "forward": 0.0, "decode": 0.0, "child": 0.0}
        self.declared: Mapping[str, pa.DataType] = {}
        self._start()

    def loaded(self) -> Self:
        """Waits until a child has loaded the model.

        Raises:
            ModelError: it cannot be loaded, or not in time; too many children were lost.
        """
        if self._line is None:
            self._start()
        if not self._is_loaded:
            started = self._clock()
            answer = self._first_answer(self._line)
            if self.starts > 1:  # the first load is the caller's, as in its own process
                self.timings["child"] += self._clock() - started
            if not isinstance(answer, LoadedReply):
                self.close()
                raise _again(answer)
            self.declared = answer.declared
            self._is_loaded = True
        return self

    def run(self, batch: pa.RecordBatch, probing: bool = False) -> Predictions | Failure:
        """Predictions of all rows of a batch, or why there are none; `hang` and `crash` are reasons
        too.

        Runs on: executor.

        Raises:
            ModelError: as the handler raised it in the child; a new child cannot load the model;
                too many were lost.
        """
        line = self.loaded()._line
        patience_s = self._patience_s(probing)
        start = self._clock()
        try:
            line.send_bytes(to_ipc(batch))
            if not line.poll(patience_s):
                self.close()
                return Failure(HANG, f"no answer within {patience_s:g} s; the process was ended")
            answer = line.recv()
        except (EOFError, OSError):
            stopping.check()
            return Failure(CRASH, f"the process {self._reap()} while it scored these rows")
        if isinstance(answer, ScoredReply):
            self._learn(answer, self._clock() - start)
            return answer.predictions
        if isinstance(answer, RefusedReply):
            raise _again(answer)
        if answer.reason == CRASH:
            self.close()
        return answer

    def close(self) -> None:
        """Ends the child, whatever it is doing."""
        line, process = self._line, self._process
        self._line = self._process = None
        self._is_loaded = False
        if line is not None:
            line.close()
        if process is not None:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)

    def _start(self) -> None:
        """Starts a child and tells it what to load; does not wait for it."""
        stopping.check()
        if self.starts > self._max_losses:
            raise ModelError(
                f"{self.starts} processes of this model crashed or hung in one task; allowed: "
                f"{self._max_losses}"
            )
        started = self._clock()
        line, theirs = multiprocessing.Pipe()
        environment = dict(os.environ)
        if self._threads is not None:
            environment["OMP_NUM_THREADS"] = str(self._threads)
        # What a model prints must not get into the output of a command.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), json.dumps(sys.path)],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=_STDERR,
        )
        theirs.close()
        self._line = line
        self.starts += 1
        with contextlib.suppress(
            OSError
        ):  # it ended at once; what it says, or does not, is the first answer
            # Should this process be killed, nobody would end a child that hangs: it ends itself
            # some time later.
            line.send((self._loader, 2 * self._timeout_s + _END_S))
        self.timings["child"] += self._clock() - started

    def _first_answer(self, line: Any) -> LoadedReply | RefusedReply:
        try:
            if line.poll(self._load_timeout_s):
                return line.recv()
            reason = f"took more than {self._load_timeout_s:g} s"
        except (EOFError, OSError):
            reason = self._reap()
        return RefusedReply(
            "ModelError",
            (
                f"the model cannot be loaded in a process of its own: the process {reason} while "
                "loading",
            ),
            None,
        )

    def _patience_s(self, probing: bool) -> float:
        if not probing:
            return self._timeout_s
        usual = self._timeout_s / 4 if self._slowest_s is None else _PATIENCE * self._slowest_s
        return min(self._timeout_s, max(_SHORTEST_S, usual))

    def _learn(self, answer: ScoredReply, seconds: float) -> None:
        self.peak_bytes = max(self.peak_bytes, answer.peak_bytes)
        self._slowest_s = max(self._slowest_s or 0.0, seconds)
        spent = sum(answer.seconds.values())
        for stage, of_stage in answer.seconds.items():
            self.timings[stage] += of_stage
        self.timings["child"] += max(0.0, seconds - spent)

    def _reap(self) -> str:
        """How the child ended, in words."""
        process = self._process
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
        code = None if process is None else process.returncode
        self.close()
        if code is None:
            return "closed its line"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"


def _again(refused: RefusedReply) -> BatchInferError:
    """The error that was raised in the child, of its class."""
    class_ = getattr(errors, refused.class_name, ModelError)
    return class_(list(refused.problems), refused.hint)
