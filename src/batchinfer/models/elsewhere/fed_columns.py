"""Landed columns as a model takes them: a matrix, texts, or a pandas frame.

Owns the types, what stands for a missing value, and the telling apart of rows that a model cannot
be asked about: these are named before the model is called (`errors.UnfitRows`). Knows no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from batchinfer.config.types import parse_ddl
from batchinfer.errors import UnfitRows
from batchinfer.models.elsewhere.missing_word import MissingWord
from batchinfer.models.elsewhere.tree_feeds import fitting_columns, infinite_rows
from batchinfer.models.handler import matrix

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from batchinfer.transforms import TransformPipeline

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute


def tensors_of_feeds(
    batch: pa.RecordBatch, feeds: Sequence[Mapping[str, Any]], transforms: TransformPipeline
) -> dict[str, torch.Tensor]:
    """What fitted transforms make of the rows, by name; a missing number is NaN where a feed says
    so, else what the steps make of it.

    Runs on: executor, CPU.
    """
    import torch

    missing = next((np.nan for feed in feeds if feed.get("missing") == "nan"), None)
    made = transforms.tensors(batch, missing_as=missing)
    # Arrow's own memory cannot be written to, which PyTorch does not know of.
    return {
        name: torch.from_numpy(one if one.flags.writeable else one.copy())
        for name, one in made.items()
    }


def matrix_of_feed(batch: pa.RecordBatch, feed: Mapping[str, Any]) -> torch.Tensor:
    """(rows, width) of a feed's columns, or (rows,) where it is flat; a missing number is NaN.

    Runs on: executor, CPU.

    Raises:
        UnfitRows: a null vector, one of another length than the others, or a null where the model
            takes whole numbers.
    """
    import torch

    batch = _with_words(batch, feed)
    type_ = np.dtype(feed["type"])
    unfit = _lacking(batch, feed)
    whole, lengths = type_.kind != "f", feed.get("lengths", {})
    for name in feed["columns"]:
        column = batch.column(name)
        # One number a row, where NaN stands for a null: nothing to look at.
        if whole or column.type.num_fields:
            unfit |= _unfit_numbers(column, name, type_, lengths.get(name))
    if unfit:
        raise UnfitRows(unfit)
    if feed.get("finite"):
        with np.errstate(over="ignore"):  # what becomes infinite is told by its row
            features = matrix(batch, feed["columns"], type_)
        if unfit := infinite_rows(features, feed["columns"]):
            raise UnfitRows(unfit)
    else:
        features = matrix(batch, feed["columns"], type_)
    if (number := feed.get("missing_number")) is not None:
        features = np.where(features == type_.type(number), type_.type(np.nan), features)
    return torch.from_numpy(features.reshape(-1) if feed["flat"] else features)


def _unfit_numbers(
    column: pa.Array, name: str, type_: np.dtype[Any], length: int | None
) -> dict[int, str]:
    is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    if not (is_list or pa.types.is_fixed_size_list(column.type)):
        if type_.kind == "f" or not column.null_count:
            return {}
        return _at(column.is_null(), f"column {name}: got null; the model takes whole numbers")
    unfit = _at(column.is_null(), f"column {name}: got null; the model takes vectors")
    if is_list and length is not None:
        lengths = pc.list_value_length(column).fill_null(length)
        wrong = pc.not_equal(lengths, length)
        for row in np.flatnonzero(wrong.to_numpy(zero_copy_only=False)).tolist():
            unfit[row] = (
                f"column {name}: a vector of {lengths[row].as_py()} values; the model takes "
                f"{length}"
            )
    if type_.kind != "f" and column.flatten().null_count:
        holds = [value is not None and None in value for value in column.to_pylist()]
        message = f"column {name}: got null in a vector; the model takes whole numbers"
        unfit |= _at(pa.array(holds), message)
    return unfit


def _lacking(batch: pa.RecordBatch, feed: Mapping[str, Any]) -> dict[int, str]:
    """Rows without a value that the model fails without."""
    unfit: dict[int, str] = {}
    for name in feed.get("required", ()):
        lost = batch.column(name).is_null(nan_is_null=True)
        unfit |= _at(lost, f"column {name}: got null; the model takes no missing value there")
    return unfit


def _with_words(batch: pa.RecordBatch, feed: Mapping[str, Any]) -> pa.RecordBatch:
    """The batch with a word of the model's own in place of each null, in columns that have one."""
    for name, stored in feed.get("words", {}).items():
        word, place = MissingWord.from_json(stored), batch.schema.get_field_index(name)
        column = batch.column(name)
        if word.kind == "value" and column.null_count:
            filled = column.fill_null(pa.scalar(word.value).cast(column.type))
            batch = batch.set_column(place, name, filled)
    return batch


