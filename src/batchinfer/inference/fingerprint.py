"""The 128-bit fingerprint of a row's model inputs.

Owns the hash and its promise: equal inputs have equal fingerprints on every road, in every batch, in every release
(golden values in a test hold it). Not keyed: it guards against accidents, not against someone who crafts collisions.
Knows nothing of models.

How: two independent 64-bit lanes with different seeds. Fixed-width values are hashed in NumPy, each lane one-to-one.
Strings and bytes go through BLAKE2b once per distinct value. Columns are folded in order, so swapping two columns, or
moving a character from one string into its neighbour, gives another fingerprint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batchinfer.errors import InputError

_U64 = np.dtype("<u8")
# Odd constants with well-spread bits; the finaliser's pair is that of MurmurHash3's fmix64.
_FINAL_1, _FINAL_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_FOLD_A, _FOLD_B = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(33)

_INTEGERS = {
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.uint8(): "smallint",
    pa.uint16(): "int",
    pa.uint32(): "bigint",
}
_MICROS_PER = {"s": 1_000_000, "ms": 1_000, "us": 1}


class Lanes(NamedTuple):
    """Two 64-bit hashes a row, `(rows,) uint64` each."""

    a: np.ndarray
    b: np.ndarray


def fingerprint(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.Array:
    """Hashes the named columns, in that order, to 16 bytes a row.

    The Spark type of a column is part of its hash, its Arrow layout is not (dictionary or plain, large or small
    offsets, slices). Null differs from every value; all NaN are one value, and so are 0.0 and -0.0. Timestamps count
    as microseconds in UTC.

    Runs on: executor.

    Raises:
        InputError: a column is missing, or has a type that Spark does not have.
    """
    missing = [name for name in columns if name not in batch.schema.names]
    if missing:
        raise InputError(
            f"columns to fingerprint: got none called {', '.join(missing)}; there are {', '.join(batch.schema.names)}"
        )
    state = _constant(batch.num_rows, "batchinfer.fingerprint.1")
    for name in columns:
        try:
            state = _fold(state, hash_column(batch.column(name)))
        except InputError as error:
            raise InputError(f"column {name}: {error}") from error
    return _binary16(state)


def hash_column(array: pa.Array) -> Lanes:
    """Hashes each value of an array of any Spark type, nulls included."""
    array = _plain(array)
    if pa.types.is_dictionary(array.type):
        return _hash_dictionary(array)
    tag = spark_type(array.type)
    lanes = _hash_values(array, tag)
    if array.null_count == 0:
        return lanes
    null = np.asarray(array.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    nothing = _seeds(f"null {tag}")
    return Lanes(np.where(null, nothing[0], lanes.a), np.where(null, nothing[1], lanes.b))


def spark_type(type_: pa.DataType) -> str:
    """Spark SQL name of an Arrow type: what is hashed besides the value.

    Raises:
        InputError: for a type that Spark does not have.
    """
    types = pa.types
    if type_ in _INTEGERS:
        return _INTEGERS[type_]
    if types.is_dictionary(type_):
        return spark_type(type_.value_type)
    if types.is_struct(type_):
        return f"struct<{','.join(f'{field.name}:{spark_type(field.type)}' for field in type_.fields)}>"
    if types.is_map(type_):
        return f"map<{spark_type(type_.key_type)},{spark_type(type_.item_type)}>"
    if _is_list(type_):
        return f"array<{spark_type(type_.value_type)}>"
    if types.is_decimal(type_):
        return f"decimal({type_.precision},{type_.scale})"
    for known, name in _NAMES:
        if known(type_):
            return name
    raise InputError(f"got the Arrow type {type_}; allowed: types that Spark SQL has")


_NAMES = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_float16, "float"),
    (pa.types.is_float32, "float"),
    (pa.types.is_float64, "double"),
    (pa.types.is_string, "string"),
    (pa.types.is_large_string, "string"),
    (pa.types.is_string_view, "string"),
    (pa.types.is_binary, "binary"),
    (pa.types.is_large_binary, "binary"),
    (pa.types.is_binary_view, "binary"),
    (pa.types.is_fixed_size_binary, "binary"),
    (pa.types.is_date, "date"),
    # Readers disagree on whether an INT96 timestamp has a zone; the stored instant is the same.
    (pa.types.is_timestamp, "timestamp"),
    (pa.types.is_null, "void"),
)


def _is_list(type_: pa.DataType) -> bool:
    types = pa.types
    return types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_) or _is_list_view(type_)


def _is_list_view(type_: pa.DataType) -> bool:
    return pa.types.is_list_view(type_) or pa.types.is_large_list_view(type_)


def _plain(array: pa.Array) -> pa.Array:
    """The array without what is only encoding: extension types, run ends, views."""
    if isinstance(array, pa.ExtensionArray):
        return _plain(array.storage)
    if pa.types.is_run_end_encoded(array.type):
        return _plain(pc.call_function("run_end_decode", [array]))
    if pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    if pa.types.is_binary_view(array.type):
        return array.cast(pa.large_binary())
    if _is_list_view(array.type):
        return array.cast(pa.large_list(array.type.value_type))
    return array


def _hash_values(array: pa.Array, tag: str) -> Lanes:
    """Lanes of the values; what stands where the array is null does not matter."""
    if tag in ("string", "binary"):
        return _hash_bytes(array, tag)
    if tag == "void":
        return _constant(len(array), tag)
    if tag.startswith("decimal"):
        return _hash_decimal(array, tag)
    if tag.startswith(("array", "map")):
        return _hash_list(array, tag)
    if tag.startswith("struct"):
        state = _constant(len(array), tag)
        for child in array.flatten():
            state = _fold(state, hash_column(child))
        return state
    return _hash_words(_words(array), tag)


def _words(array: pa.Array) -> np.ndarray:
    """Fixed-width values as uint64, equal values as equal words."""
    types = pa.types
    if types.is_floating(array.type):
        return _float_words(array)
    if types.is_boolean(array.type):
        return array.cast(pa.uint8()).fill_null(0).to_numpy().astype(_U64)
    if types.is_date64(array.type):
        array = array.cast(pa.date32())
    if types.is_date32(array.type):
        return array.view(pa.int32()).fill_null(0).to_numpy().astype(np.int64).view(_U64)
    if types.is_timestamp(array.type):
        count = array.view(pa.int64()).fill_null(0).to_numpy()
        micros = count // 1000 if array.type.unit == "ns" else count * _MICROS_PER[array.type.unit]
        return micros.astype(np.int64).view(_U64)
    return array.fill_null(0).to_numpy().astype(np.int64).view(_U64)


def _float_words(array: pa.Array) -> np.ndarray:
    width = np.float64 if pa.types.is_float64(array.type) else np.float32
    values = array.to_numpy(zero_copy_only=False).astype(width)
    values = values + width(0)  # -0.0 + 0.0 is 0.0
    values[np.isnan(values)] = width(np.nan)
    bits = values.view(np.uint64 if width is np.float64 else np.uint32)
    return bits.astype(_U64)


def _hash_words(words: np.ndarray, tag: str) -> Lanes:
    seed_a, seed_b = _seeds(tag)
    return Lanes(_mix(words ^ seed_a), _mix(words * _FOLD_B ^ seed_b))


def _hash_decimal(array: pa.Array, tag: str) -> Lanes:
    if array.type.bit_width != 128:
        try:
            array = array.cast(pa.decimal128(38, array.type.scale))
        except pa.ArrowInvalid as error:
            raise InputError(f"got {array.type}; allowed: decimals of at most 38 digits") from error
    # The buffer of a decimal128 array is pairs of little-endian words, 16 bytes a value.
    words = np.frombuffer(array.buffers()[1] or b"", dtype=_U64)[2 * array.offset : 2 * (array.offset + len(array))]
    return _fold(_hash_words(words[0::2], tag), _hash_words(words[1::2], tag))


def _hash_bytes(array: pa.Array, tag: str) -> Lanes:
    return _hash_dictionary(array.dictionary_encode(), tag)


def _hash_dictionary(array: pa.Array, tag: str | None = None) -> Lanes:
    """Hashes the distinct values once, and spreads the hashes over the rows."""
    values = _distinct_bytes(array.dictionary, tag) if tag else _hash_dictionary_values(array.dictionary)
    nothing = _seeds(f"null {tag or spark_type(array.dictionary.type)}")
    # One entry more than there are values: rows whose index is null take it.
    a, b = np.append(values.a, nothing[0]), np.append(values.b, nothing[1])
    index = array.indices.cast(pa.int64()).fill_null(len(values.a)).to_numpy()
    return Lanes(a[index], b[index])


def _hash_dictionary_values(values: pa.Array) -> Lanes:
    tag = spark_type(values.type)
    if tag in ("string", "binary") and values.null_count == 0:
        return _distinct_bytes(_plain(values), tag)
    return hash_column(values)


def _distinct_bytes(values: pa.Array, tag: str) -> Lanes:
    as_bytes = values.cast(pa.large_binary()) if tag == "string" else values
    digest = b"".join([hashlib.blake2b(value, digest_size=16).digest() for value in as_bytes.to_pylist()])
    words = np.frombuffer(digest, dtype=_U64)
    seed_a, seed_b = _seeds(tag)
    return Lanes(_mix(words[0::2] ^ seed_a), _mix(words[1::2] ^ seed_b))


def _hash_list(array: pa.Array, tag: str) -> Lanes:
    """A list hashes to the sum of its elements' hashes, each mixed with its place, and its length. A map has no places."""
    lengths = _lengths(array)
    child = _elements(array)
    elements = hash_column(child)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    if not pa.types.is_map(array.type):
        place = (np.arange(len(child)) - np.repeat(starts, lengths)).astype(_U64)
        elements = Lanes(elements.a + place * _FOLD_A, elements.b + place * _FOLD_B)
    sums = Lanes(*(_range_sums(_mix(lane), starts, ends) for lane in elements))
    return _fold(_hash_words(lengths.astype(_U64), tag), sums)


