"""Geometry of the report's histogram. Owns bins, axes and labels; the template draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 720.0, 200.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 12.0, 12.0, 28.0


@dataclass(frozen=True)
class Bar:
    """One bin: place and size in the drawing's units, and its words."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its place along the axis, and its words."""

    at: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """Everything the template needs to draw a distribution."""

    column: str
    bars: tuple[Bar, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    left: float
    right: float
    floor: float
    rows: int


def draw_histogram(histogram: Mapping[str, Any] | None) -> Histogram | None:
    """Places the bars of `{column, edges: n + 1 floats, counts: n ints}`; None where there is
    nothing to draw.
    """
    if not histogram or not any(histogram["counts"]):
        return None
    edges, counts = (
        [float(edge) for edge in histogram["edges"]],
        [int(count) for count in histogram["counts"]],
    )
    low, high, top = edges[0], edges[-1], _round_up(max(counts))
    right, floor = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def x(value: float) -> float:
        return round(_LEFT + (value - low) / (high - low) * (right - _LEFT), 2)

    def y(count: float) -> float:
        return round(floor - count / top * (floor - _TOP), 2)

    bars = []
    for start, end, count in zip(edges[:-1], edges[1:], counts, strict=True):
        if count:
            # At least a hairline: a bin with one row of a million is not an empty bin.
            above = min(y(count), floor - 1)
            title = f"{start:g} to {end:g}: {count:,} rows ({count / sum(counts):.2%})"
            bars.append(
                Bar(
                    x(start) + 0.75,
                    above,
                    max(x(end) - x(start) - 1.5, 0.5),
                    round(floor - above, 2),
                    title,
                )
            )
    across = tuple(
        Tick(x(low + (high - low) * step / 4), _number(low + (high - low) * step / 4))
        for step in range(5)
    )
    up = tuple(Tick(y(top * step / 2), _count(top * step / 2)) for step in range(3))
    return Histogram(
        str(histogram["column"]), tuple(bars), across, up, _LEFT, right, floor, sum(counts)
    )


def _round_up(count: int) -> float:
    """The next number that reads well as the top of an axis; at least 2, so that half of it is
    whole.
    """
    scale = 10 ** math.floor(math.log10(count))
    return float(
        max(2, next(step * scale for step in (1, 2, 3, 4, 6, 8, 10) if step * scale >= count))
    )


def _number(value: float) -> str:
    return f"{value:.4g}"


def _count(value: float) -> str:
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"
