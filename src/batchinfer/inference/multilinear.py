"""The hash of rows by which fingerprints are made: 128 bits of the values of some Arrow columns.

Owns the hash and nothing of its use: which columns count, and what equal hashes mean, is
`fingerprint`.

How: two 64-bit lanes, each a sum over the columns of a mixed word times an odd factor of its own
(multilinear hashing; Lemire and Kaser, "Strongly universal string hashing is fast", 2014), stirred
at the end. Fixed-width values are such words as they are, two neighbouring columns of single
precision one together; strings and bytes go through BLAKE2b once per distinct value. Factors come
from the column's type and place, so swapping two columns, or moving a character from one string
into its neighbour, gives another hash. Rows that differ in one column never collide; others do with
a chance of about 2^-122.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
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
_SPREAD, _HALF = np.uint64(0xFF51AFD7ED558CCD), np.uint64(32)
_PLACE = np.uint64(0x9E3779B97F4A7C15)  # odd, its bits well spread: places in a list land far apart
# Columns of one type are hashed together as long as the block fits a core's cache.
_BLOCK_BYTES = 2**19
# Quiet NaNs: the one that stands for all of them, and the one that stands for null.
_NAN32, _NULL32 = np.uint32(0x7FC00000), np.uint32(0x7FC00001)

_MICROS_PER = {"s": 1_000_000, "ms": 1_000, "us": 1}


class Lanes(NamedTuple):
    """Two 64-bit hashes a value, `uint64` arrays of one shape; one array twice where the words are
    the same.
    """

    a: np.ndarray
    b: np.ndarray


class ColumnRun(NamedTuple):
    """Neighbouring columns that can be hashed together: of one fixed-width type, or one column of
    any other.
    """

    start: int
    end: int
    fixed: bool


def column_runs(types: Iterable[pa.DataType]) -> Iterator[ColumnRun]:
    """The runs of columns of these types, in order; together they are all columns."""
    found = [_SINGLE if _is_single(type_) else type_ for type_ in types]
    start = 0
    while start < len(found):
        end, fixed = start + 1, _is_fixed(found[start])
        while fixed and end < len(found) and found[end] == found[start]:
            end += 1
        yield ColumnRun(start, end, fixed)
        start = end


def hash_rows(
    columns: Sequence[pa.Array], runs: Iterable[ColumnRun], rows: int, seed: str
) -> pa.Array:
    """One `binary` value of 16 bytes for each row; another seed gives other hashes.

    Args:
        runs: of the columns, as `column_runs` gives them.
    """
    return _binary16(_row_sums(columns, runs, rows, seed))


def _row_sums(
    columns: Sequence[pa.Array], runs: Iterable[ColumnRun], rows: int, seed: str
) -> Lanes:
    """Sum of the hashes of the columns of each row, each column at its own place."""
    seeds = _seeds(seed)
    sums = Lanes(np.full(rows, seeds[0], _U64), np.full(rows, seeds[1], _U64))
    # Even: where a block ends must not tear a pair of columns apart.
    most = 2 * max(1, _BLOCK_BYTES // (16 * max(1, rows)))
    for run in runs:
        for place in range(run.start, run.end, most):
            _add_block(sums, columns[place : min(place + most, run.end)], place, run.fixed)
    return sums


def _hash_column(array: pa.Array) -> Lanes:
    """Hashes each value of an array of any Spark type, nulls included."""
    sums = Lanes(np.zeros(len(array), _U64), np.zeros(len(array), _U64))
    _add_block(sums, [array], 0, _is_fixed(array.type) or _is_single(array.type))
    return sums


class _Factors(NamedTuple):
    """Of the columns of a block: odd factors `(2, columns)`, what each lane gets besides `(2,)`,
    words of null `(2, columns)`.
    """

    odd: np.ndarray
    constant: np.ndarray
    null: np.ndarray


@lru_cache(maxsize=4096)
def _factors(tag: str, place: int, columns: int, step: int) -> _Factors:
    def words(kind: str) -> np.ndarray:
        return np.array(
            [_seeds(f"{kind} {tag} {place + offset}") for offset in range(0, columns, step)], _U64
        ).T

    return _Factors(
        words("factor") | np.uint64(1), words("place").sum(axis=1, dtype=_U64), words("null")
    )


def _add_block(sums: Lanes, columns: Sequence[pa.Array], place: int, fixed: bool) -> None:
    """Adds the hashes of columns of one type, the first of which is at `place`, to the rows'
    sums.
    """
    if fixed and _is_single(columns[0].type):
        factors, holes = _factors("float", place, len(columns), 2), dict[int, np.ndarray]()
        pairs = _pairs(columns)
        words = Lanes(pairs, pairs)
    else:
        arrays = columns if fixed else [plain(column) for column in columns]
        tag = _tag(arrays[0].type)
        factors = _factors(tag, place, len(arrays), 1)
        holes = {
            row: _nulls(array)
            for row, array in enumerate(arrays)
            if array.null_count or pa.types.is_dictionary(array.type)
        }
        words = Lanes(*(np.ascontiguousarray(lane) for lane in _words(arrays, tag)))
    for lane in words[: 1 if words.a is words.b else 2]:
        lane *= _SPREAD
        lane ^= lane >> _HALF
        for row, nulls in holes.items():
            lane[row, nulls] = 0
    for number, (total, lane) in enumerate(zip(sums, words, strict=True)):
        total += np.einsum("c,cr->r", factors.odd[number], lane)
        total += factors.constant[number]
        for row, nulls in holes.items():
            total[nulls] += factors.null[number, row]


_tag = cache(spark_type)
_SINGLE = pa.float32()


def _is_single(type_: pa.DataType) -> bool:
    """Whether it is single precision to Spark, in whatever layout: such columns that stand beside
    each other are paired.
    """
    return _tag(type_) == "float"


def _nulls(array: pa.Array) -> np.ndarray:
    if pa.types.is_dictionary(array.type) and array.dictionary.null_count:
        array = array.dictionary.is_null().take(array.indices)
        return array.fill_null(True).to_numpy(zero_copy_only=False).astype(bool)
    return array.is_null().to_numpy(zero_copy_only=False).astype(bool)


def _is_fixed(type_: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_integer(type_)
        or types.is_floating(type_)
        or types.is_boolean(type_)
        or types.is_temporal(type_)
    )


def _words(columns: Sequence[pa.Array], tag: str) -> Lanes:
    """New arrays `(columns, rows)`, equal for equal values of type `tag`; whatever, where a value
    is null.
    """
    array = columns[0]
    if _is_fixed(array.type):
        words = (
            _float_words(columns) if pa.types.is_floating(array.type) else _integer_words(columns)
        )
        return Lanes(words, words)
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
        children = array.flatten()
        lanes = _row_sums(
            children, column_runs(child.type for child in children), len(array), "struct"
        )
    else:
        lanes = Lanes(
            np.zeros(len(array), _U64), np.zeros(len(array), _U64)
        )  # void: nothing but nulls
    return Lanes(lanes.a.reshape(1, -1), lanes.b.reshape(1, -1))


def _integer_words(columns: Sequence[pa.Array]) -> np.ndarray:
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


def _float_words(columns: Sequence[pa.Array]) -> np.ndarray:
    values = np.empty((len(columns), len(columns[0])), np.float64)
    for row, column in enumerate(columns):
        values[row] = column.to_numpy(zero_copy_only=False)
    values += 0.0  # -0.0 + 0.0 is 0.0
    if _has_nan(values):
        values[np.isnan(values)] = np.nan
    return values.view(_U64)


def _pairs(columns: Sequence[pa.Array]) -> np.ndarray:
    """`(pairs of columns, rows) uint64`: two of single precision a word, nulls among them; half the
    work of a word a number.
    """
    arrays = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for column in columns
    ]
    values = np.zeros(((len(arrays) + 1) // 2, len(arrays[0]), 2), np.float32)
    for place, array in enumerate(arrays):
        values[place // 2, :, place % 2] = array.to_numpy(zero_copy_only=False)
    values += 0.0
    words = values.view(np.uint32)
    if _has_nan(values):
        words[np.isnan(values)] = _NAN32
        for place, array in enumerate(arrays):
            if array.null_count:
                words[place // 2, _nulls(array), place % 2] = _NULL32
    return words.view(_U64)[:, :, 0]


def _has_nan(values: np.ndarray) -> bool:
    return bool(values.size and np.isnan(values.max()))  # the greatest is NaN where any is


def _decimal_words(array: pa.Array) -> Lanes:
    if array.type.bit_width != 128:
        try:
            array = array.cast(pa.decimal128(38, array.type.scale))
        except pa.ArrowInvalid as error:
            raise InputError(f"got {array.type}; allowed: decimals of at most 38 digits") from error
    # The buffer of a decimal128 array is pairs of little-endian words, 16 bytes a value.
    words = np.frombuffer(array.buffers()[1] or b"", dtype=_U64)[
        2 * array.offset : 2 * (array.offset + len(array))
    ]
    low, high = pa.array(words[0::2].astype(np.int64)), pa.array(words[1::2].astype(np.int64))
    return _row_sums([low, high], [ColumnRun(0, 2, True)], len(array), "decimal")


def _digests(values: pa.Array, tag: str) -> Lanes:
    """128-bit digests of distinct strings or bytes."""
    as_bytes = values.cast(pa.large_binary()) if tag == "string" else values
    digests = [
        hashlib.blake2b(value or b"", digest_size=16).digest() for value in as_bytes.to_pylist()
    ]
    words = np.frombuffer(b"".join(digests), dtype=_U64)
    return Lanes(words[0::2], words[1::2])


def _spread(values: Lanes, indices: pa.Array) -> Lanes:
    """The words of a dictionary's values, for each row that points at them."""
    index = _filled(indices).astype(np.intp)
    if not values.a.size:
        return Lanes(np.zeros(len(index), _U64), np.zeros(len(index), _U64))
    return Lanes(values.a.reshape(-1)[index], values.b.reshape(-1)[index])


def _list_words(array: pa.Array) -> Lanes:
    """The sum of a list's elements' hashes, each mixed with its place, and of its length. A map's
    entries have no place.
    """
    lengths = _lengths(array)
    child = _elements(array)
    elements = _hash_column(child)
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
    totals = np.concatenate(
        [np.zeros(1, _U64), np.cumsum(lane, dtype=_U64)]
    )  # wraps around, as it should
    return totals[ends] - totals[starts]


def _mix(words: np.ndarray, lane: int) -> None:
    """Mixes words in place: one-to-one, and every bit that goes in moves each bit that comes out
    half of the time.
    """
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
    words = np.frombuffer(
        hashlib.blake2b(text.encode(), digest_size=16, person=b"batchinfer").digest(), dtype=_U64
    )
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
    return pa.Array.from_buffers(
        pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(words)]
    )
