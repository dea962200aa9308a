"""The executor's side of scoring: rows of a slice become staged Parquet files of predictions.

The three roads differ only in where the batches come from; all of them end in `ScoringTask.run`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchinfer import contracts
from batchinfer.contracts import BadRecord
from batchinfer.errors import TooManyQuarantined
from batchinfer.inference.workers import peak_bytes
from batchinfer.json_values import from_json, to_json
from batchinfer.pipeline.reuse.finished_tasks import leave_finished
from batchinfer.pipeline.reuse.task_origins import TaskOrigin
from batchinfer.pipeline.scoring.opened_model import OpenedModel
from batchinfer.pipeline.scoring.task_plan import ScoringPlan
from batchinfer.pipeline.scoring.task_result import DeviceSeconds, TaskResult
from batchinfer.pipeline.slices.reading import SliceSplit, read_rows
from batchinfer.prepare.table_step import RAW, REMOVED
from batchinfer.spark.progress import TaskProgress

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from batchinfer.inference.attempt import Failure
    from batchinfer.inference.watchdog import ChildRunner
    from batchinfer.inference.windows import Scored


class ScoreSplits:
    """Road `direct`: the work of `run_tasks`, which reads a split of the Parquet row groups and
    scores it.

    It carries the plan, which Spark sends once: in each task's JSON it would be most of what the
    driver makes and holds.
    """

    def __init__(self, plan: ScoringPlan) -> None:
        self.plan = to_json(plan)

    def __call__(self, split: SliceSplit) -> Iterator[TaskResult]:
        plan = from_json(ScoringPlan, self.plan)
        if not plan.digest:
            yield ScoringTask(plan).run(read_rows(split, plan.columns))
            return
        origin = TaskOrigin.of(plan.digest, split.split)
        # Nothing tells how many rows are the slice's own where files hold others too.
        facts = origin.as_facts() if split.within is None else {}
        result = ScoringTask(plan, facts=facts).run(read_rows(split, plan.columns))
        if not result.stopped:
            task = result.as_finished(origin, plan.forced, plan.predictions, plan.quarantine)
            leave_finished(plan.predictions, plan.pipeline, plan.slice, plan.run_id, task)
        yield result


class ScoreArrow:
    """Road `arrow`: the function of `mapInArrow`, for columns of these names in this order; one row
    of JSON a task.
    """

    def __init__(self, plan: ScoringPlan, names: Sequence[str]) -> None:
        self.plan, self.names = to_json(plan), list(names)

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        named = (batch.rename_columns(self.names) for batch in batches)
        yield pa.RecordBatch.from_pydict(
            {"result": [_guarded(from_json(ScoringPlan, self.plan), named)]}
        )


class ScorePandas:
    """Road `pandas`: the function of `mapInPandas`, for a frame that `pandas_road.packed` made; one
    row of JSON a task.
    """

    def __init__(self, plan: ScoringPlan, types: Mapping[str, str]) -> None:
        self.plan, self.types = to_json(plan), dict(types)

    def __call__(self, frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        import pandas as pd

        from batchinfer.config.types import parse_ddl
        from batchinfer.pipeline.scoring.pandas_road import unpacked

        types = {name: parse_ddl(type_) for name, type_ in self.types.items()}
        batches = (unpacked(frame, types) for frame in frames)
        yield pd.DataFrame({"result": [_guarded(from_json(ScoringPlan, self.plan), batches)]})


def _guarded(plan: ScoringPlan, batches: Iterable[pa.RecordBatch]) -> str:
    from batchinfer.spark.tasks import guarded

    return guarded(lambda: ScoringTask(plan).run(batches))


@dataclass
class Account:
    """What became of a task's rows so far, where the batches of its model are not all of them.

    Attributes:
        distinct: rows that went through the model.
        seconds: inside this task, beside the model's.
        seconds_of_senders: in the tasks that sent it its rows.
    """

    rows_in: int = 0
    distinct: int = 0
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    seconds_of_senders: dict[str, float] = field(default_factory=dict[str, float])


class ScoringTask:
    """One task: batches in, staged files and counts out.

    Args:
        child: has the model; None: this process loads it, or starts a child.
        account: None: all rows come in batches of the model.
        facts: that the footers of its files tell.
    """

    def __init__(
        self,
        plan: ScoringPlan,
        child: ChildRunner | None = None,
        account: Account | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        self.plan, self.account, self.facts = plan, account, facts
        self.started = time.perf_counter()
        self.model = OpenedModel(plan, child)
        self.scorer = self.model.scorer
        self.failed: list[BadRecord] = []
        self.keyless = 0
        self.removed = 0
        self.rows = self.carried = 0
        self.write_s = 0.0
        self.task_progress = TaskProgress(plan.row_progress)
        self.constants = self._constants()
        self.writer = self._open_writer()

    def _open_writer(self) -> Any:
        from batchinfer.lake.staging import StagedWriter

        key = list(self.plan.key)
        schema = self.plan.file_schema()
        # One column of several that make a key may repeat on many rows.
        distinct = [
            *(key if len(key) == 1 else ()),
            contracts.INPUT_FINGERPRINT,
            *self.plan.model.real_outputs(),
        ]
        return StagedWriter(
            self.plan.predictions,
            schema,
            (contracts.SLICE,),
            stats_columns=key,
            sort_by=key,
            distinct=distinct,
            run_id=self.plan.run_id,
            facts=self.facts,
        )

    def run(self, batches: Iterable[pa.RecordBatch]) -> TaskResult:
        """Scores and writes the rows; what was staged, counted and timed."""
        return self.conclude(self.scorer.score(self._with_keys(self._remaining(batches))))

    def conclude(self, results: Iterable[Scored]) -> TaskResult:
        """Writes what was scored, and quarantines what was not."""
        try:
            for scored in results:
                started = time.perf_counter()
                self._take(scored)
                self.write_s += time.perf_counter() - started
                self.task_progress.tell(*self.counts())
            return self._finish()
        except TooManyQuarantined as error:
            # The run ends with exit 5; the rows that failed are kept all the same.
            self.failed += self.scorer.unreported
            self.writer.abort()
            return self._finish(stopped=list(error.problems))
        except BaseException:
            self.writer.abort()
            raise
        finally:
            self.scorer.close()

    def _remaining(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows that no table transform removed; the others are quarantined with the reason they
        were marked with.
        """
        if not self.plan.removals:
            yield from batches
            return
        for batch in batches:
            reasons = batch.column(REMOVED)
            rows = batch.select(list(self.plan.columns))
            if reasons.null_count == batch.num_rows:
                yield rows
                continue
            self._quarantine_removed(batch.filter(reasons.is_valid()))
            yield rows.filter(reasons.is_null())

    def _quarantine_removed(self, removed: pa.RecordBatch) -> None:
        from batchinfer.inference.failed_rows import row_json

        key = list(self.plan.key)
        self.removed += removed.num_rows
        for row in removed.select(
            [*dict.fromkeys([*key, *place_columns(removed)]), REMOVED, RAW]
        ).to_pylist():
            self.failed.append(
                BadRecord(
                    source_file=row.get(contracts.SOURCE_FILE),
                    source_line=row.get(contracts.SOURCE_LINE),
                    raw=row[RAW].encode(),
                    reason=row[REMOVED],
                    message=self.plan.removals[row[REMOVED]],
                    key=row_json({name: row[name] for name in key}),
                )
            )

    def _with_keys(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows that have a key; the others are quarantined. Tables that were landed have none
        of these.
        """
        import pyarrow as pa

        from batchinfer.inference.failed_rows import bad_records

        for batch in batches:
            keyless = keyless_rows(batch, list(self.plan.key))
            if not keyless:
                yield batch
                continue
            self.failed += bad_records(
                batch,
                dict.fromkeys(keyless, self.missing_key),
                list(self.plan.key),
                self.plan.model.inputs,
            )
            self.keyless += len(keyless)
            yield batch.filter(
                pa.array([row not in keyless for row in range(batch.num_rows)], pa.bool_())
            )

    def _take(self, scored: Scored) -> None:
        import pyarrow as pa

        self.failed += scored.failed
        count = scored.rows.num_rows
        if count == 0:
            return
        self.rows += count
        # Each row's own values: equal rows share a prediction, and no more than that.
        own = (*self.plan.key, *self.plan.carried)
        columns = {name: scored.rows.column(name) for name in own} | dict(scored.predictions)
        columns[contracts.INPUT_FINGERPRINT] = scored.fingerprints
        # What is the same on every row is given once: in the file it is a dictionary of one entry.
        constants = self.constants
        if self.model.known is not None and scored.known_at is not None:
            self.carried += int((scored.known_at >= 0).sum())
            columns |= self.model.known.lineage(scored.known_at, constants)
            constants = {name: value for name, value in constants.items() if name not in columns}
        batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
        self.writer.write(batch, {contracts.SLICE: self.plan.slice}, constants)

    @property
    def missing_key(self) -> Failure:
        from batchinfer.inference.attempt import Failure

        return Failure(
            "null_key",
            f"a key column is null; allowed: a value in each of {', '.join(self.plan.key)}",
        )

    def counts(self) -> tuple[int, int]:
        """Rows that came in so far, and how many of them were quarantined."""
        through_model = int(self.scorer.counts["rows_in"])
        rows_in = self.account.rows_in if self.account else through_model
        return rows_in + self.keyless + self.removed, len(self.failed)

    def _reused(self) -> int:
        """Rows that have the prediction of an equal row, of this run or an earlier one."""
        if self.account:
            return self.rows - self.account.distinct
        return int(self.scorer.counts["rows_duplicate"]) + self.carried

    def _seconds(self) -> dict[str, float]:
        """Seconds of each stage so far."""
        stages = {**self.scorer.timings, "load": self.model.load_s, "write": self.write_s}
        if self.model.compiled:
            # It happens inside of the first forward pass.
            stages["compile"] = self.model.compile_s
            stages["forward"] -= stages["compile"]
        if self.account:
            for told in (self.account.seconds, self.account.seconds_of_senders):
                stages |= {
                    stage: stages.get(stage, 0.0) + seconds for stage, seconds in told.items()
                }
        return stages

    def _elapsed(self) -> float:
        """Seconds since the task began, and those of the tasks that sent it its rows."""
        sent = sum(self.account.seconds_of_senders.values()) if self.account else 0.0
        return time.perf_counter() - self.started + sent

    def _constants(self) -> dict[str, pa.Scalar]:
        import pyarrow as pa

        plan = self.plan
        return {
            contracts.VARIANT: pa.scalar(contracts.CHAMPION),
            contracts.SERVED: pa.scalar(True),
            contracts.MODEL_NAME: pa.scalar(plan.model.name),
            contracts.MODEL_VERSION: pa.scalar(plan.model.version),
            contracts.BUNDLE_DIGEST: pa.scalar(plan.model.digest),
            contracts.SOURCE_TABLE: pa.scalar(plan.source_table),
            contracts.SOURCE_VERSION: pa.scalar(plan.source_version, pa.int64()),
            contracts.RUN_ID: pa.scalar(plan.run_id),
            contracts.SCORED_AT: pa.scalar(plan.scored_at, pa.timestamp("us", tz="UTC")),
        }

    def _use(self) -> DeviceSeconds:
        use = self.scorer.device_use()
        compiled_s = self._seconds().get("compile", 0.0)
        # What this process writes in step with the device, the device waits for; beside it, `use`
        # has counted it.
        written_s = (
            0.0 if self.model.device and not self.model.device.startswith("cpu") else self.write_s
        )
        return DeviceSeconds(
            self.model.device or "processes apart",
            computing=round(use.computing - compiled_s, 4),
            input=round(use.input, 4),
            output=round(use.output + written_s, 4),
        )

    def _finish(self, stopped: Sequence[str] = ()) -> TaskResult:
        from batchinfer.lake.quarantine import write_quarantine

        started = time.perf_counter()
        files = self.writer.close()
        quarantined = write_quarantine(
            self.plan.quarantine, self.failed, pipeline=self.plan.pipeline, stage="score",
            run_id=self.plan.run_id, published=True, slice=self.plan.slice,
        )  # fmt: skip
        self.write_s += time.perf_counter() - started
        rows_in, failed = self.counts()
        self.task_progress.end(rows_in, failed)
        child = self.model.child
        examples = [
            record.message for record in self.failed if record.reason not in self.plan.removals
        ]
        return TaskResult(
            files=tuple(files),
            quarantine=tuple(quarantined),
            rows_in=rows_in,
            rows_scored=self.rows - self._reused(),
            rows_reused=self._reused(),
            rows_quarantined=failed,
            rows_removed=self.removed,
            reasons=Counter(record.reason for record in self.failed),
            examples=tuple(examples[:1]),
            seconds=self._seconds(),
            task_s=self._elapsed(),
            use=self._use(),
            counts={**self.scorer.counts, "children": child.starts if child else 0},
            rates=self.model.rates(),
            gpu=self.model.gpu,
            worker_bytes=child.peak_bytes if child else peak_bytes(),
            rows_carried=self.carried,
            stopped=tuple(stopped),
            compiled=self.model.told_of_compiling(),
        )


def place_columns(batch: pa.RecordBatch) -> list[str]:
    """The columns of a record's place that a batch has: tables that are read in place have none."""
    return [
        name
        for name in (contracts.SOURCE_FILE, contracts.SOURCE_LINE)
        if name in batch.schema.names
    ]


def keyless_rows(batch: pa.RecordBatch, key: Sequence[str]) -> set[int]:
    """Positions of the rows of which a key column is null."""
    holes = [batch.column(name) for name in key if batch.column(name).null_count]
    return {
        row for column in holes for row, null in enumerate(column.is_null().to_pylist()) if null
    }
