"""The 128-bit fingerprint of a row's model inputs.

Owns the hash and its promise: equal inputs have equal fingerprints on every road, in every batch, in every release
(golden values in a test hold it). Not keyed: it guards against accidents, not against someone who crafts collisions.
Knows nothing of models.

How: two 64-bit lanes, each the sum over the columns of a mixed word that holds the value, its type and the column's
place. Fixed-width values are such words as they are, and the mixing is one-to-one; strings and bytes go through BLAKE2b
once per distinct value. So swapping two columns, or moving a character from one string into its neighbour, gives
another fingerprint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from batchinfer.errors import InputError
from batchinfer.inference.logical_types import plain, spark_type

_U64 = np.dtype("<u8")
# Finalisers of 64-bit hashes: MurmurHash3's fmix64 for the first lane, SplitMix64's for the second.
_MIXERS = (
    ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53), 33),
    ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), 31),
)
_PLACE = np.uint64(0x9E3779B97F4A7C15)  # odd, its bits well spread: places in a list land far apart
# Columns of one type are mixed together as long as the block fits a core's cache.
_BLOCK_BYTES = 2**19

_MICROS_PER = {"s": 1_000_000, "ms": 1_000, "us": 1}


class Lanes(NamedTuple):
    """Two 64-bit hashes a value, `uint64` arrays of one shape."""

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
    names = batch.schema.names
    missing = [name for name in columns if name not in names]
    if missing:
        raise InputError(f"columns to fingerprint: got none called {', '.join(missing)}; there are {', '.join(names)}")
    for name in columns:
        try:
            spark_type(batch.schema.field(name).type)
        except InputError as error:
            raise InputError(f"column {name}: {error}") from error
    return _binary16(_row_sums([batch.column(name) for name in columns], batch.num_rows, "batchinfer.fingerprint.1"))


def _row_sums(columns: list[pa.Array], rows: int, seed: str) -> Lanes:
    """Sum of the hashes of the columns of each row, each column at its own place."""
    seeds = _seeds(seed)
    sums = Lanes(np.full(rows, seeds[0], _U64), np.full(rows, seeds[1], _U64))
    most = max(1, _BLOCK_BYTES // (8 * max(1, rows)))
    place = 0
    while place < len(columns):
        type_ = columns[place].type
        end = place + 1
        while end < len(columns) and end - place < most and _is_fixed(type_) and columns[end].type == type_:
            end += 1
        block = _hash_block(columns[place:end], place)
        for total, lane in zip(sums, block, strict=True):
            total += lane.sum(axis=0, dtype=_U64) if len(lane) > 1 else lane[0]
        place = end
    return sums


def hash_column(array: pa.Array) -> Lanes:
    """Hashes each value of an array of any Spark type, nulls included."""
    block = _hash_block([array], 0)
    return Lanes(block.a[0], block.b[0])


def _hash_block(columns: list[pa.Array], place: int) -> Lanes:
    """Hashes `(columns, rows)` of columns of one type, the first of which is at `place`."""
    arrays = [plain(column) for column in columns]
    tag = spark_type(arrays[0].type)
    words = Lanes(*(np.ascontiguousarray(lane) for lane in _words(arrays, tag)))
    for lane, words_of_lane in enumerate(words):
        seeds = np.array([_seeds(f"{tag} {place + offset}")[lane] for offset in range(len(arrays))], _U64)
        words_of_lane ^= seeds[:, None]
        _mix(words_of_lane, lane)
        for row, column in enumerate(arrays):
            if column.null_count or pa.types.is_dictionary(column.type):
                words_of_lane[row, _nulls(column)] = _seeds(f"null {tag} {place + row}")[lane]
    return words


def _nulls(array: pa.Array) -> np.ndarray:
    if pa.types.is_dictionary(array.type) and array.dictionary.null_count:
        array = array.dictionary.is_null().take(array.indices)
        return array.fill_null(True).to_numpy(zero_copy_only=False).astype(bool)
    return array.is_null().to_numpy(zero_copy_only=False).astype(bool)


def _is_fixed(type_: pa.DataType) -> bool:
    types = pa.types
    return types.is_integer(type_) or types.is_floating(type_) or types.is_boolean(type_) or types.is_temporal(type_)


def _words(columns: list[pa.Array], tag: str) -> Lanes:
    """New arrays `(columns, rows)`, equal for equal values of type `tag`; whatever, where a value is null."""
    array = columns[0]
    if _is_fixed(array.type):
        words = _float_words(columns) if pa.types.is_floating(array.type) else _integer_words(columns)
        return Lanes(words, words.copy())
    if pa.types.is_dictionary(array.type):
        lanes = _spread(_words([plain(array.dictionary)], tag), array.indices)
    elif tag in ("string", "binary"):
        encoded = array.dictionary_encode()
        lanes = _spread(_digests(encoded.dictionary, tag), encoded.indices)
    elif tag.startswith("decimal"):
        lanes = _decimal_words(array)
    elif tag.startswith(("array", "map")):
        lanes = _list_words(array)
    elif tag.startswith("struct"):
        lanes = _row_sums(array.flatten(), len(array), "struct")
    else:
        lanes = Lanes(np.zeros(len(array), _U64), np.zeros(len(array), _U64))  # void: nothing but nulls
    return Lanes(lanes.a.reshape(1, -1), lanes.b.reshape(1, -1))


def _integer_words(columns: list[pa.Array]) -> np.ndarray:
    words = np.empty((len(columns), len(columns[0])), np.int64)
    for row, column in enumerate(columns):
        words[row] = _integers(column)
    return words.view(_U64)


def _integers(array: pa.Array) -> np.ndarray:
    types = pa.types
    if types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    if types.is_date64(array.type):
        array = array.cast(pa.date32())
    if types.is_date32(array.type):
        array = array.view(pa.int32())
    if not types.is_timestamp(array.type):
        return _filled(array)
    count = _filled(array.view(pa.int64()))
    return count // 1000 if array.type.unit == "ns" else count * _MICROS_PER[array.type.unit]


def _filled(array: pa.Array) -> np.ndarray:
    return (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)


def _float_words(columns: list[pa.Array]) -> np.ndarray:
    wide = pa.types.is_float64(columns[0].type)
    values = np.empty((len(columns), len(columns[0])), np.float64 if wide else np.float32)
    for row, column in enumerate(columns):
        values[row] = column.to_numpy(zero_copy_only=False)
    values += 0.0  # -0.0 + 0.0 is 0.0
    nan = np.isnan(values)
    if nan.any():
        values[nan] = np.nan
    return values.view(np.uint64 if wide else np.uint32).astype(_U64, copy=False)


def _decimal_words(array: pa.Array) -> Lanes:
    if array.type.bit_width != 128:
        try:
            array = array.cast(pa.decimal128(38, array.type.scale))
        except pa.ArrowInvalid as error:
            raise InputError(f"got {array.type}; allowed: decimals of at most 38 digits") from error
    # The buffer of a decimal128 array is pairs of little-endian words, 16 bytes a value.
    words = np.frombuffer(array.buffers()[1] or b"", dtype=_U64)[2 * array.offset : 2 * (array.offset + len(array))]
    low, high = pa.array(words[0::2].astype(np.int64)), pa.array(words[1::2].astype(np.int64))
    return _row_sums([low, high], len(array), "decimal")


def _digests(values: pa.Array, tag: str) -> Lanes:
    """128-bit digests of distinct strings or bytes."""
    as_bytes = values.cast(pa.large_binary()) if tag == "string" else values
    digests = [hashlib.blake2b(value or b"", digest_size=16).digest() for value in as_bytes.to_pylist()]
    words = np.frombuffer(b"".join(digests), dtype=_U64)
    return Lanes(words[0::2], words[1::2])


def _spread(values: Lanes, indices: pa.Array) -> Lanes:
    """The words of a dictionary's values, for each row that points at them."""
    index = _filled(indices).astype(np.intp)
    if not values.a.size:
        return Lanes(np.zeros(len(index), _U64), np.zeros(len(index), _U64))
    return Lanes(values.a.reshape(-1)[index], values.b.reshape(-1)[index])


