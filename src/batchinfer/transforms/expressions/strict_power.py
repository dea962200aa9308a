"""Powers to the last bit as Java's StrictMath gives them.

Owns `strict_pow` alone; why and from where is said in `strict_math.py` (here: e_pow.c).
"""

from __future__ import annotations

import numpy as np

from batchinfer.transforms.expressions.strict_math import (
    EXP,
    Doubles,
    Whole64,
    high_words,
    polynomial,
    with_high,
)

_LOG_H, _LOG_L = float.fromhex("0x1.2b8034p-1"), float.fromhex("0x1.cfdeb43cfd006p-27")
"""log2(1.5) in two parts."""
_L = [
    float.fromhex(text)
    for text in (
        "0x1.3333333333303p-1",
        "0x1.b6db6db6fabffp-2",
        "0x1.55555518f264dp-2",
        "0x1.17460a91d4101p-2",
        "0x1.d864a93c9db65p-3",
        "0x1.a7e284a454eefp-3",
    )
]
_LG2, _LG2_H = float.fromhex("0x1.62e42fefa39efp-1"), float.fromhex("0x1.62e43p-1")
_LG2_L = float.fromhex("-0x1.05c610ca86c39p-29")
_OVERFLOW = float.fromhex("0x1.71547652b82fep-54")
_CP, _CP_H = float.fromhex("0x1.ec709dc3a03fdp-1"), float.fromhex("0x1.ec709ep-1")
_CP_L = float.fromhex("-0x1.e2fe0145b01f5p-28")
_IVLN2, _IVLN2_H = float.fromhex("0x1.71547652b82fep+0"), float.fromhex("0x1.715476p+0")
_IVLN2_L = float.fromhex("0x1.4ae0bf85ddf44p-26")


def strict_pow(base: Doubles, exponent: Doubles) -> Doubles:
    """Each base to the power of its exponent.

    0, infinities and NaN follow Java's table: x to the power of 0 is 1, also of NaN; 1 to the power
    of an infinity or of NaN is NaN; a negative base takes whole exponents only.
    """
    x = np.ascontiguousarray(base, np.float64)
    y = np.ascontiguousarray(exponent, np.float64)
    size = np.abs(x)
    whole = np.isfinite(y) & (np.floor(y) == y)
    odd = whole & (np.abs(y) < 2.0**53) & (np.fmod(y, 2.0) != 0)
    ordinary = np.isfinite(size) & (size != 0) & np.isfinite(y)
    safe_size, safe_y = np.where(ordinary, size, 2.0), np.where(ordinary, y, 1.0)
    made = _power(safe_size, safe_y)
    special = np.where((size > 1) == (y > 0), np.inf, 0.0)
    special = np.where(size == 1, np.nan, special)
    zero_or_infinite = np.where((size == 0) == (y > 0), 0.0, np.inf)
    made = np.where(np.isinf(y), special, made)
    made = np.where(np.isfinite(y) & ((size == 0) | np.isinf(size)), zero_or_infinite, made)
    made = np.where(np.signbit(x) & odd, -made, made)
    made = np.where((x < 0) & np.isfinite(x) & np.isfinite(y) & ~whole, np.nan, made)
    made = np.where(np.isnan(x) | np.isnan(y), np.nan, made)
    made = np.where(y == 2, x * x, made)
    made = np.where(y == -1, 1.0 / x, made)
    made = np.where(y == 1, x, made)
    made = np.where((y == 0.5) & (high_words(x) >= 0), np.sqrt(size), made)
    return np.where(y == 0, 1.0, made)


def _rounded_low(values: Doubles) -> Doubles:
    """Without the lower 32 bits."""
    return (values.view(np.int64) & ~0xFFFFFFFF).view(np.float64)


