"""The steps that a pipeline file may name.

Owns the names and nothing else. A new step is one class in one of the sibling modules and one line
here.
"""

from __future__ import annotations

from batchinfer.transforms.cleanse import Cast, Lower, Map, Replace, Trim
from batchinfer.transforms.construct import Bucketize, Cross, Polynomial, Ratio
from batchinfer.transforms.dates import DateParts
from batchinfer.transforms.encode import EmbeddingIndex, Frequency, Hashing, OneHot, Ordinal
from batchinfer.transforms.image import Image
from batchinfer.transforms.impute import Impute
from batchinfer.transforms.power import YeoJohnson
from batchinfer.transforms.scale import Clip, Log1p, MinMax, Robust, Standardize
from batchinfer.transforms.select import Select
from batchinfer.transforms.step import Step
from batchinfer.transforms.target import TargetEncode
from batchinfer.transforms.text import Tfidf, Tokenize

_ALL: tuple[type[Step], ...] = (
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
)

STEPS: dict[str, type[Step]] = {step.name: step for step in _ALL}
