"""Landed rows as the user of a model's own library would hand them over: made by pandas and NumPy
alone.

Owns this second way from rows to a model, which shares nothing with `fed_columns` but the words for
missing values. Knows no library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from batchinfer.models.elsewhere.missing_word import MissingWord

if TYPE_CHECKING:
    from batchinfer.models.elsewhere.as_fitted import AsFitted

_PANDAS_TYPES = {"bigint": "int64", "int": "int32", "double": "float64", "float": "float32"}


def home_inputs(
    rows: pa.RecordBatch, handler: AsFitted, names: Sequence[str] = ()
) -> dict[str, Any]:
    """The model's inputs by name: `frame` a pandas frame, or NumPy arrays.

    Args:
        names: of the columns that a reference takes as a frame, where it knows them.

    Runs on: driver.
    """
    frame: Any = rows.to_pandas()
    feeds: Sequence[Mapping[str, Any]] = handler.params["feeds"]
    has_frame = any(feed["type"] == "frame" for feed in feeds)
    if names and not has_frame and all(name in frame.columns for name in names):
        return {"frame": frame[list(names)]}
    made: dict[str, Any] = {}
    for feed in feeds:
        if "tensor" in feed:
            kept = np.nan if feed.get("missing") == "nan" else None
            tensors = handler.transforms.tensors(rows, missing_as=kept)
            made[feed["input"]] = tensors[feed["tensor"]].astype(feed["type"])
        elif feed["type"] == "frame":
            made["frame"] = _frame(frame, feed)
        else:
            made[feed["input"]] = _array(frame, feed)
    return made


def _frame(frame: Any, feed: Mapping[str, Any]) -> Any:
    frame = frame[list(feed["columns"])].copy()
    for name, type_ in feed.get("casts", {}).items():
        if type_ in _PANDAS_TYPES:
            frame[name] = frame[name].astype(_PANDAS_TYPES[type_])
    if feed.get("unseen") == "null":
        for name, known in feed["known"].items():
            frame[name] = frame[name].where(frame[name].isin(known), None)
    for name, stored in feed.get("words", {}).items():
        _put_word(frame, name, stored)
    return frame


def _put_word(frame: Any, name: str, stored: Mapping[str, Any]) -> None:
    import pandas as pd

    word = MissingWord.from_json(stored)
    gone = frame[name].isna()
    if word.kind == "none" or not gone.any():
        return
    if frame[name].dtype == object:
        pairs = zip(frame[name].tolist(), gone, strict=True)
        frame[name] = pd.Series(
            [word.filling if lost else one for one, lost in pairs], dtype=object
        )
    elif word.kind == "value":
        frame[name] = frame[name].fillna(word.filling)


def _array(frame: Any, feed: Mapping[str, Any]) -> np.ndarray:
    frame = frame[list(feed["columns"])].copy()
    for name, stored in feed.get("words", {}).items():
        _put_word(frame, name, stored)
    if feed["type"] == "string":
        values = frame.astype(str).to_numpy(object)
        return values[:, 0] if feed["flat"] else values
    parts = [
        np.stack([np.asarray(one) for one in frame[name]])
        if frame[name].dtype == object and len(frame) and np.ndim(frame[name].iloc[0])
        else frame[[name]].to_numpy()
        for name in frame.columns
    ]
    values = np.concatenate(parts, axis=1).astype(feed["type"])
    return values.reshape(-1) if feed["flat"] else values