def _list_words(array: pa.Array) -> Lanes:
    """The sum of a list's elements' hashes, each mixed with its place, and of its length. A map's entries have no place."""
    lengths = _lengths(array)
    child = _elements(array)
    elements = hash_column(child)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    place = np.zeros(len(child), _U64)
    if not pa.types.is_map(array.type):
        place = (np.arange(len(child)) - np.repeat(starts, lengths)).astype(_U64) * _PLACE
    sums = []
    for lane, hashes in enumerate(elements):
        hashes += place
        _mix(hashes, lane)
        sums.append(_range_sums(hashes, starts, ends) + lengths.astype(_U64) * _PLACE)
    return Lanes(*sums)


def _lengths(array: pa.Array) -> np.ndarray:
    if pa.types.is_fixed_size_list(array.type):
        return np.where(_nulls(array), 0, array.type.list_size)
    if pa.types.is_map(array.type):
        return np.diff(array.offsets.to_numpy().astype(np.int64))
    return array.value_lengths().fill_null(0).to_numpy().astype(np.int64)


def _elements(array: pa.Array) -> pa.Array:
    if not pa.types.is_map(array.type):
        return array.flatten()
    first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
    entries = pa.StructArray.from_arrays([array.keys, array.items], names=["key", "value"])
    return entries.slice(first, last - first) if len(entries) > last - first else entries


def _range_sums(lane: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    totals = np.concatenate([np.zeros(1, _U64), np.cumsum(lane, dtype=_U64)])  # wraps around, as it should
    return totals[ends] - totals[starts]


def _mix(words: np.ndarray, lane: int) -> None:
    """Mixes words in place: one-to-one, and every bit that goes in moves each bit that comes out half of the time."""
    shifted = np.empty_like(words)
    *rounds, last = _MIXERS[lane]
    for shift, factor in rounds:
        np.right_shift(words, np.uint64(shift), out=shifted)
        words ^= shifted
        words *= np.uint64(factor)
    np.right_shift(words, np.uint64(last), out=shifted)
    words ^= shifted


@cache
def _seeds(text: str) -> tuple[np.uint64, np.uint64]:
    words = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16, person=b"batchinfer").digest(), dtype=_U64)
    return words[0], words[1]


def _binary16(sums: Lanes) -> pa.Array:
    """Both lanes, each stirred with the other, as an Arrow binary array of 16 bytes a row."""
    rows = len(sums.a)
    words = np.empty((rows, 2), _U64)
    first = sums.a + sums.b * _PLACE
    _mix(first, 0)
    second = sums.b + first
    _mix(second, 1)
    words[:, 0], words[:, 1] = first, second
    offsets = np.arange(rows + 1, dtype=np.int32) * 16
    return pa.Array.from_buffers(pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(words)])
