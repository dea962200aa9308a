"""The steps that a pipeline file may name.

Owns the names and nothing else. A new step is one class in one of the modules of `steps` and one
line here. `derive` is a section of its own in a pipeline file, and a step like the others behind
it.
"""

from __future__ import annotations

from batchinfer.transforms.step import RowStep
from batchinfer.transforms.steps.cleanse import Cast, Lower, Map, Replace, Trim
from batchinfer.transforms.steps.construct import Bucketize, Cross, Polynomial, Ratio
from batchinfer.transforms.steps.dates import DateParts
from batchinfer.transforms.steps.derived import Derive
from batchinfer.transforms.steps.encode import EmbeddingIndex, Frequency, Hashing, OneHot, Ordinal
from batchinfer.transforms.steps.image import Image
from batchinfer.transforms.steps.impute import Impute
from batchinfer.transforms.steps.keep import Keep
from batchinfer.transforms.steps.power import YeoJohnson
from batchinfer.transforms.steps.scale import Clip, Log1p, MinMax, Robust, Standardize
from batchinfer.transforms.steps.select import Select
from batchinfer.transforms.steps.target import TargetEncode
from batchinfer.transforms.steps.text import Tfidf, Tokenize

_ALL: tuple[type[RowStep], ...] = (
    Trim,
    Lower,
    Replace,
    Map,
    Cast,
    Impute,
    Standardize,
    MinMax,
    Robust,
    Log1p,
    YeoJohnson,
    Clip,
    OneHot,
    Ordinal,
    Hashing,
    TargetEncode,
    Frequency,
    EmbeddingIndex,
    Cross,
    Polynomial,
    Ratio,
    Bucketize,
    DateParts,
    Tokenize,
    Tfidf,
    Image,
    Select,
    Keep,
)

STEPS: dict[str, type[RowStep]] = {step.name: step for step in _ALL}

STORED_STEPS: dict[str, type[RowStep]] = {Derive.name: Derive, **STEPS}
"""What fitted transforms may hold: the steps of `features`, and `derive` before them."""
