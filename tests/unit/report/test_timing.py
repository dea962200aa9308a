"""Where the time went: bars that add up, and a sentence that follows from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.report.figures import HEIGHT, WIDTH, draw_histogram
from batchinfer.report.safe_text import counted, duration, showable
from batchinfer.report.timing import WORKER_STAGES, device_use, explain_time

STAGES = st.dictionaries(
    st.sampled_from([*WORKER_STAGES, "inference", "checks", "commit", "new"]),
    st.floats(0, 1e5),
    max_size=10,
)


@given(STAGES, st.floats(0, 1e6))
def test_each_bar_is_full_and_no_stage_is_in_both(stages: dict[str, float], seconds: float) -> None:
    timing = explain_time(stages, seconds)
    for bar in (timing.wall, timing.workers):
        if bar:
            assert bar[0].start == 0
            assert sum(segment.share for segment in bar) == pytest.approx(1)
            assert bar[-1].start + bar[-1].share == pytest.approx(1)
    names = [segment.name for segment in (*timing.wall, *timing.workers)]
    assert len(names) == len(set(names))
    assert set(names) - {"other"} == {name for name, value in stages.items() if value > 0}
    assert timing.sentence.endswith(".")


def test_workers_seconds_are_not_wall_time() -> None:
    timing = explain_time({"read": 3.0, "forward": 9.0, "inference": 6.5, "checks": 1.0}, 10.0)
    assert [(segment.name, segment.seconds) for segment in timing.wall] == [
        ("inference", 6.5),
        ("checks", 1.0),
        ("other", 2.5),
    ]
    assert [segment.name for segment in timing.workers] == ["read", "forward"]


@pytest.mark.parametrize(
    ("stages", "seconds", "words"),
    [
        (
            {"read": 1.0, "forward": 9.0, "inference": 8.0},
            10.0,
            ["bound by the model itself", "8.00 s (80% of the wall time)", "forward took 90%"],
        ),
        (
            {"read": 3.0, "encode": 3.0, "forward": 3.0, "inference": 9.0},
            10.0,
            ["no single stage stands out"],
        ),
        (
            {"forward": 4.0, "inference": 4.5, "checks": 3.5},
            10.0,
            ["Inference is the longest part", "45%"],
        ),
        (
            {"forward": 1.0, "inference": 1.0},
            10.0,
            ["what surrounds the work", "other took 9.00 s (90%"],
        ),
        ({"inference": 1.0, "checks": 9.0}, 10.0, ["the checks of the data"]),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, 3.0, ["No single stage bounds this run"]),
        (
            {"read": 1.0, "forward": 3.0, "idle": 6.0, "inference": 5.0},
            6.0,
            [
                "workers without work: too few tasks",
                "idle left the workers without work for 60% of their time",
            ],
        ),
        ({"read": 2.0, "write": 1.0}, 0.0, ["reading the input files"]),
        ({}, 0.0, ["No stage was timed."]),
    ],
)
def test_the_sentence_names_what_bounds_the_run(
    stages: dict[str, float], seconds: float, words: list[str]
) -> None:
    sentence = explain_time(stages, seconds).sentence
    assert all(word in sentence for word in words), sentence


def test_uneven_tasks_are_told() -> None:
    stages = {"forward": 9.0, "inference": 8.0}
    uneven = [{"seconds": 1.0}, {"seconds": 1.2}, {"seconds": 8.0}]
    assert (
        "the slowest took 8.00 s, the middle one 1.20 s"
        in explain_time(stages, 9.0, uneven).sentence
    )
    assert "uneven" not in explain_time(stages, 9.0, [{"seconds": 4.0}] * 3).sentence


@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=40),
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
)
def test_every_bar_of_a_histogram_is_inside_the_drawing(
    counts: list[int], low: float, step: float
) -> None:
    edges = [low + step * position for position in range(len(counts) + 1)]
    drawn = draw_histogram({"column": "score", "edges": edges, "counts": counts})
    if not any(counts):
        assert drawn is None
        return
    assert drawn is not None and drawn.rows == sum(counts)
    assert len(drawn.bars) == sum(count > 0 for count in counts)
    for bar in drawn.bars:
        assert bar.width > 0 and bar.height >= 1
        assert (
            bar.x >= 0
            and bar.x + bar.width <= WIDTH
            and bar.y >= 0
            and bar.y + bar.height <= HEIGHT
        )


def test_no_histogram_is_drawn_of_nothing() -> None:
    assert draw_histogram(None) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (9.994, "9.99 s"),
        (9.996, "10.0 s"),
        (99.96, "1 min 40 s"),
        (302, "5 min 2 s"),
        (7500, "2 h 5 min"),
        (3599, "1 h 0 min"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counts_and_text() -> None:
    assert (counted(1, "row"), counted(12345, "row")) == ("1 row", "12,345 rows")
    assert showable("a\x1b[31m\r\nb\tc\ud800\u202e") == "a\ufffd[31m\nb\tc\ufffd\ufffd"


def task_on(device: str, seconds: float, *used: float) -> dict[str, object]:
    return {
        "seconds": seconds,
        "use": {"device": device, **dict(zip(("computing", "input", "output"), used, strict=True))},
    }


def test_what_devices_did_is_added_up_over_tasks() -> None:
    tasks = [
        task_on("A", 10, 6, 1, 2),
        task_on("A", 30, 10, 9, 1),
        task_on("cpu, 1 thread", 5, 1, 1, 0),
        {"seconds": 7},
    ]
    assert device_use(tasks) == {
        "A": {"computing": 0.4, "input": 0.25, "output": 0.075},
        "cpu, 1 thread": {"computing": 0.2, "input": 0.2, "output": 0.0},
    }
    sentence = explain_time({"inference": 8, "forward": 10}, 10, tasks).sentence
    assert " A computed 40% of the tasks' time, waited 25% for rows and 8% for output." in sentence
    assert "cpu" not in sentence, "the stages say it"