def _lengths(array: pa.Array) -> np.ndarray:
    if pa.types.is_fixed_size_list(array.type):
        valid = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
        return np.where(valid, array.type.list_size, 0)
    if pa.types.is_map(array.type):
        offsets = array.offsets.to_numpy().astype(np.int64)
        return np.diff(offsets)
    return array.value_lengths().fill_null(0).to_numpy().astype(np.int64)


def _elements(array: pa.Array) -> pa.Array:
    if not pa.types.is_map(array.type):
        return array.flatten()
    first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
    keys, items = array.keys, array.items
    span = (first, last - first) if len(keys) > last - first else (0, len(keys))
    return pa.StructArray.from_arrays([keys.slice(*span), items.slice(*span)], names=["key", "value"])


def _range_sums(lane: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    totals = np.concatenate([np.zeros(1, _U64), np.cumsum(lane, dtype=_U64)])  # wraps around, as it should
    return totals[ends] - totals[starts]


def _mix(lane: Any) -> Any:
    """Murmur3's 64-bit finaliser: one-to-one, and every input bit moves every output bit."""
    lane = lane ^ (lane >> _SHIFT)
    lane = lane * _FINAL_1
    lane ^= lane >> _SHIFT
    lane *= _FINAL_2
    lane ^= lane >> _SHIFT
    return lane


def _fold(state: Lanes, lanes: Lanes) -> Lanes:
    """Adds the next column to the state; the order of columns counts."""
    return Lanes(_mix(state.a * _FOLD_A + lanes.a), _mix(state.b * _FOLD_B + lanes.b))


@cache
def _seeds(tag: str) -> tuple[np.uint64, np.uint64]:
    words = np.frombuffer(hashlib.blake2b(tag.encode(), digest_size=16, person=b"batchinfer").digest(), dtype=_U64)
    return words[0], words[1]


def _constant(rows: int, tag: str) -> Lanes:
    seed_a, seed_b = _seeds(tag)
    return Lanes(np.full(rows, seed_a, _U64), np.full(rows, seed_b, _U64))


def _binary16(state: Lanes) -> pa.Array:
    """Both lanes, each stirred with the other, as an Arrow binary array of 16 bytes a row."""
    rows = len(state.a)
    words = np.empty((rows, 2), _U64)
    words[:, 0] = _mix(state.a + state.b * _FOLD_A)
    words[:, 1] = _mix(state.b + words[:, 0] * _FOLD_B)
    offsets = np.arange(rows + 1, dtype=np.int32) * 16
    return pa.Array.from_buffers(pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(words)])
