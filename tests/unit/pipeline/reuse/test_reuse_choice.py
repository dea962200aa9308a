"""Whether published rows are looked up, and why."""

from __future__ import annotations

import pytest

from batchinfer.pipeline.reuse.reuse_choice import MOST_ROWS, AnsweredSlice, choose_reuse


def slices(*rows: int) -> list[AnsweredSlice]:
    return [
        AnsweredSlice(f"2026-11-{21 - at}", 5 - at, count, 9 * count)
        for at, count in enumerate(rows)
    ]


M = 1_000_000


@pytest.mark.parametrize(
    ("asked", "published", "rows", "row_s", "chosen", "why"),
    [
        ("never", [M], M, 1.0, 0, "no: the pipeline file says model.reuse: never"),
        ("auto", [], M, 1.0, 0, "no: nothing is published that this model has scored"),
        ("always", [], M, 1.0, 0, "no: nothing is published that this model has scored"),
        (
            "always",
            [60 * M],
            M,
            0.0,
            1,
            "yes, as model.reuse is always: 60,000,000 published rows of slice 2026-11-21",
        ),
        (
            "auto",
            [60 * M],
            M,
            1.0,
            0,
            "no: slice 2026-11-21 has 60,000,000 published rows, and more than 50,000,000 are "
            "looked up only where model.reuse is always",
        ),
        ("auto", [M, 48 * M, 2 * M], M, 1.0, 2, "yes: 49,000,000 published rows of slices 2026-"),
        (
            "auto",
            [1000],
            1000,
            None,
            1,
            "yes: 1,000 published rows of slice 2026-11-21; to look them up costs next to nothing",
        ),
        ("auto", [M], M, None, 1, "yes: 1,000,000 published rows of slice 2026-11-21; no earlier"),
        ("auto", [M], 1000, None, 0, "no: 1,000,000 published rows of slice 2026-11-21; no earl"),
        (
            "auto",
            [M],
            M,
            5e-6,
            1,
            "yes: 1,000,000 published rows of slice 2026-11-21; the model takes up to 5.0 s of the "
            "workers for them, and to look them up costs about 0.6 s",
        ),
        ("auto", [M], M, 5e-7, 0, "no: 1,000,000 published rows of slice 2026-11-21; the model "),
        ("auto", [9 * M], 1000, 5e-6, 0, "no: 9,000,000 published rows of slice 2026-11-21; "),
    ],
)
def test_what_is_looked_up(
    asked: str, published: list[int], rows: int, row_s: float | None, chosen: int, why: str
) -> None:
    choice = choose_reuse(asked, slices(*published), rows, row_s)
    assert choice.slices == tuple(slices(*published)[:chosen])
    assert choice.reason.startswith(why)


def test_what_keeps_all_rows_from_being_reused_comes_first() -> None:
    choice = choose_reuse("always", slices(5), 5, 1.0, why_none="no: --force scores all rows")
    assert (choice.slices, choice.reason) == ((), "no: --force scores all rows")


def test_the_bound_is_one_of_rows() -> None:
    assert choose_reuse("auto", slices(MOST_ROWS), MOST_ROWS, 1.0).slices
    assert not choose_reuse("auto", slices(MOST_ROWS + 1), MOST_ROWS, 1.0).slices
