"""What the tests of the engine share: rows that come out, rows that fail, and a plain loop."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import strategies as st

from batchinfer.inference.engine import Scored

XS = st.lists(st.integers(0, 20), max_size=60)
SIZES = st.lists(st.integers(0, 25), max_size=6)


def scores_of(results: list[Scored]) -> list[tuple[int, float, str]]:
    """(source_line, score, label) of all scored rows, in order."""
    rows = []
    for scored in results:
        columns = [
            scored.rows.column("source_line"),
            scored.predictions["score"],
            scored.predictions["label"],
        ]
        assert len({len(column) for column in [*columns, scored.fingerprints]}) == 1
        rows += zip(*(column.to_pylist() for column in columns), strict=True)
    return rows


def plain_loop(xs: list[int], but: Collection[int] = ()) -> list[tuple[int, float, str]]:
    return [
        (line, 2.0 * x + 1, ("even", "odd")[x % 2]) for line, x in enumerate(xs, 1) if x not in but
    ]


def failed_lines(results: list[Scored]) -> list[int | None]:
    return [record.source_line for scored in results for record in scored.failed]
