"""Values between driver and executors: what goes in comes out, or is refused."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from pydantic import Base64Bytes, ValidationError

from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.json_values import from_json, to_json


@dataclass(frozen=True)
class Inner:
    at: tuple[int, int] | None
    names: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Outer:
    inner: tuple[Inner, ...]
    by_size: Mapping[int, float]
    hashes: Base64Bytes
    rule: SliceColumn | None = None
    names: frozenset[str] = frozenset()
    at: dt.datetime | None = None


def test_a_value_comes_back_with_the_types_of_its_fields() -> None:
    value = Outer(
        (Inner((1, 2), {"a": None, "b": "02"}), Inner(None)),
        {256: math.inf, 512: 1.5},
        b"\x00\xff",
        SliceColumn(column="at", unit="day"),
        frozenset(("b", "a")),
        dt.datetime(2026, 11, 21, 12, 0, 0, 1, tzinfo=dt.timezone.utc),
    )
    assert from_json(Outer, to_json(value)) == value
    assert from_json(list[Outer], to_json([value])) == [value]


def test_what_is_no_number_stays_none() -> None:
    found = from_json(Outer, to_json(Outer((), {1: math.nan}, b"")))
    assert math.isnan(found.by_size[1])


def test_json_of_another_type_is_refused() -> None:
    with pytest.raises(ValidationError):
        from_json(Outer, '{"inner": [], "by_size": {"a": 1}, "hashes": ""}')
    with pytest.raises(ValidationError):
        from_json(Inner, "{}")


def test_what_json_does_not_know_does_not_travel() -> None:
    with pytest.raises(TypeError, match="complex does not travel as JSON"):
        to_json({"a": 1j})
