"""Rows as they lie in a store: the key as text, the row as the JSON that a lookup tells.

Both are made of whole columns at once, by Arrow; only types that keys seldom have go through
Python, once for each distinct value. Must not know any store.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute
from pyarrow import types as kinds

from batchinfer.errors import InputError
from batchinfer.lookups.told_rows import json_value

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

# A row that an overlay takes away from the layers below it.
GONE = b""
# Longer keys are stored by their digest: LMDB takes 511 bytes, DynamoDB 1,024. So is the empty one,
# which neither takes.
MOST_KEY_BYTES = 400
# `%` first: it begins what the others become. Braces would be hash tags of a Redis cluster.
_ESCAPED = (("%", "%25"), (",", "%2C"), ("{", "%7B"), ("}", "%7D"), ("\x00", "%00"))
_QUOTED = r'["\\\x00-\x1f\x7f]'
_WHOLE = r"^-?[0-9]+$"


def stored_key(values: Sequence[Any]) -> bytes:
    """The key of one row.

    Args:
        values: of the key columns, in their order and types, as `key_values.convert_key` gives
            them.

    Runs on: driver | service
    """
    texts = [
        # What most keys are; a boolean is an integer of Python, too, but another text.
        str(value) if type(value) is int else _escaped(_key_text(value))
        for value in values
    ]
    return _cut(",".join(texts).encode())


def stored_keys(columns: Sequence[pa.Array]) -> pa.Array:
    """The keys of a batch's rows, as `stored_key` has them.

    Args:
        columns: the key columns, n values each, without nulls.

    Returns:
        n values of binary.

    Runs on: executor
    """
    texts = [_key_texts(column) for column in columns]
    joined = texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, ",")
    keys = joined.cast(pa.binary())
    lengths = pc.min_max(pc.binary_length(keys)).as_py()
    if not len(keys) or 0 < lengths["min"] <= lengths["max"] <= MOST_KEY_BYTES:
        return keys
    return pa.array([_cut(key) for key in keys.to_pylist()], pa.binary())


def stored_values(rows: pa.RecordBatch) -> pa.Array:
    """Every row of a batch as the JSON object that a lookup tells, in UTF-8.

    Returns:
        n values of binary.

    Raises:
        InputError: a value for which there is no JSON.

    Runs on: executor
    """
    parts: list[Any] = []
    for place, (name, column) in enumerate(zip(rows.schema.names, rows.columns, strict=True)):
        parts += [("," if place else "{") + json.dumps(name, ensure_ascii=False) + ":"]
        parts += [_json_texts(column)]
    joined = pc.binary_join_element_wise(*parts, "}", "", null_handling="emit_null")
    return joined.cast(pa.binary())


def row_checksum(key: bytes, value: bytes) -> int:
    """What one row adds to the checksum of its layer, whatever order rows come in."""
    return zlib.crc32(value, zlib.crc32(key))


def total_checksum(rows: Iterable[tuple[bytes, bytes]]) -> int:
    """The checksum of some rows: the sum of theirs, of 64 bits."""
    return sum(row_checksum(key, value) for key, value in rows) & 0xFFFF_FFFF_FFFF_FFFF


def _cut(key: bytes) -> bytes:
    if 0 < len(key) <= MOST_KEY_BYTES:
        return key
    import hashlib

    # `%~` stands in no other key: `%` is always followed by two digits.
    return b"%~" + hashlib.sha256(key).hexdigest().encode()


def _key_text(value: Any) -> str:
    told = json_value(value)
    return told if isinstance(told, str) else json.dumps(told)


def _escaped(text: str) -> str:
    for plain, escaped in _ESCAPED:
        text = text.replace(plain, escaped)
    return text


def _key_texts(column: pa.Array) -> pa.Array:
    if column.null_count:
        raise InputError("a key holds null; allowed: tables whose keys are whole")
    if kinds.is_integer(column.type):
        return column.cast(pa.string())
    if not (kinds.is_string(column.type) or kinds.is_large_string(column.type)):
        return _by_python(column, _key_text_escaped)
    texts = column.cast(pa.string())
    for plain, escaped in _ESCAPED:
        if pc.any(pc.match_substring(texts, plain)).as_py():
            texts = pc.replace_substring(texts, plain, escaped)
    return texts


def _key_text_escaped(value: Any) -> str:
    return _escaped(_key_text(value))


def _json_texts(column: pa.Array) -> pa.Array:
    """The JSON of each value, as text."""
    type_ = column.type
    if kinds.is_boolean(type_):
        texts = pc.if_else(column, "true", "false")
    elif kinds.is_integer(type_):
        texts = column.cast(pa.string())
    elif kinds.is_floating(type_):
        texts = _of_floats(column.cast(pa.float64()))
    elif kinds.is_string(type_) or kinds.is_large_string(type_):
        texts = _of_texts(column.cast(pa.string()))
    else:
        texts = _by_python(column, _json_text)
    return pc.fill_null(texts, "null") if texts.null_count else texts


def _of_floats(column: pa.Array) -> pa.Array:
    """As Python writes them, so that 1.0 stays a number with a fraction."""
    finite = pc.is_finite(column)
    texts = column.cast(pa.string())
    whole = pc.match_substring_regex(texts, _WHOLE)
    texts = pc.if_else(whole, pc.binary_join_element_wise(texts, ".0", ""), texts)
    if pc.all(finite).as_py() in (True, None):
        return texts
    return pc.if_else(finite, texts, _by_python(column, _json_text))


def _of_texts(column: pa.Array) -> pa.Array:
    texts = pc.binary_join_element_wise('"', column, '"', "")
    odd = pc.match_substring_regex(column, _QUOTED)
    if not pc.any(odd).as_py():
        return texts
    odd = pc.fill_null(odd, False)
    quoted = _by_python(column.filter(odd), _json_text)
    return pc.replace_with_mask(texts, odd, quoted)


def _json_text(value: Any) -> str:
    return json.dumps(json_value(value), ensure_ascii=False, separators=(",", ":"))


def _by_python(column: pa.Array, text: Callable[[Any], str]) -> pa.Array:
    """Texts that Python makes: of each distinct value once, where Arrow can tell them apart."""
    if kinds.is_nested(column.type):
        values = column.to_pylist(maps_as_pydicts="lossy")
        return pa.array([None if value is None else text(value) for value in values], pa.string())
    coded = column.dictionary_encode()
    texts = pa.array([text(value) for value in coded.dictionary.to_pylist()], pa.string())
    return texts.take(coded.indices)
