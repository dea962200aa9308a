"""Logarithms, exponentials and powers to the last bit as Java's StrictMath gives them.

Spark computes by StrictMath, which is specified to return what the library fdlibm returns; other
libraries return neighbouring doubles for some values (Spark's exp(1) ends in 455, C's in 45). Each
function here is fdlibm's sequence of operations on doubles, for whole arrays.

Owns only the numbers: where Spark says null instead is decided in `quantities.py`.
Source: the specification of java.lang.StrictMath; fdlibm 5.3 (e_log.c, e_exp.c, e_log10.c,
s_log1p.c), which states its constants by their bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Whole64 = npt.NDArray[np.int64]

LN2_HIGH = float.fromhex("0x1.62e42feep-1")
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_INVERSE_LN2 = float.fromhex("0x1.71547652b82fep+0")
_INVERSE_LN10 = float.fromhex("0x1.bcb7b1526e50ep-2")
_LOG10_2_HIGH = float.fromhex("0x1.34413509f6p-2")
_LOG10_2_LOW = float.fromhex("0x1.9fef311f12b36p-42")
_TWO_54 = 2.0**54
_FRACTION = 0x000FFFFF
_ONE = 0x3FF00000

_LOG = [
    float.fromhex(text)
    for text in (
        "0x1.5555555555593p-1",
        "0x1.999999997fa04p-2",
        "0x1.2492494229359p-2",
        "0x1.c71c51d8e78afp-3",
        "0x1.7466496cb03dep-3",
        "0x1.39a09d078c69fp-3",
        "0x1.2f112df3e5244p-3",
    )
]
EXP = [
    float.fromhex(text)
    for text in (
        "0x1.555555555553ep-3",
        "-0x1.6c16c16bebd93p-9",
        "0x1.1566aaf25de2cp-14",
        "-0x1.bbd41c5d26bf1p-20",
        "0x1.6376972bea4d0p-25",
    )
]


def high_words(values: Doubles) -> Whole64:
    """The upper 32 bits of each double, signed."""
    return values.view(np.int64) >> 32


def with_high(values: Doubles, high: Whole64) -> Doubles:
    """The doubles with other upper 32 bits."""
    return ((values.view(np.int64) & 0xFFFFFFFF) | (high << 32)).view(np.float64)


def polynomial(at: Doubles, factors: list[float]) -> Doubles:
    """f0 + at * (f1 + at * (f2 + …)), from the inside out."""
    value: Any = factors[-1]
    for factor in reversed(factors[:-1]):
        value = factor + at * value
    return value


def strict_log(values: Doubles) -> Doubles:
    """The natural logarithm of numbers above zero; infinity and NaN stay."""
    x = np.ascontiguousarray(values, np.float64)
    small = high_words(x) < 0x00100000
    x = np.where(small, x * _TWO_54, x)
    high = high_words(x)
    k = np.where(small, -54, 0) + (high >> 20) - 1023
    high = high & _FRACTION
    up = (high + 0x95F64) & 0x100000
    f = with_high(x, high | (up ^ _ONE)) - 1.0
    k = (k + (up >> 20)).astype(np.float64)
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    first = w * (_LOG[1] + w * (_LOG[3] + w * _LOG[5]))
    second = z * (_LOG[0] + w * (_LOG[2] + w * (_LOG[4] + w * _LOG[6])))
    r = second + first
    half = 0.5 * f * f
    middle = ((high - 0x6147A) | (0x6B851 - high)) > 0
    made = np.where(
        middle,
        k * LN2_HIGH - ((half - (s * (half + r) + k * LN2_LOW)) - f),
        k * LN2_HIGH - ((s * (f - r) - k * LN2_LOW) - f),
    )
    near = (_FRACTION & (2 + high)) < 3
    r = f * f * (0.5 - 0.33333333333333333 * f)
    made = np.where(near, k * LN2_HIGH - ((r - k * LN2_LOW) - f), made)
    made = np.where(f == 0, k * LN2_HIGH + k * LN2_LOW, made)
    return np.where(np.isfinite(values), made, values)


def strict_log10(values: Doubles) -> Doubles:
    """The logarithm to base 10 of numbers above zero; infinity and NaN stay."""
    x = np.ascontiguousarray(values, np.float64)
    small = high_words(x) < 0x00100000
    x = np.where(small, x * _TWO_54, x)
    high = high_words(x)
    k = np.where(small, -54, 0) + (high >> 20) - 1023
    negative = (k < 0).astype(np.int64)
    y = (k + negative).astype(np.float64)
    x = with_high(x, (high & _FRACTION) | ((0x3FF - negative) << 20))
    made = (y * _LOG10_2_LOW + _INVERSE_LN10 * strict_log(x)) + y * _LOG10_2_HIGH
    return np.where(np.isfinite(values), made, values)


def strict_log1p(values: Doubles) -> Doubles:
    """The natural logarithm of 1 + x for x above -1; infinity and NaN stay."""
    x = np.ascontiguousarray(values, np.float64)
    high = high_words(x)
    near_one = (high < 0x3FDA827A) & ((high > 0) | (high <= 0xBFD2BEC3 - 2**32))
    huge = high >= 0x43400000
    u = np.where(huge, x, 1.0 + x)
    k = (high_words(u) >> 20) - 1023
    lost = np.where(k > 0, 1.0 - (u - x), x - (u - 1.0)) / u
    lost = np.where(huge, 0.0, lost)
    fraction = high_words(u) & _FRACTION
    low_half = fraction < 0x6A09E
    u = with_high(u, fraction | np.where(low_half, _ONE, 0x3FE00000))
    k = np.where(low_half, k, k + 1)
    fraction = np.where(low_half, fraction, (0x00100000 - fraction) >> 2)
    f = np.where(near_one, x, u - 1.0)
    k = np.where(near_one, 0, k).astype(np.float64)
    lost = np.where(near_one, 0.0, lost)
    fraction = np.where(near_one, 1, fraction)
    half = 0.5 * f * f
    low = k * LN2_LOW + lost
    s = f / (2.0 + f)
    z = s * s
    r = z * polynomial(z, _LOG)
    made = k * LN2_HIGH - ((half - (s * (half + r) + low)) - f)
    r = half * (1.0 - 0.66666666666666666 * f)
    tiny = np.where(f == 0, k * LN2_HIGH + (lost + k * LN2_LOW), k * LN2_HIGH - ((r - low) - f))
    made = np.where(fraction == 0, tiny, made)
    size = high & 0x7FFFFFFF
    made = np.where(size < 0x3E200000, x - x * x * 0.5, made)
    made = np.where(size < 0x3C900000, x, made)
    return np.where(np.isfinite(values), made, values)


def strict_exp(values: Doubles) -> Doubles:
    """E to the power of each."""
    x = np.ascontiguousarray(values, np.float64)
    size = high_words(x) & 0x7FFFFFFF
    sign = np.where(x < 0, -1.0, 1.0)
    shifted = np.clip(np.nan_to_num(_INVERSE_LN2 * x), -4000, 4000) + 0.5 * sign
    k = np.where(size < 0x3FF0A2B2, sign, np.trunc(shifted))
    k = np.where(size > 0x3FD62E42, k, 0.0)
    high, low = x - k * LN2_HIGH, k * LN2_LOW
    r = np.where(k == 0, x, high - low)
    t = r * r
    c = r - t * polynomial(t, EXP)
    made = np.where(
        k == 0, 1.0 - ((r * c) / (c - 2.0) - r), 1.0 - ((low - (r * c) / (2.0 - c)) - high)
    )
    made = np.ldexp(made, k.astype(np.int64))
    made = np.where(size < 0x3E300000, 1.0 + x, made)
    made = np.where(x > float.fromhex("0x1.62e42fefa39efp+9"), np.inf, made)
    made = np.where(x < float.fromhex("-0x1.74910d52d3051p+9"), 0.0, made)
    return np.where(np.isnan(x), x, made)
