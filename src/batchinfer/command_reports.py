"""What each command reports: the fields of its JSON line, in the order of the contract.

Knows no room and no command: it imports only the standard library.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Report:
    """What a command did: the fields of its JSON line, in the order of the contract."""

    run_id: str
    pipeline: str
    status: str

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass
class ExtractReport(Report):
    """Report of `extract`; rows_in = rows_landed + rows_quarantined. `session` says why it started
    a Spark session; empty: it started none.
    """

    rows_in: int = 0
    rows_landed: int = 0
    rows_quarantined: int = 0
    blank_lines: int = 0
    files_read: int = 0
    slices: list[str] = field(default_factory=list)
    table: str = ""
    quarantine: str = ""
    version: int | None = None
    seconds: float = 0.0
    session: str = ""
    warnings: list[str] = field(default_factory=list)
    stage_seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class RunReport(Report):
    """Report of `score`; rows_in = rows_scored + rows_reused + rows_quarantined.

    `rows_removed` of the last are those that table transforms removed; `rows_resumed` are rows,
    counted above, that a run which ended before its commit had done; `rows_kept` those of
    `rows_reused` whose published files stay as they are; `feature_tables` are those
    that they read, with versions. `batch_rates` are rows per second by batch size, by device, as
    measured while the run went; `estimated_s` what `plan` would have said before it; `worker_bytes`
    the most memory that one worker process took; `explanation` what bounds the run, in words;
    `equal_rows` how equal rows were looked for beyond single batches, and why; `session` why the
    run started a Spark session, empty where it started none; `reuse` whether published rows were
    looked up, and why; `rows_carried`, of the rows reused, those that were carried over from
    published slices; `precision` what the model computed in; `device_use` the shares of the tasks'
    time in which each device computed, waited for rows (`input`) and for predictions to be read
    back and written (`output`); `cores` and `gpus` what its executors held, 0 where nothing was
    scored; `cost` is `seconds` of these at the pipeline's `prices`, None without prices.
    """

    slice: str = ""
    rows_in: int = 0
    rows_scored: int = 0
    rows_reused: int = 0
    rows_quarantined: int = 0
    rows_removed: int = 0
    rows_resumed: int = 0
    rows_kept: int = 0
    model_name: str = ""
    model_version: str = ""
    bundle_digest: str = ""
    precision: str = "float32"
    source_table: str = ""
    source_version: int | None = None
    feature_tables: list[dict[str, Any]] = field(default_factory=list)
    table: str = ""
    version: int | None = None
    seconds: float = 0.0
    estimated_s: float | None = None
    stage_seconds: dict[str, float] = field(default_factory=dict)
    explanation: str = ""
    workers: int = 0
    worker_bytes: int = 0
    batch_rates: dict[str, dict[int, float]] = field(default_factory=dict)
    device_use: dict[str, dict[str, float]] = field(default_factory=dict)
    road: str = ""
    road_reason: str = ""
    equal_rows: str = ""
    session: str = ""
    reuse: str = ""
    rows_carried: int = 0
    checks_passed: int = 0
    checks_failed: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    report: str = ""
    cores: int = 0
    gpus: float = 0.0
    cost: float | None = None

    def headline(self) -> dict[str, Any]:
        """The few facts that tables and backfills show of a run."""
        names = (
            "status",
            "rows_in",
            "rows_scored",
            "rows_reused",
            "rows_quarantined",
            "model_version",
            "version",
            "seconds",
            "cost",
        )
        return {name: getattr(self, name) for name in names}


@dataclass
class TrainReport(Report):
    """Report of `train`; `rows_superseded` are older copies of rows that were left out: a newer
    slice has their key; `rows_unfit` are rows that an expression of `derive` failed on.
    `measured_against` says of metrics which trivial model they are held against; `baseline` is that
    model's value. `landed_first` is the report of the landing that came before it, where nothing
    had landed. `session` says why it started a Spark session; empty: it started none.
    """

    model_name: str = ""
    model_version: str = ""
    bundle_digest: str = ""
    alias: str = ""
    rows_train: int = 0
    rows_validation: int = 0
    rows_without_label: int = 0
    rows_superseded: int = 0
    rows_unfit: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    measured_against: dict[str, str] = field(default_factory=dict)
    source_table: str = ""
    source_version: int | None = None
    seconds: float = 0.0
    session: str = ""
    landed_first: ExtractReport | None = None
    warnings: list[str] = field(default_factory=list)
    stage_seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class RegisterReport(Report):
    """Report of `register`; `inputs` and `outputs` are columns with their Spark SQL types; `in_use`
    is whether the pipeline scores with this version now.
    """

    model_name: str = ""
    model_version: str = ""
    bundle_digest: str = ""
    alias: str = ""
    in_use: bool = False
    format: str = ""
    trust: str = "none"
    artifact: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    transforms_from: str = ""
    held_against: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ModelEvaluation:
    """How good the published predictions of one model version were.

    Attributes:
        rows_predicted: rows of the slices that it scored.
        rows_with_outcome: those of them of which is known what came true.
        task: binary, multiclass or regression; empty where no outcome is known.
        metrics: of the rows with an outcome, under the names that training uses.
        measured_against: of metrics, the trivial model that they are held against, in words.
    """

    model_name: str
    model_version: str
    bundle_digest: str
    rows_predicted: int
    rows_with_outcome: int
    task: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    measured_against: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass
class EvaluateReport(Report):
    """Report of `evaluate`; rows_predicted = rows_with_outcome + rows_without_outcome.

    `metrics` are of all rows with an outcome, whichever model predicted them, and `models` has
    those of each version. `rows_quarantined` are rows of the slices that have no prediction because
    scoring put them aside; `outcomes_without_prediction` are outcomes of keys that these slices
    do not have. `model_version` is empty where several versions scored.
    """

    slices: list[str] = field(default_factory=list)
    as_of: str | None = None
    rows_predicted: int = 0
    rows_with_outcome: int = 0
    rows_without_outcome: int = 0
    rows_quarantined: int = 0
    outcomes_without_prediction: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    measured_against: dict[str, str] = field(default_factory=dict)
    models: list[ModelEvaluation] = field(default_factory=list)
    model_version: str = ""
    bundle_digest: str = ""
    predictions: str = ""
    predictions_version: int | None = None
    outcomes: str = ""
    outcomes_version: int | None = None
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)


@dataclass
class InitReport(Report):
    """Report of `init`: the pipeline file and what else was made, how much of the data was read
    for it, and the commands that come next.
    """

    file: str | None = None
    project: str = ""
    created: list[str] = field(default_factory=list)
    next: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    records_read: int = 0
    is_whole: bool = True
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Nothing ran: there is no run to name."""
        body = super().to_json()
        del body["run_id"]
        return body | {"pipeline": self.pipeline or None}


