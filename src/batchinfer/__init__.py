"""Distributed batch inference on Apache Spark: from raw records to checked predictions in Delta
tables.

The public names, imported when they are first used: `import batchinfer` alone loads neither pyspark
nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from batchinfer.version import __version__ as __version__

if TYPE_CHECKING:
    from batchinfer.api import backfill, extract, init, register, replay, score, train
    from batchinfer.api_reads import evaluate, load, lookup, plan, quarantine, status
    from batchinfer.errors import UnfitRows
    from batchinfer.models.handler import Handler
    from batchinfer.pipeline.predict import predict, predict_udf

_HOMES = {
    "Handler": "batchinfer.models.handler",
    "UnfitRows": "batchinfer.errors",
    "predict": "batchinfer.pipeline.predict",
    "predict_udf": "batchinfer.pipeline.predict",
    **dict.fromkeys(
        ("backfill", "extract", "init", "register", "replay", "score", "train"),
        "batchinfer.api",
    ),
    **dict.fromkeys(
        ("evaluate", "load", "lookup", "plan", "quarantine", "status"), "batchinfer.api_reads"
    ),
}

__all__ = [
    "Handler",
    "UnfitRows",
    "backfill",
    "evaluate",
    "extract",
    "init",
    "load",
    "lookup",
    "plan",
    "predict",
    "predict_udf",
    "quarantine",
    "register",
    "replay",
    "score",
    "status",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(
            f"module 'batchinfer' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
