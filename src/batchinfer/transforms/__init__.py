"""The shared preprocessing: fitted once, applied to any rows alone, the same code at training, in
batch and online.

Owns the steps that a pipeline file names under `features`, their fitting by mergeable statistics,
and the matrix that the model gets. Must know neither Spark nor a model framework nor other rooms;
state is JSON, never pickle. The names are imported when they are first used: a run loads the steps
that its pipeline has.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchinfer.transforms.check import (
        check_steps,
        feature_columns,
        kept_columns,
        only_kept,
        source_columns,
    )
    from batchinfer.transforms.column import is_ordered
    from batchinfer.transforms.derivation import (
        check_derivation,
        derived_names,
        read_columns,
        split_derived,
    )
    from batchinfer.transforms.fitted import Inputs, IntegerInput, TransformPipeline, frame_of
    from batchinfer.transforms.fitting import (
        accumulate_pass,
        finish_pass,
        fit,
        fit_passes,
        fit_rows,
        hidden_columns,
        merge_pass,
    )
    from batchinfer.transforms.known_steps import AFTER_STEPS, STEPS
    from batchinfer.transforms.parse import dump_steps, load_steps, parse_steps
    from batchinfer.transforms.postprocess import (
        PostProcess,
        check_after,
        fit_after,
        parse_after,
    )
    from batchinfer.transforms.statistics import Ranks, quantile
    from batchinfer.transforms.step import RowStep, StepProblem
    from batchinfer.transforms.steps.after import LabelMap, Softmax, Threshold
    from batchinfer.transforms.steps.calibrate import Calibrate
    from batchinfer.transforms.steps.derived import Derive
    from batchinfer.transforms.steps.inverse import Inverse
    from batchinfer.transforms.supervised import ROW_HASH, TARGET
    from batchinfer.transforms.type_names import dump_fields, load_fields

_HOMES = {
    name: home
    for home, names in {
        "check": ("check_steps", "feature_columns", "kept_columns", "only_kept", "source_columns"),
        "column": ("is_ordered",),
        "derivation": ("check_derivation", "derived_names", "read_columns", "split_derived"),
        "fitted": ("Inputs", "IntegerInput", "TransformPipeline", "frame_of"),
        "fitting": (
            "accumulate_pass",
            "finish_pass",
            "fit",
            "fit_passes",
            "fit_rows",
            "hidden_columns",
            "merge_pass",
        ),
        "known_steps": ("AFTER_STEPS", "STEPS"),
        "parse": ("dump_steps", "load_steps", "parse_steps"),
        "postprocess": ("PostProcess", "check_after", "fit_after", "parse_after"),
        "statistics": ("Ranks", "quantile"),
        "step": ("RowStep", "StepProblem"),
        "steps.after": ("LabelMap", "Softmax", "Threshold"),
        "steps.calibrate": ("Calibrate",),
        "steps.derived": ("Derive",),
        "steps.inverse": ("Inverse",),
        "supervised": ("ROW_HASH", "TARGET"),
        "type_names": ("dump_fields", "load_fields"),
    }.items()
    for name in names
}

__all__ = [
    "AFTER_STEPS",
    "ROW_HASH",
    "STEPS",
    "TARGET",
    "Calibrate",
    "Derive",
    "Inputs",
    "IntegerInput",
    "Inverse",
    "LabelMap",
    "PostProcess",
    "Ranks",
    "RowStep",
    "Softmax",
    "StepProblem",
    "Threshold",
    "TransformPipeline",
    "accumulate_pass",
    "check_after",
    "check_derivation",
    "check_steps",
    "derived_names",
    "dump_fields",
    "dump_steps",
    "feature_columns",
    "finish_pass",
    "fit",
    "fit_after",
    "fit_passes",
    "fit_rows",
    "frame_of",
    "hidden_columns",
    "is_ordered",
    "kept_columns",
    "load_fields",
    "load_steps",
    "merge_pass",
    "only_kept",
    "parse_after",
    "parse_steps",
    "quantile",
    "read_columns",
    "source_columns",
    "split_derived",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