@dataclass
class StoreReport:
    """What `load` did with one store: `way` says why all rows were written, or only some;
    `rows` are keys that are found now, `bytes` those of keys and values in all layers;
    `rows_streamed`, where rows were verified, are keys whose row a stream has replaced since;
    `fallback_rows` are answers of the fallbacks; `memory` are bytes of the server's memory that
    were foreseen for the rows that were written, null where rows do not lie in memory.
    """

    store: str
    place: str
    status: str
    generation: str
    rows: int
    slice: str | None
    version: int
    layers: int
    bytes: int
    rows_written: int = 0
    rows_verified: int | None = None
    rows_streamed: int | None = None
    fallback_rows: int | None = None
    memory: int | None = None
    way: str = ""
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)


@dataclass
class LoadReport(Report):
    """Report of `load`; store, generation, rows, slice and version are those of the last store."""

    store: str = ""
    generation: str = ""
    rows: int = 0
    slice: str | None = None
    version: int | None = None
    seconds: float = 0.0
    stores: list[StoreReport] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def tell(self, store: StoreReport) -> None:
        """Takes one store's report in."""
        self.stores.append(store)
        self.warnings += [one for one in store.warnings if one not in self.warnings]
        self.store, self.generation, self.rows = store.store, store.generation, store.rows
        self.slice, self.version = store.slice, store.version
        if store.status != "unchanged":
            self.status = store.status
