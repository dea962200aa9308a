"""Handlers of models trained elsewhere: each model is asked in the words that it was fitted with,
and what it says stands in the columns as it says it.

Owns the way from columns to what a model takes: types, what stands for a missing value, which rows
cannot be asked about. Which column goes where stands in the params under `feeds`; `feeds` (the
module) makes them. Knows no format.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch

from batchinfer.errors import ModelError
from batchinfer.models.elsewhere.fed_columns import (
    frame_of_feed,
    matrix_of_feed,
    tensors_of_feeds,
    texts_of_feed,
)
from batchinfer.models.foreign import ForeignColumns, ForeignHandler
from batchinfer.models.handler import RawOutput

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute


# fmt: off
class AsFitted(ForeignHandler):
    """Base of the handlers that feed a model what it was fitted with.

    Params: `feeds`, one for each input of the model: `{input, type, tensor}` takes a tensor that the transforms made;
    with `missing` `nan`, what is missing is NaN in it; `{input, type, columns, flat}` takes columns, as (rows, width), or (rows,) if flat; the input `frame` takes them as a
    pandas frame: `words` say what stands for a missing value in a column, `casts` the type that the model asks for.
    """

    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
        """What the model takes, by its names: tensors, arrays of text, or a frame. Runs on: executor, CPU.

        Raises:
            UnfitRows: rows that the model cannot be asked about.
        """
        feeds = self.params["feeds"]
        made = tensors_of_feeds(batch, feeds, self.transforms) if any("tensor" in feed for feed in feeds) else {}
        return {feed["input"]: self._fed(batch, feed, made) for feed in feeds}

    def _fed(self, batch: pa.RecordBatch, feed: Mapping[str, Any], made: Mapping[str, torch.Tensor]) -> Any:
        if "tensor" in feed:
            return made[feed["tensor"]].to(getattr(torch, feed["type"]))
        if feed["type"] == "frame":
            return frame_of_feed(batch, feed)
        return texts_of_feed(batch, feed) if feed["type"] == "string" else matrix_of_feed(batch, feed)


class AsFittedValues(AsFitted, RawOutput):
    """`prediction` = the model's output as it is: double where `width` is 1, else array<double>."""


class AsFittedClasses(AsFitted):
    """`label` = the model's own; `score` its probability: of the positive class of two, of the label of several.

    Params: `labels`, in the order of the model's probabilities; `positive`, the place of the positive one of two. Without
    `labels`: `width` probabilities that the model has no names for stand in `prediction`; 0, there are none.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.labels: list[str] = list(self.params["labels"])
        self.width = int(self.params.get("width", 0))
        if len(self.labels) == 2:
            self.output = {"score": "double", "label": "string"}
        elif self.labels:
            self.output = {"label": "string", "score": "double", "scores": "map<string,double>"}
        else:
            more = {"prediction": "double" if self.width == 1 else "array<double>"} if self.width else {}
            self.output = {"label": "string"} | more

    def decode(self, output: Any) -> dict[str, pa.Array]:
        """The columns that `output` declares. Runs on: executor, CPU."""
        labels = pa.array(output.labels, pa.string())
        wanted = len(self.labels) or self.width
        if not wanted:
            return {"label": labels}
        scores = probabilities(output, wanted)
        if len(self.labels) == 2:
            return {"score": pa.array(np.ascontiguousarray(scores[:, self.params["positive"]])), "label": labels}
        if not self.labels:
            return {"label": labels, "prediction": vectors(scores)}
        rows, names = len(scores), pa.array(self.labels, pa.string())
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * len(names))
        keys = names.take(pa.array(np.tile(np.arange(len(names)), rows)))
        return {
            "label": labels,
            "score": score_of_label(scores, labels, names),
            "scores": pa.MapArray.from_arrays(offsets, keys, pa.array(scores.reshape(-1))),
        }


class AsFittedColumns(AsFitted, ForeignColumns):
    """The columns of the frame that the model gives. Params: `columns`, their Spark SQL types by name."""
# fmt: on


def probabilities(output: Any, classes: int) -> np.ndarray:
    """(rows, classes) float64 of what a classifier gave.

    Runs on: executor, CPU.

    Raises:
        ModelError: another number of classes than at registration.
    """
    scores = output.scores
    if scores is None or scores.shape != (len(output), classes):
        got = "none" if scores is None else f"of shape {scores.shape}"
        raise ModelError(f"the model gave probabilities {got}; expected ({len(output)}, {classes})")
    return np.asarray(scores, np.float64)


def score_of_label(scores: np.ndarray, labels: pa.Array, names: pa.Array) -> pa.Array:
    """(rows,) the probability of each row's own label; null where the label is none of the
    classes.
    """
    places = pc.index_in(labels, value_set=names)
    known = places.is_valid().to_numpy(zero_copy_only=False)
    at = places.fill_null(0).to_numpy(zero_copy_only=False)
    return pa.array(scores[np.arange(len(scores)), at], mask=~known)


def vectors(values: np.ndarray) -> pa.Array:
    """(rows, width) as double where the width is 1, else as lists."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if values.shape[1] == 1:
        return flat
    offsets = pa.array(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1])
    return pa.ListArray.from_arrays(offsets, flat)
