"""The steps that a pipeline file may name.

Owns the names, and which class each of them is; nothing else. A new step is one class in one of the
modules of `steps` and one line here. `derive` is a section of its own in a pipeline file, and a
step like the others behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from batchinfer.transforms.step import SECTION, Item, RowStep

if TYPE_CHECKING:
    from batchinfer.transforms.after_step import AfterStep

S = TypeVar("S", bound=Item)


class KnownSteps(Mapping[str, type[S]]):
    """Steps by name. A class is imported when it is asked for: a pipeline has a few of them, and
    each module takes a run as long as it takes to be read.

    Args:
        homes: module below `steps` and class of each name.
    """

    def __init__(self, homes: Mapping[str, str]) -> None:
        self._homes = dict(homes)

    def __getitem__(self, name: str) -> type[S]:
        module, _, class_ = self._homes[name].partition(".")
        return getattr(import_module(f"batchinfer.transforms.steps.{module}"), class_)

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


_ROW_STEPS = {
    "trim": "cleanse.Trim",
    "lower": "cleanse.Lower",
    "replace": "cleanse.Replace",
    "map": "cleanse.Map",
    "cast": "cleanse.Cast",
    "impute": "impute.Impute",
    "standardize": "scale.Standardize",
    "min_max": "scale.MinMax",
    "robust": "scale.Robust",
    "log1p": "scale.Log1p",
    "yeo_johnson": "power.YeoJohnson",
    "clip": "scale.Clip",
    "one_hot": "encode.OneHot",
    "ordinal": "encode.Ordinal",
    "hashing": "encode.Hashing",
    "target_encode": "target.TargetEncode",
    "frequency": "encode.Frequency",
    "embedding_index": "encode.EmbeddingIndex",
    "cross": "construct.Cross",
    "polynomial": "construct.Polynomial",
    "ratio": "construct.Ratio",
    "bucketize": "construct.Bucketize",
    "date_parts": "dates.DateParts",
    "tokenize": "text.Tokenize",
    "tfidf": "text.Tfidf",
    "image": "image.Image",
    "select": "select.Select",
    "keep": "keep.Keep",
}

STEPS: KnownSteps[RowStep] = KnownSteps(_ROW_STEPS)

STORED_STEPS: KnownSteps[RowStep] = KnownSteps({SECTION: "derived.Derive", **_ROW_STEPS})
"""What fitted transforms may hold: the steps of `features`, and `derive` before them."""

AFTER_STEPS: KnownSteps[AfterStep] = KnownSteps(
    {
        "threshold": "after.Threshold",
        "label_map": "after.LabelMap",
        "calibrate": "calibrate.Calibrate",
        "softmax": "after.Softmax",
        "top_k": "after.TopK",
        "round": "after.Round",
        "clip": "after.ClipAfter",
        "inverse": "inverse.Inverse",
    }
)
"""The steps of `postprocess`."""
