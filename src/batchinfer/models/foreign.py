"""Handlers of models trained elsewhere: what they take is fed as they name it, what they give is
put into columns.

Owns the way from columns to a model's own inputs. Which column goes where stands in the params
under `feeds`; `feeds` (the module) makes them. Knows no format: the module that it is handed runs
the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from batchinfer.config.types import parse_ddl
from batchinfer.errors import InputError, ModelError
from batchinfer.models.handler import Handler, RawOutput, matrix

FRAME = "frame"


# fmt: off
class ForeignHandler(Handler):
    """Base of the handlers of models trained elsewhere.

    Params: `feeds`, one for each input of the model: `{input, type, tensor}` takes a tensor that the transforms made;
    `{input, type, columns, flat}` takes columns, as (rows, width), or (rows,) if flat; the input `frame` takes them as a
    pandas frame.
    """

    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
        """What the model takes, by its names: tensors, arrays of text, or a frame. Runs on: executor, CPU.

        Raises:
            InputError: a null where a model takes whole numbers or text, which is a matter of one row.
        """
        made = super().encode(batch) if self.transforms is not None else {}
        return {feed["input"]: self._fed(batch, feed, made) for feed in self.params["feeds"]}

    def _fed(self, batch: pa.RecordBatch, feed: Mapping[str, Any], made: Mapping[str, torch.Tensor]) -> Any:
        if "tensor" in feed:
            return made[feed["tensor"]].to(getattr(torch, feed["type"]))
        if feed["input"] == FRAME:
            return _frame(batch, feed["columns"])
        if feed["type"] == "string":
            return _texts(batch, feed["columns"], feed["flat"])
        features = matrix(batch, feed["columns"], np.dtype(feed["type"]))
        return torch.from_numpy(features.reshape(-1) if feed["flat"] else features)
# fmt: on


def _frame(batch: pa.RecordBatch, columns: Sequence[str]) -> Any:
    """A pandas frame in which every missing value is NaN (NaT), as readers of files give it."""
    frame = batch.select(list(columns)).to_pandas()
    texts = [name for name in frame.columns if frame[name].dtype == object]
    frame[texts] = frame[texts].where(frame[texts].notna(), np.nan)
    return frame


def _texts(batch: pa.RecordBatch, columns: Sequence[str], flat: bool) -> np.ndarray:
    parts = []
    for name in columns:
        column = batch.column(name)
        if column.null_count:
            raise InputError(f"column {name}: got null; the model takes text")
        parts.append(column.cast(pa.string()).to_numpy(zero_copy_only=False).astype(object))
    return parts[0] if flat else np.stack(parts, axis=1)


class ForeignOutput(ForeignHandler, RawOutput):
    """`prediction` = the model's output as it is: double where `width` is 1, else array<double>."""


# fmt: off
class ForeignClassifier(ForeignHandler):
    """Classes with probabilities: two give `score` = P(positive) and `label`, several `label`, `score` and `scores`.

    Params: `labels`, in the order of the model's probabilities; `positive`, the place of the positive one of two.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        several = {"label": "string", "score": "double", "scores": "map<string,double>"}
        self.output = {"score": "double", "label": "string"} if len(self.params["labels"]) == 2 else several

    def decode(self, output: Any) -> dict[str, pa.Array]:
        """`score` double and `label` string; of several classes `scores` map<string,double> too. Runs on: executor."""
        names: list[str] = self.params["labels"]
        scores = output.detach().to("cpu", torch.float64).numpy()
        rows = len(scores)
        if scores.shape != (rows, len(names)):
            raise ModelError(f"the model gave probabilities of shape {scores.shape}; expected ({rows}, {len(names)})")
        labels = pa.array(names, pa.string())
        likeliest = labels.take(pa.array(scores.argmax(axis=1) if rows else np.zeros(0, np.int64)))
        if len(names) == 2:
            return {"score": pa.array(np.ascontiguousarray(scores[:, self.params["positive"]])), "label": likeliest}
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * len(names))
        keys = labels.take(pa.array(np.tile(np.arange(len(names)), rows)))
        return {
            "label": likeliest,
            "score": pa.array(scores.max(axis=1, initial=0.0)),
            "scores": pa.MapArray.from_arrays(offsets, keys, pa.array(scores.reshape(-1))),
        }
# fmt: on


class ForeignLabels(ForeignHandler):
    """`label` string, of a classifier that has no probabilities."""

    output: Mapping[str, str] = {"label": "string"}

    def decode(self, output: Any) -> dict[str, pa.Array]:
        """`label` string. Runs on: executor."""
        return {"label": pa.array(output, pa.string())}


# fmt: off
class ForeignColumns(ForeignHandler):
    """The columns of the frame that the model gives. Params: `columns`, their Spark SQL types by name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.output = dict(self.params["columns"])

    def decode(self, output: Any) -> dict[str, pa.Array]:
        """One column for each of `columns`. Runs on: executor."""
        absent = [name for name in self.output if name not in output.columns]
        if absent:
            raise ModelError(f"the model gave no column {', '.join(absent)}; it gave {', '.join(map(str, output.columns))}")
        return {name: pa.Array.from_pandas(output[name], type=parse_ddl(type_)) for name, type_ in self.output.items()}
# fmt: on
