"""Of rows that land again on later days one a key is learned from, the newest; where each day
brings new rows only, all are.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from learned_from import learned
from spark.projects import SmallProject

from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.pipeline.training.newest_rows import _older, find_superseded
from batchinfer.report.model_card import ModelFacts, write_card
from batchinfer.show import show_train

DAYS = ("2026-11-21", "2026-11-22", "2026-11-23")


def numbered(rows: dict[int, float]) -> str:
    return "id,color,size,big\n" + "".join(
        f"{id_},red,{size},{'yes' if id_ % 2 else 'no'}\n" for id_, size in rows.items()
    )


@pytest.fixture
def keyed(local: SmallProject) -> SmallProject:
    """Keys are not checked: that takes Spark."""
    local.edit("  slice: ingest_date\n", "  key: id\n  unique: assumed\n  slice: ingest_date\n")
    return local


def land(project: SmallProject, days: list[dict[int, float]]) -> dict[int, float]:
    """Lands a file a day; what a row of each key is at last."""
    newest: dict[int, float] = {}
    for day, rows in zip(DAYS, days, strict=False):
        project.write("in/a.csv", numbered(rows))
        project.extract(day)
        newest |= rows
    return newest


@pytest.mark.parametrize("seed", range(6))
def test_one_row_a_key_is_learned_from_and_it_is_the_newest(keyed: SmallProject, seed: int) -> None:
    random = np.random.default_rng(seed)
    days = [
        {
            int(id_): float(random.integers(0, 100))
            for id_ in random.choice(30, random.integers(0, 25), replace=False)
        }
        for _ in DAYS
    ]
    newest = land(keyed, days)
    with learned(keyed) as (data, found, rows):
        assert {row["id"]: row["size"] for row in rows} == newest
        assert len(rows) == data.rows == len(newest)
        assert found is not None and found.rows == sum(map(len, days)) - len(newest)
    assert not list((keyed.root / "var").rglob("*.npy")), "what was written for it is gone"


def test_rows_that_come_once_are_all_learned_from_where_they_lie(keyed: SmallProject) -> None:
    land(keyed, [dict.fromkeys(range(start, start + 10), 1.0) for start in (0, 10, 20)])
    with learned(keyed) as (data, found, rows):
        assert found is not None and found.rows == 0 and len(rows) == 30
        assert all(file.path.startswith("slice=") for file in data.files), "no file was copied"


def test_slices_that_came_again_whole_are_not_read_and_nothing_is_copied(
    keyed: SmallProject,
) -> None:
    rows = {n: float(n) for n in range(20)}
    land(keyed, [rows, rows, rows])
    with learned(keyed) as (data, found, read):
        assert found is not None and found.rows == 40 and len(read) == 20
        assert {file.path.split("/")[0] for file in data.files} == {f"slice={DAYS[2]}"}


def test_without_a_key_of_its_own_a_row_is_known_by_file_and_line(local: SmallProject) -> None:
    land(local, [dict.fromkeys(range(10), 1.0), dict.fromkeys(range(100, 104), 2.0)])
    with learned(local) as (_, found, rows):
        assert found is not None and found.rows == 4
        assert Counter((row["size"], row["id"] >= 100) for row in rows) == {
            (1.0, False): 6,
            (2.0, True): 4,
        }


def test_copies_inside_one_slice_are_the_business_of_the_key_check(keyed: SmallProject) -> None:
    land(keyed, [{1: 1.0}, {2: 2.0}])
    keyed.write("in/a.csv", numbered({1: 3.0}) + "1,red,4.0,yes\n")
    keyed.extract(DAYS[2])
    with learned(keyed) as (_, found, rows):
        assert found is not None and found.rows == 1
        assert sorted((row["id"], row["size"]) for row in rows) == [(1, 3.0), (1, 4.0), (2, 2.0)]


def test_slices_of_a_column_and_one_day_have_no_copies(keyed: SmallProject) -> None:
    land(keyed, [{1: 1.0}])
    with learned(keyed) as (_, found, rows):
        assert found is None and len(rows) == 1
    keyed.edit("slice: ingest_date", "slice: color")
    columns = TableColumns(keyed.context())
    data = SliceData("somewhere", (), [], 0, 0, 0)
    assert find_superseded(columns, data, {}, keyed.open_session) is None


def test_hashes_are_compared_whole_and_the_youngest_of_each_remains() -> None:
    random = np.random.default_rng(5)
    for _ in range(50):
        hashes = random.integers(0, 3, (40, 2)).astype(np.uint64)
        ages = random.integers(0, 4, 40)
        youngest: dict[tuple[int, ...], int] = {}
        for words, age in zip(hashes.tolist(), ages.tolist(), strict=True):
            youngest[tuple(words)] = min(youngest.get(tuple(words), 9), age)
        expected = [
            age > youngest[tuple(words)]
            for words, age in zip(hashes.tolist(), ages.tolist(), strict=True)
        ]
        assert _older(hashes, ages).tolist() == expected


def test_the_report_the_terminal_and_the_card_say_how_many_were_left_out(
    keyed: SmallProject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {n: float(n) for n in range(60)}
    land(keyed, [rows, rows])
    cards: list[str] = []

    def keep(facts: ModelFacts, folder: Path) -> str:
        cards.append(write_card(facts, folder))
        return cards[0]

    monkeypatch.setattr("batchinfer.report.model_card.write_card", keep)
    keyed.edit("seed: 1}", "seed: 1, validation_share: 0.3}")
    report = keyed.train()
    assert report.rows_superseded == 60
    assert report.rows_train + report.rows_validation + report.rows_without_label == 60
    assert "60 older copies left out" in cards[0]
    show_train(report)
    assert "60 older copies of rows: a newer slice has their keys" in capsys.readouterr().err
