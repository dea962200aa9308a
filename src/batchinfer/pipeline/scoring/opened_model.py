"""The model of one task, opened: in this process, or in a child of its own.

A task's first attempt scores in the worker, every later one in a child: what made the first one
crash or hang then costs the child.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from batchinfer.inference.batching import LARGEST_ROWS, LARGEST_ROWS_GPU, new_size
from batchinfer.inference.workers import load_once, size_once
from batchinfer.masking.sensitive_columns import SensitiveColumns
from batchinfer.pipeline.reuse.carried_rows import open_index
from batchinfer.pipeline.scoring.devices import (
    choose_device,
    describe_device,
    load_folder,
    owned_gpu,
    runner_on,
)
from batchinfer.pipeline.scoring.task_plan import ScoringPlan
from batchinfer.pipeline.scoring.task_result import CompiledPrograms, Rates
from batchinfer.spark.sending import bundle_folder

if TYPE_CHECKING:
    from batchinfer.contracts import ScoringHandler
    from batchinfer.inference.engine import BatchScorer
    from batchinfer.inference.watchdog import ChildRunner


class OpenedModel:
    """What scores the batches of one task, on which device, and how long it took to load.

    Attributes:
        child: has the model; None: this process has loaded it.
        gpu: the address that Spark gave to this task; None where it gave none.
        device: in words, as reports and batch sizes know it; empty with a child.
        scorer: scores batches.
        known: rows that were answered before; None: there are none.
        compiled: the handler, where its module is compiled; else None.
        load_s: seconds that opening took.

    Runs on: executor, or the driver for a few rows.
    """

    def __init__(self, plan: ScoringPlan, child: ChildRunner | None = None) -> None:
        self.plan, self.threads, self.child = plan.model, plan.threads, child
        self.key = tuple(plan.key)
        self.sensitive = SensitiveColumns(frozenset(plan.sensitive))
        started = time.perf_counter()
        # Imports PyTorch: a part of what loading the model takes.
        self.gpu = owned_gpu() if child is None else None
        self.torch_device = choose_device(self.plan.device, self.gpu) if child is None else ""
        self.device = (
            describe_device(self.torch_device, self.threads, self.plan.precision, self.is_compiled)
            if child is None
            else ""
        )
        if child is None and plan.modules not in sys.path:
            sys.path.append(plan.modules)
        self.known = None if plan.known is None else open_index(plan.known)
        self.compiled: Any = None
        self.scorer = self._open()
        self._compiled_before_s = self.compiled.compile_s if self.compiled else 0.0
        self.load_s = time.perf_counter() - started

    @property
    def is_compiled(self) -> bool:
        return self.plan.compiled is not None

    @property
    def compile_s(self) -> float:
        """Seconds that compiling took in this task."""
        return self.compiled.compile_s - self._compiled_before_s if self.compiled else 0.0

    def _open(self) -> BatchScorer:
        """The model in this process at a task's first attempt; in a child of its own from the
        second on.

        The first attempt may have ended in a crash or a hang; in a child, either costs the child,
        and the row is found.
        """
        from batchinfer.inference.engine import BatchScorer
        from batchinfer.inference.watchdog import ChildRunner

        plan = self.plan
        options: dict[str, Any] = {
            "max_bytes": plan.max_bytes,
            "max_weight": plan.max_weight,
            # A GPU computes while this core reads; whether it pays on a CPU is measured.
            "read_ahead": self.child is None and not self.device.startswith("cpu"),
            "columns_for_fingerprint": list(plan.inputs),
            "key_columns": list(self.key),
            "max_failures": plan.max_failures,
            # The model reads the columns of the fingerprint and no others, so equal fingerprints
            # have equal predictions.
            "deduplicate": plan.deduplicate,
            "sensitive": self.sensitive,
            "known": self.known,
        }
        if self.child is None and _is_tried_again():
            self.child = ChildRunner(self._loader(), plan.timeout_s, threads=self.threads)
        if self.child is not None:
            return BatchScorer(self.child.loaded(), batch_rows=plan.batch_rows, **options)
        # A process that is given another GPU loads the model there, and that GPU's memory is
        # another ceiling.
        device = self.torch_device
        model = f"{plan.digest}:{device}:{plan.precision}:{self.is_compiled}"
        handler = load_once(
            model,
            self._compiling_loader() if self.is_compiled else self._loader(),
            threads=self.threads,
        )
        self.compiled = handler if self.is_compiled else None
        known = self._told_rates
        largest = LARGEST_ROWS if device == "cpu" else LARGEST_ROWS_GPU
        size = size_once(
            f"{model}:{plan.batch_rows}:{self.threads}:{self.known is not None}",
            lambda: new_size(plan.batch_rows, known, largest),
        )
        return BatchScorer(runner_on(device, handler, plan.timeout_s), batch_rows=size, **options)

    def _loader(self) -> Callable[[], ScoringHandler]:
        from functools import partial

        plan = self.plan
        return partial(
            load_folder,
            bundle_folder(plan.archive),
            plan.digest,
            self.torch_device,
            plan.trust,
            plan.precision,
        )

    def _compiling_loader(self) -> Callable[[], ScoringHandler]:
        from functools import partial

        from batchinfer.pipeline.scoring.compiled_programs import device_key, load_compiled

        plan = self.plan
        return partial(
            load_compiled,
            self._loader(),
            plan.compiled or "",
            device_key(self.device),
            plan.precision,
        )

    def rates(self) -> Rates:
        """Rows per second by batch size, as this task measured them. Where rows are known, batches
        are what is left of a window: they say nothing of whole ones, so what was told is handed on.
        """
        if self.child is not None:
            return Rates()
        curve = self.scorer.size.curve if self.known is None else self._told_rates
        return Rates({self.device: curve})

    @property
    def _told_rates(self) -> dict[int, float]:
        return dict(self.plan.known_rates.of(self.device))

    def told_of_compiling(self) -> CompiledPrograms:
        """What was compiled in this task, and what went wrong."""
        if not self.compiled:
            return CompiledPrograms()
        from batchinfer.pipeline.scoring.compiled_programs import device_key, newly_compiled

        program = newly_compiled(self.compiled, device_key(self.device))
        return CompiledPrograms(program, tuple(self.compiled.warnings))


def _is_tried_again() -> bool:
    from pyspark import TaskContext

    task = TaskContext.get()
    return task is not None and task.attemptNumber() > 0