def _at(mask: pa.Array, message: str) -> dict[int, str]:
    rows = np.flatnonzero(mask.to_numpy(zero_copy_only=False)).tolist()
    return dict.fromkeys(rows, message)


def texts_of_feed(batch: pa.RecordBatch, feed: Mapping[str, Any]) -> np.ndarray:
    """(rows, columns) objects of text, or (rows,) where the feed is flat.

    Runs on: executor, CPU.

    Raises:
        UnfitRows: a null where the model takes text.
    """
    batch = _with_words(batch, feed)
    unfit: dict[int, str] = {}
    parts = []
    for name in feed["columns"]:
        column = batch.column(name)
        if column.null_count:
            unfit |= _at(column.is_null(), f"column {name}: got null; the model takes text")
        parts.append(column.cast(pa.string()).to_numpy(zero_copy_only=False).astype(object))
    if unfit:
        raise UnfitRows(unfit)
    return parts[0] if feed["flat"] else np.stack(parts, axis=1)


def frame_of_feed(batch: pa.RecordBatch, feed: Mapping[str, Any]) -> pd.DataFrame:
    """A pandas frame of a feed's columns, rows numbered from 0, as `pandas.read_parquet` would give
    it; a missing value is what the feed's `words` say.

    Runs on: executor, CPU.

    Raises:
        UnfitRows: values that the types of the feed's `casts` cannot hold.
    """
    casts = {name: parse_ddl(type_) for name, type_ in feed.get("casts", {}).items()}
    unfit = _lacking(batch, feed)
    columns: dict[str, pa.Array] = {}
    for name in feed["columns"]:
        column = batch.column(name)
        if name in casts:
            column, told = _cast(column, casts[name], name)
            unfit |= told
        columns[name] = column
    if "categories" in feed:
        columns, told = fitting_columns(columns, feed)
        unfit |= told
    if unfit:
        raise UnfitRows(unfit)
    frame = pa.table(columns).to_pandas()
    for name, stored in feed.get("words", {}).items():
        word = MissingWord.from_json(stored)
        if word.kind != "none":
            frame[name] = _filled(frame[name], word)
    return frame


def _filled(series: Any, word: MissingWord) -> Any:
    """The series with a word in place of each missing value; what pandas already has as NaN in
    numbers stays a number.
    """
    missing = series.isna()
    if not missing.any():
        return series
    if word.kind == "nan":
        return series.where(~missing, np.nan) if series.dtype == object else series
    filling = word.filling
    if isinstance(filling, str) and series.dtype != object:
        series = series.astype(object)
    return series.where(~missing, filling)


def _cast(column: pa.Array, type_: pa.DataType, name: str) -> tuple[pa.Array, dict[int, str]]:
    """The column as the type that a model asks for, and the rows whose value that type cannot
    hold.
    """
    told: dict[int, str] = {}
    if pa.types.is_integer(type_) and column.null_count:
        told = _at(
            column.is_null(),
            f"column {name}: got null; the model takes {type_}, which has no missing value",
        )
    if column.type == type_:
        return column, told
    rounded = pa.types.is_floating(type_) and pa.types.is_floating(column.type)
    try:
        cast = column.cast(type_, safe=not rounded)
    except pa.ArrowInvalid:
        for row, why in _refused(column, type_):
            told[row] = f"column {name}: {why}"
        return column, told
    if rounded:
        told |= _at(
            pc.and_(pc.is_inf(cast), pc.invert(pc.is_inf(column))).fill_null(fill_value=False),
            f"column {name}: a number too large for {type_}, which the model takes",
        )
    return cast, told


def _refused(column: pa.Array, type_: pa.DataType) -> Iterable[tuple[int, str]]:
    for row, value in enumerate(column):
        try:
            pa.array([value.as_py()], column.type).cast(type_)
        except pa.ArrowInvalid:
            yield row, f"got {value.as_py()!r}, which is no {type_}; the model takes {type_}"
