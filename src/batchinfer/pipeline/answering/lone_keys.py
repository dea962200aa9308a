"""Whether a key alone says which row a model is fed. Imports nothing heavy: the service asks it
before it begins.
"""

from __future__ import annotations

from batchinfer.config.pipeline import Pipeline


def keys_refused(pipeline: Pipeline) -> str:
    """Why a key alone cannot be scored; empty: it can."""
    if pipeline.prepare:
        return "prepare: its steps need other rows, so a key alone cannot be scored"
    return ""
