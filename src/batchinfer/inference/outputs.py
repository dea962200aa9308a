"""What a model may give: the declared columns, of the declared types, one finite value a row.

Owns the check and the cast of prediction columns. Knows nothing of batches' sizes or of isolation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer.contracts import ScoringHandler
from batchinfer.errors import ModelError


def output_fields(handler: ScoringHandler) -> dict[str, pa.DataType]:
    """Arrow type of each prediction column that a handler declares, in order.

    Raises:
        ModelError: it declares no column, or a type that is not Spark SQL's.
    """
    from batchinfer.config.types import parse_ddl

    name = type(handler).__qualname__
    if not handler.output:
        raise ModelError(
            f"{name}.output declares no prediction column; allowed: at least one, such as "
            f"{{'score': 'double'}}"
        )
    fields = {}
    for column, ddl in handler.output.items():
        try:
            fields[column] = parse_ddl(ddl)
        except ValueError as error:
            raise ModelError(f"{name}.output[{column!r}]: {error}") from error
    return fields


def typed_predictions(
    found: Any, declared: Mapping[str, pa.DataType], rows: int
) -> dict[str, pa.Array]:
    """What `decode` gave, in declared order and types.

    Raises:
        ModelError: columns missing or undeclared, another number of values than rows, another kind
            of type.
        pa.ArrowInvalid: a value that the declared type cannot hold; this is a matter of one row.
    """
    if not isinstance(found, Mapping):
        raise ModelError(
            f"decode gave {_kind(found)}; allowed: a dict of the columns {', '.join(declared)}"
        )
    problems = [
        f"decode gave no column {name!r}, which the handler's output declares"
        for name in declared
        if name not in found
    ]
    problems += [
        f"decode gave the column {name!r}, which the handler's output does not declare"
        for name in found
        if name not in declared
    ]
    problems += [
        problem
        for name in declared
        if name in found
        for problem in _problems(name, found[name], declared[name], rows)
    ]
    if problems:
        raise ModelError(problems)
    return {name: _cast(found[name], type_) for name, type_ in declared.items()}


def finite_rows(predictions: Mapping[str, pa.Array], rows: int) -> np.ndarray | None:
    """Mask `(rows,) bool` of the rows without NaN or infinity in any output, nested ones too; None
    if that is all rows.
    """
    finite = np.ones(rows, dtype=bool)
    for array in predictions.values():
        finite &= _finite(array)
    return None if finite.all() else finite


def _problems(name: str, array: Any, declared: pa.DataType, rows: int) -> list[str]:
    if not isinstance(array, pa.Array | pa.ChunkedArray):
        return [
            f"decode gave {_kind(array)} for the column {name!r}; allowed: a pyarrow.Array of "
            f"{declared}"
        ]
    problems = []
    if len(array) != rows:
        problems.append(
            f"decode gave {len(array)} values of {name!r} for {rows} rows; allowed: one for each "
            "row"
        )
    if not _fits(array.type, declared):
        problems.append(
            f"decode gave {array.type} for the column {name!r}; the handler's output declares "
            f"{declared}"
        )
    return problems


def _kind(value: Any) -> str:
    return f"an object of type {type(value).__qualname__}"


def _cast(array: pa.Array | pa.ChunkedArray, declared: pa.DataType) -> pa.Array:
    whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if isinstance(whole, pa.ChunkedArray):  # of no chunks
        whole = pa.array([], array.type)
    return whole if whole.type == declared else whole.cast(declared)


def _fits(got: pa.DataType, declared: pa.DataType) -> bool:
    """True if a cast only changes how wide or how laid out values are, never what they are."""
    types = pa.types
    if got == declared or types.is_null(got):
        return True
    if types.is_dictionary(got):
        return _fits(got.value_type, declared)
    if types.is_map(got) and types.is_map(declared):
        return _fits(got.key_type, declared.key_type) and _fits(got.item_type, declared.item_type)
    if types.is_struct(got) and types.is_struct(declared):
        pairs = zip(got.fields, declared.fields, strict=False)
        return got.num_fields == declared.num_fields and all(
            a.name == b.name and _fits(a.type, b.type) for a, b in pairs
        )
    if _is_list(got) and _is_list(declared):
        return _fits(got.value_type, declared.value_type)
    return any(family(got) and family(declared) for family in _FAMILIES)


def _is_list(type_: pa.DataType) -> bool:
    return (
        pa.types.is_list(type_)
        or pa.types.is_large_list(type_)
        or pa.types.is_fixed_size_list(type_)
    )


def _is_number(type_: pa.DataType) -> bool:
    return pa.types.is_integer(type_) or pa.types.is_floating(type_)


def _is_text(type_: pa.DataType) -> bool:
    return (
        pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_string_view(type_)
    )


def _is_bytes(type_: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_binary(type_) or types.is_large_binary(type_) or types.is_fixed_size_binary(type_)
    )


_FAMILIES = (
    _is_number,
    _is_text,
    _is_bytes,
    pa.types.is_date,
    pa.types.is_timestamp,
    pa.types.is_decimal,
)


def _finite(array: pa.Array) -> np.ndarray:
    types = pa.types
    if types.is_floating(array.type):
        values = array.fill_null(0.0) if array.null_count else array
        return np.isfinite(values.to_numpy(zero_copy_only=False))
    finite = np.ones(len(array), dtype=bool)
    if types.is_struct(array.type):
        for child in array.flatten():
            finite &= _finite(child)
    elif types.is_list(array.type) or types.is_map(array.type):
        # A map's physical layout is that of a list of key-value pairs.
        lists = (
            array.cast(pa.list_(pa.struct([array.type.key_field, array.type.item_field])))
            if types.is_map(array.type)
            else array
        )
        elements = _finite(lists.flatten())
        if not elements.all():
            owner = np.repeat(np.arange(len(lists)), lists.value_lengths().fill_null(0).to_numpy())
            finite[owner[~elements]] = False
    return finite