def _power(x: Doubles, y: Doubles) -> Doubles:
    first, second = _log2(x)
    large = np.abs(y) > 2.0**31
    first_big, second_big = _log2_near_one(x)
    t1, t2 = np.where(large, first_big, first), np.where(large, second_big, second)
    y1 = _rounded_low(y)
    low = (y - y1) * t1 + y * t2
    high = y1 * t1
    z = low + high
    j = high_words(z)
    lower = z.view(np.int64) & 0xFFFFFFFF
    over = (j >= 0x40900000) & ((j > 0x40900000) | (lower != 0) | (low + _OVERFLOW > z - high))
    under = ((j & 0x7FFFFFFF) >= 0x4090CC00) & (j < 0)
    at_edge = (j == 0xC090CC00 - 2**32) & (lower == 0)
    under &= ~at_edge | (low <= z - high)
    made = _exp2(z, high, low, j)
    # Far beyond what doubles reach, the exponent alone decides.
    hx = high_words(x)
    far, farther = np.abs(y) > 2.0**31, np.abs(y) >= 2.0**64
    grows = np.where(hx >= 0x3FF00000, y > 0, y < 0)
    beyond = (far & ((hx < 0x3FEFFFFF) | (hx > 0x3FF00000))) | (farther & (x != 1.0))
    beyond |= farther & (hx <= 0x3FEFFFFF)
    made = np.where(over, np.inf, made)
    made = np.where(under, 0.0, made)
    made = np.where(beyond, np.where(grows, np.inf, 0.0), made)
    return np.where((x == 1.0) & np.isfinite(y), 1.0, made)


def _log2(x: Doubles) -> tuple[Doubles, Doubles]:
    small = high_words(x) < 0x00100000
    scaled = np.where(small, x * 2.0**53, x)
    high = high_words(scaled)
    n: Whole64 = np.where(small, -53, 0) + (high >> 20) - 0x3FF
    j = high & 0x000FFFFF
    normal = j | 0x3FF00000
    middle = (j > 0x3988E) & (j < 0xBB67A)
    top = j >= 0xBB67A
    n = np.where(top, n + 1, n)
    normal = np.where(top, normal - 0x00100000, normal)
    ax = with_high(scaled, normal)
    bp = np.where(middle, 1.5, 1.0)
    u, v = ax - bp, 1.0 / (ax + bp)
    ss = u * v
    s_h = _rounded_low(ss)
    k = middle.astype(np.int64)
    t_h = with_high(np.zeros(len(x)), ((normal >> 1) | 0x20000000) + 0x00080000 + (k << 18))
    t_l = ax - (t_h - bp)
    s_l = v * ((u - s_h * t_h) - s_h * t_l)
    s2 = ss * ss
    r = s2 * s2 * polynomial(s2, _L)
    r = r + s_l * (s_h + ss)
    s2 = s_h * s_h
    t_h = _rounded_low(3.0 + s2 + r)
    t_l = r - ((t_h - 3.0) - s2)
    u = s_h * t_h
    v = s_l * t_h + t_l * ss
    p_h = _rounded_low(u + v)
    p_l = v - (p_h - u)
    z_h = _CP_H * p_h
    z_l = _CP_L * p_h + p_l * _CP + np.where(middle, _LOG_L, 0.0)
    t = n.astype(np.float64)
    dp_h = np.where(middle, _LOG_H, 0.0)
    t1 = _rounded_low(((z_h + z_l) + dp_h) + t)
    return t1, z_l - (((t1 - t) - dp_h) - z_h)


def _log2_near_one(x: Doubles) -> tuple[Doubles, Doubles]:
    t = x - 1.0
    w = (t * t) * (0.5 - t * (0.3333333333333333333333 - t * 0.25))
    u = _IVLN2_H * t
    v = t * _IVLN2_L - w * _IVLN2
    t1 = _rounded_low(u + v)
    return t1, v - (t1 - u)


def _exp2(z: Doubles, high: Doubles, low: Doubles, j: Whole64) -> Doubles:
    i = j & 0x7FFFFFFF
    k = (i >> 20) - 0x3FF
    rounds = i > 0x3FE00000
    shift = np.clip(k + 1, 0, 20)
    n = j + (0x00100000 >> shift)
    k = ((n & 0x7FFFFFFF) >> 20) - 0x3FF
    kept = np.clip(k, 0, 20)
    t = with_high(np.zeros(len(z)), n & ~(0x000FFFFF >> kept))
    n = ((n & 0x000FFFFF) | 0x00100000) >> np.clip(20 - k, 0, 62)
    n = np.where(j < 0, -n, n)
    n = np.where(rounds, n, 0)
    high = np.where(rounds, high - t, high)
    t = _rounded_low(low + high)
    u = t * _LG2_H
    v = (low - (t - high)) * _LG2 + t * _LG2_L
    z = u + v
    w = v - (z - u)
    t = z * z
    t1 = z - t * polynomial(t, EXP)
    r = (z * t1) / (t1 - 2.0) - (w + z * w)
    return np.ldexp(1.0 - (r - z), n)
