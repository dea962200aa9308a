"""The shared preprocessing: fitted once, applied to any rows alone, the same code at training, in
batch and online.

Owns the steps that a pipeline file names under `features`, their fitting by mergeable statistics,
and the matrix that the model gets. Must know neither Spark nor a model framework nor other rooms;
state is JSON, never pickle.
"""

from batchinfer.transforms.check import check_steps, feature_columns, source_columns
from batchinfer.transforms.column import is_ordered
from batchinfer.transforms.derivation import check_derivation, derived_names, read_columns
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
from batchinfer.transforms.known_steps import STEPS
from batchinfer.transforms.parse import dump_steps, load_steps, parse_steps
from batchinfer.transforms.postprocess import (
    AFTER_STEPS,
    PostProcess,
    check_after,
    fit_after,
    parse_after,
)
from batchinfer.transforms.statistics import Ranks, quantile
from batchinfer.transforms.step import RowStep, StepProblem
from batchinfer.transforms.steps.after import LabelMap, Softmax, Threshold
from batchinfer.transforms.steps.calibrate import Calibrate
from batchinfer.transforms.steps.derived import Derive, split_derived
from batchinfer.transforms.steps.inverse import Inverse
from batchinfer.transforms.steps.keep import kept_columns, only_kept
from batchinfer.transforms.supervised import ROW_HASH, TARGET
from batchinfer.transforms.type_names import dump_fields, load_fields

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
