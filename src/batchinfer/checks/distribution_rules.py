"""What the two expectations about distributions must be told: quantiles with their ranges, and the
distribution that a column is held against.

Owns what is wrong with these arguments, and how that is worded.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard, cast

_QUANTILES = (
    "quantile_ranges: allowed: {quantiles: [0.25, 0.5], value_ranges: [[1, 2], [3, null]]}, as "
    "many ranges as quantiles"
)
_REFERENCE = (
    "partition_object: allowed: {values: [a, b], weights: [0.4, 0.6]} or {bins: [0, 1, 2], "
    "weights: [0.4, 0.6]}"
)


def quantile_problems(ranges: Any) -> Iterator[str]:
    """What is wrong with `quantile_ranges`; nothing where it is not given."""
    if ranges is None:
        return
    shape = _mapping(ranges, {"quantiles", "value_ranges"})
    quantiles = _list(shape.get("quantiles"))
    spans = _list(shape.get("value_ranges"))
    if not quantiles or len(quantiles) != len(spans):
        yield _QUANTILES
        return
    if not all(is_finite(one) and 0 <= one <= 1 for one in quantiles) or _falls(quantiles):
        yield f"quantile_ranges: got quantiles {quantiles}; allowed: shares from 0 to 1, rising"
    for span in spans:
        ends = _list(span)
        if len(ends) != 2 or not all(end is None or is_finite(end) for end in ends):
            yield f"quantile_ranges: got range {span!r}; allowed: two numbers, or one and null"
        elif ends == [None, None]:
            yield "quantile_ranges: got range [null, null], which could not fail; allowed: a number"
        elif None not in ends and ends[0] > ends[1]:
            yield f"quantile_ranges: got range {span!r}; allowed: the lower number first"


def reference_problems(given: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the distribution that a divergence is measured from; nothing where it is
    not given.
    """
    reference = given.get("partition_object")
    if reference is None:
        return
    binned = "bins" in reference if isinstance(reference, Mapping) else False
    names = {"bins", "weights", "tail_weights"} if binned else {"values", "weights"}
    shape = _mapping(reference, names)
    weights, tails = _list(shape.get("weights")), _list(shape.get("tail_weights"))
    if not weights or not all(is_finite(one) and one >= 0 for one in [*weights, *tails]):
        yield f"{_REFERENCE}; weights are numbers from 0 on"
        return
    if not math.isclose(sum([*weights, *tails]), 1, abs_tol=1e-6):
        yield f"partition_object: weights add up to {sum([*weights, *tails]):.6g}; allowed: 1"
    threshold = given.get("threshold")
    if is_finite(threshold) and threshold < 0:
        yield f"threshold: got {threshold}; allowed: a number from 0 on"
    yield from _binned(shape, given) if binned else _listed(shape, given)


def _listed(shape: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    values = _list(shape.get("values"))
    if len(values) != len(shape["weights"]) or len(set(map(str, values))) != len(values):
        yield f"{_REFERENCE}; as many values as weights, each once"
    if given.get("internal_weight_holdout"):
        yield "internal_weight_holdout is for bins; allowed with values: tail_weight_holdout"


def _binned(shape: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    bins = _list(shape.get("bins"))
    numbers = all(isinstance(edge, int | float) and edge == edge for edge in bins)
    if len(bins) != len(shape["weights"]) + 1 or not numbers or _falls(bins):
        yield f"{_REFERENCE}; one edge more than weights, rising"
        return
    if given.get("bucketize_data") is False:
        yield "bucketize_data: got false; allowed with bins: true"
    tails, held_out = shape.get("tail_weights"), given.get("tail_weight_holdout")
    endless = [math.isinf(bins[0]), math.isinf(bins[-1])]
    if tails is not None and (held_out or any(endless) or len(_list(tails)) != 2):
        yield (
            "tail_weights: allowed: two numbers, where both outer edges are finite and no "
            "tail_weight_holdout is given"
        )
    elif held_out and all(endless):
        yield "tail_weight_holdout: no value lies outside of infinite edges"


def _mapping(value: Any, names: set[str]) -> dict[str, Any]:
    """The value, if it is a mapping of these names alone; else an empty one."""
    if not isinstance(value, Mapping):
        return {}
    found = cast("Mapping[str, Any]", value)
    return dict(found) if set(found) <= names else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def is_finite(value: Any) -> TypeGuard[int | float]:
    """True for a number that a double has, be it rounded."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 2**1023
    return isinstance(value, float) and math.isfinite(value)


def _falls(values: list[Any]) -> bool:
    return any(one >= other for one, other in itertools.pairwise(values))
