"""Logarithms and powers to the last bit, where C's is another: as Spark 4.1 gave them."""

from __future__ import annotations

import numpy as np
import pytest

from batchinfer.transforms.expressions.strict_math import (
    strict_exp,
    strict_log,
    strict_log1p,
    strict_log10,
)
from batchinfer.transforms.expressions.strict_power import strict_pow

_OF_SPARK = [
    (strict_exp, 1.0, 2.7182818284590455),
    (strict_exp, -0.0019340296410070136, 0.9980678393892051),
    (strict_exp, 306.2003452296426, 9.574592299070026e132),
    (strict_exp, 19.08948798868471, 195190778.33376217),
    (strict_log, 1.271659944630936, 0.24032309004983324),
    (strict_log, 0.07339946537813599, -2.611838627064815),
    (strict_log, 0.03940254003357362, -3.233924996899013),
    (strict_log10, 5.835151633113398, 0.7660521461686687),
    (strict_log10, 5.7270612779458786e-05, -4.242068170032928),
    (strict_log10, 0.8751738359074156, -0.057905674432586846),
    (strict_log1p, -0.3924865756231533, -0.4983810062719196),
    (strict_log1p, -0.4761585503180119, -0.6465662173895048),
    (strict_log1p, -0.000570336294761383, -0.0005704989983727352),
]


@pytest.mark.parametrize(("function", "x", "wanted"), _OF_SPARK)
def test_the_last_bit_is_that_of_spark(function: object, x: float, wanted: float) -> None:
    assert function(np.array([x, x]))[0] == wanted  # type: ignore[operator]


@pytest.mark.parametrize(
    ("base", "exponent", "wanted"),
    [
        (0.1278296139347225, -0.00018092331053569158, 1.0003722388338587),
        (310.12626998260464, 44.70757468006847, 2.4583632162866245e111),
        (0.3587170076306203, 0.2625672879525387, 0.7639983696388308),
        (5626.38297731113, -0.011063075374259058, 0.9088891744654588),
        (-2.0, 3.0, -8.0),
        (-0.0, -1.0, float("-inf")),
        (0.0, -0.5, float("inf")),
        (float("inf"), -2.0, 0.0),
        (0.5, float("inf"), 0.0),
        (float("nan"), 0.0, 1.0),
        (2.0, -1074.0, 5e-324),
        (2.0, 1024.0, float("inf")),
    ],
)
def test_powers(base: float, exponent: float, wanted: float) -> None:
    with np.errstate(all="ignore"):
        found = strict_pow(np.array([base]), np.array([exponent]))[0]
    assert found == wanted
    assert np.signbit(found) == np.signbit(wanted)


def test_what_has_no_answer_is_nan() -> None:
    with np.errstate(all="ignore"):
        bases, exponents = np.array([-8.0, 1.0, -1.0]), np.array([1 / 3, np.inf, np.nan])
        assert np.isnan(strict_pow(bases, exponents)).all()
        ends = np.array([709.79, -745.2, np.nan])
        assert np.array_equal(strict_exp(ends), [np.inf, 0.0, np.nan], equal_nan=True)
