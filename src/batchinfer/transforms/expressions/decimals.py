"""Decimals as whole numbers, and back.

Owns the layout of Arrow's decimal128 and the rounding half up. Knows no operator.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batchinfer.transforms.expressions.bound import Mask

Whole = npt.NDArray[Any]
"""Whole numbers: of Python's own where 64 bits may not do."""

WIDE = Context(prec=400, rounding=ROUND_HALF_UP)
"""For sums of Python's decimals: no digit is lost."""

_EXACT_PLACES = 22
"""Powers of ten up to this one are exact as doubles."""
_WORD = 64
_LOW = 2**_WORD - 1


def unscaled(values: pa.Array) -> Whole:
    """The digits of each decimal as one whole number: 1.50 of scale 2 is 150; a null is 0."""
    words = np.frombuffer(values.buffers()[1], np.int64, 2 * len(values), 16 * values.offset)
    low, high = words[0::2], words[1::2]
    if values.type.precision <= 18:
        whole: Whole = low.copy()
    else:
        whole = (high.astype(object) << _WORD) + low.view(np.uint64).astype(object)
    if values.null_count:
        whole[np.asarray(values.is_null().to_numpy(zero_copy_only=False))] = 0
    return whole


def from_unscaled(whole: Whole, type_: pa.DataType, valid: Mask) -> pa.Array:
    """The way back; a number with more digits than the type has belongs to a row that is not
    valid.
    """
    words = np.zeros(2 * len(whole), np.int64)
    if whole.dtype == object:
        kept = np.where(valid, whole, 0)
        words[0::2] = (kept & _LOW).astype(np.uint64).view(np.int64)
        words[1::2] = (kept >> _WORD).astype(np.int64)
    else:
        words[0::2] = whole
        words[1::2] = whole >> 63
    present = None
    if not valid.all():
        present = pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    return pa.Array.from_buffers(type_, len(whole), [present, pa.py_buffer(words.tobytes())])


def divided_half_up(whole: Whole, by: Any) -> Whole:
    """Each number divided, rounded to the nearest whole one, halves away from zero.

    `by` may be one number or an array, positive.
    """
    size = (2 * abs(whole) + by) // (2 * by)
    return np.where(whole < 0, -size, size)


def shifted_half_up(
    numbers: npt.NDArray[np.float64], places: int
) -> tuple[npt.NDArray[np.float64], Mask]:
    """Each number times 10**places as a whole number, halves away from zero, and which are unsure.

    A number counts as the decimal that it shows itself as. Where the digits behind the place are
    far from a half, doubles decide; the others are unsure, as are those that are large or not
    finite.
    """
    if abs(places) > _EXACT_PLACES:
        return numbers, np.ones(len(numbers), bool)
    with np.errstate(all="ignore"):
        by = 10.0 ** abs(places)
        shifted = numbers * by if places >= 0 else numbers / by
        size = np.abs(shifted)
        whole = np.floor(size + 0.5)
        doubt = np.abs(size - np.floor(size) - 0.5) <= 1e-9 + size * 2.0**-51
        sure = (size < 2.0**50) & ~doubt
    return np.where(shifted < 0, -whole, whole), ~sure


def too_many_digits(whole: Whole, type_: pa.DataType) -> Mask:
    """Which numbers have more digits than a decimal type has."""
    return np.asarray(abs(whole) >= 10**type_.precision, bool)


def rounded_decimal(value: Decimal, scale: int) -> Decimal:
    """One decimal to a number of digits behind the point, halves away from zero."""
    return WIDE.quantize(value, Decimal(1).scaleb(-scale, WIDE))
