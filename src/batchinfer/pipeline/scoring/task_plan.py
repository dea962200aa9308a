"""What every task of one scoring run shares, as it travels to the executors: a plan of the run, and
one of each model that its rows go to.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from batchinfer.contracts import SLICE
from batchinfer.json_values import to_json
from batchinfer.pipeline.reuse.known_index import KnownIndex
from batchinfer.pipeline.scoring.task_result import Rates
from batchinfer.pipeline.slices.reading import SliceSplit
from batchinfer.predictions_table import predictions_schema
from batchinfer.version import __version__

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ModelPlan:
    """A model, and how it is run.

    Attributes:
        name, version: in the registry.
        digest: of its bundle.
        archive: name that the bundle travels under.
        inputs: columns that the fingerprint is made of, in the order of the signature.
        outputs: columns that come out, with their Spark SQL types.
        max_bytes: memory that the columns of a batch take at most.
        max_weight: most that a batch weighs, padding counted; None: no limit, or the handler knows
            no weights.
        timeout_s: seconds after which a batch counts as hanging.
        max_failures: rows of one task after which it stops looking for single rows that fail.
        trust: `pickle` where the pipeline allows models that run code of their own when they are
            loaded.
        precision: what the model computes in.
        compiled: name that what earlier runs compiled travels under; empty: there is nothing. None:
            the module is not compiled.
        known_rates: of earlier runs of the bundle.
        deduplicate: score equal rows of a batch once.
    """

    name: str
    version: str
    digest: str
    archive: str
    inputs: tuple[str, ...]
    outputs: Mapping[str, str]
    device: str
    batch_rows: int | Literal["auto"]
    max_bytes: int
    max_weight: float | None
    timeout_s: float
    max_failures: int
    trust: Literal["none", "pickle"] = "none"
    precision: Literal["float32", "bf16", "fp16", "int8"] = "float32"
    compiled: str | None = None
    known_rates: Rates = field(default_factory=Rates)
    deduplicate: bool = True

    def real_outputs(self) -> list[str]:
        """The outputs that are real numbers, or lists of them."""
        real = ("float", "double", "array<float>", "array<double>")
        return [name for name, type_ in self.outputs.items() if type_ in real]


@dataclass(frozen=True)
class ScoringPlan:
    """A run; travels as JSON.

    Attributes:
        predictions, quarantine: tables that files are staged in.
        columns: source columns to read: key, signature, and the record's place, in the order of the
            landed table.
        key: key columns with their Spark SQL types.
        source_table, source_version: that the rows are read from.
        scored_at: what the rows of the predictions say; UTC.
        model: that the rows go to.
        threads: of one forward pass.
        modules: folder that a module of the user's own is looked for in, besides PYTHONPATH.
        removals: reasons that table transforms remove rows for, and what each says; the rows then
            come with a reason.
        carried: columns of the rows that stand beside the predictions, with their Spark SQL types.
        sensitive: columns whose values no message shows.
        row_progress: folder that tasks tell of their rows in, where they share the driver's
            machine.
        known: rows that were answered before, and need not be scored; None: there are none.
        digest: see `plan_digest`; empty: tasks do not note what they have finished.
        forced: the run was asked to score all rows.
    """

    pipeline: str
    slice: str
    run_id: str
    predictions: str
    quarantine: str
    columns: tuple[str, ...]
    key: Mapping[str, str]
    source_table: str
    source_version: int
    scored_at: dt.datetime
    model: ModelPlan
    threads: int
    modules: str
    removals: Mapping[str, str] = field(default_factory=dict)
    row_progress: str = ""
    carried: Mapping[str, str] = field(default_factory=dict)
    sensitive: tuple[str, ...] = ()
    known: KnownIndex | None = None
    digest: str = ""
    forced: bool = False

    def file_schema(self) -> pa.Schema:
        """Schema of one Parquet file of predictions: the table's without the partition column."""
        from batchinfer.config.types import parse_ddl

        key, outputs, carried = (
            {name: parse_ddl(type_) for name, type_ in types.items()}
            for types in (self.key, self.model.outputs, self.carried)
        )
        schema = predictions_schema(key, outputs, carried)
        return schema.remove(schema.get_field_index(SLICE))


# Of the settings of the model, those that no prediction depends on.
_NO_MATTER = (
    "archive",
    "batch_rows",
    "compiled",
    "deduplicate",
    "known_rates",
    "max_bytes",
    "max_failures",
)
# Of how tasks cut, read and score rows; counted up where the same plan gives other rows.
_WAYS = 1


def plan_digest(plan: ScoringPlan, how: SliceSplit, compiles: bool) -> str:
    """SHA-256 (hex) of all that decides what becomes of a row, besides the row: tasks of equal
    digests that read the same rows give the same predictions, and quarantine the same rows.

    Args:
        how: the rows are read, without any.
        compiles: whether the module is compiled, which changes the last digits.
    """
    model = {name: value for name, value in vars(plan.model).items() if name not in _NO_MATTER}
    read = {**(how.types or {}), **(how.later or {})}
    told = {
        "ways": [_WAYS, __version__],
        "pipeline": plan.pipeline,
        "slice": plan.slice,
        "columns": plan.columns,
        "types": {name: read.get(name) for name in plan.columns},
        "char": {name: how.char.get(name) for name in plan.columns},
        "within": how.within,
        "key": plan.key,
        "carried": plan.carried,
        "removals": plan.removals,
        "sensitive": plan.sensitive,
        "source_table": plan.source_table,
        "model": model | {"compiles": compiles},
    }
    text = json.dumps(json.loads(to_json(told)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
