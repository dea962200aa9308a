"""The model of a run: arithmetic that was worked out by hand, and no prediction where measured runs
are not reproduced.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchinfer.contracts import DataFile
from batchinfer.inference.splits import plan_splits
from benchmarks import scale_limits, scale_model, scale_run_time
from benchmarks.scale_limits import Load, Shape, line, load_of, shapes, workers_for
from benchmarks.scale_nightly import night_of
from benchmarks.scale_run_time import (
    NotReproducedError,
    calibrate,
    inference_seconds,
    load_runs,
    makespan,
    run_seconds,
    task_shares,
)

RATES = calibrate(load_runs())


def options(*given: str) -> Namespace:
    parser = ArgumentParser()
    scale_model.add_options(parser)
    return parser.parse_args(given)


@pytest.mark.parametrize(
    ("seconds", "workers", "paces", "gap", "ends"),
    [
        ([4, 3, 2, 1], 2, None, 0, 5),  # 4 then 1; 3 then 2
        ([4, 3, 2, 1], 1, None, 0, 10),
        ([4, 3, 2, 1], 4, None, 0, 4),
        ([4, 3, 2, 1], 2, None, 1, 6),  # begun at 0, 1, 4, 5
        (
            [4, 3, 2, 1],
            2,
            [1, 2],
            0,
            7,
        ),  # the slow one takes 6 for its 3; the fast one 4, 2 and, first at 6, 1
        ([1] * 5, 2, None, 0, 3),  # three waves
        ([1] * 4, 4, None, 10, 31),  # the scheduler is what all wait for
        ([], 3, None, 0, 0),
    ],
)
def test_waves_by_hand(
    seconds: list[float], workers: int, paces: list[float] | None, gap: float, ends: float
) -> None:
    assert makespan(seconds, workers, paces, gap) == ends


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("mib", [1, 300, 2_620, 5_000])
def test_tasks_are_those_that_the_engine_makes(workers: int, mib: int) -> None:
    files = [DataFile(f"{number}", 2**18, 1000) for number in range(4 * mib)]
    made = plan_splits(files, workers)
    told = task_shares(mib * 2**20, workers)
    assert len(made) == sum(count for count, _ in told)
    assert sum(count * share for count, share in told) == pytest.approx(1)
    sizes = sorted((task.bytes for task in made), reverse=True)
    expected = [share * mib * 2**20 for count, share in told for _ in range(count)]
    assert all(
        abs(size - wanted) <= 2 * 2**18 for size, wanted in zip(sizes, expected, strict=True)
    )


def test_more_rows_take_longer_and_more_workers_less() -> None:
    run = next(run for run in load_runs() if run.name == "scale, 5 million")
    by_rows = [
        run_seconds(RATES, replace(run, rows=rows)) for rows in (10**6, 10**7, 10**8, 10**9, 10**10)
    ]
    assert by_rows == sorted(by_rows) and by_rows[-1] > 9 * by_rows[-2]
    by_workers = [
        run_seconds(RATES, replace(run, rows=10**9, workers=workers))
        for workers in (1, 2, 4, 16, 256)
    ]
    assert by_workers == sorted(by_workers, reverse=True)
    assert run_seconds(RATES, replace(run, hidden=900)) > 4 * run_seconds(RATES, run)


def test_checks_take_longer_above_the_measured_rows_and_share_the_cores() -> None:
    rates = replace(RATES, checks=1.2)
    assert (
        scale_run_time.check_seconds(rates, 10**6, 2)
        == scale_run_time.check_seconds(rates, 10**7, 2)
        == 1.2
    )
    assert scale_run_time.check_seconds(rates, 10**9, 2) == pytest.approx(120)
    assert scale_run_time.check_seconds(rates, 10**9, 100) == pytest.approx(2.4)


def test_many_waves_come_to_what_is_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = [(1_980, 1 / 2_000), (40, 0.5 / 2_000)]
    told = inference_seconds(20_000.0, shares, 20, 0.14)
    monkeypatch.setattr(scale_run_time, "_SIMULATED", 10**6)
    assert told == pytest.approx(inference_seconds(20_000.0, shares, 20, 0.14), rel=0.02)
    # Tasks that take no time wait for the scheduler.
    assert inference_seconds(
        0.0, [(3_000, 1 / 3_000)], 10_000, 0.0, gap_s=1.0, task_s=0.0
    ) == pytest.approx(3_000, rel=0.01)


def test_measured_runs_are_reproduced_and_most_of_them_predicted() -> None:
    found = scale_run_time.reproduce(load_runs(), RATES)
    assert sum(not run.calibrates and not run.excluded for run, _, _ in found) >= 7
    assert all(run.excluded or abs(ratio - 1) <= 0.20 for run, _, ratio in found)
    assert max(abs(ratio - 1) for run, _, ratio in found if run.excluded) > 0.20


def changed_runs(folder: Path, name: str, **changed: Any) -> Path:
    told = json.loads(scale_run_time.RUNS.read_text())
    chosen = next(run for run in told if run["name"] == name)
    chosen.update(changed)
    path = folder / "runs.json"
    path.write_text(json.dumps(told))
    return path


def test_nothing_is_predicted_where_a_run_is_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed_runs(tmp_path, "scale, 20 million", seconds=40.0)
    with pytest.raises(
        NotReproducedError, match=r"scale, 20 million \(1\.\d\d\); nothing is predicted"
    ):
        scale_run_time.reproduce(load_runs(path), calibrate(load_runs(path)))
    assert scale_model.main(["--runs", str(path)]) == 1
    told = capsys.readouterr()
    assert told.out == "" and "scale, 20 million" in told.err and "worker hours" not in told.err
    # An excluded run is shown, and holds nothing up.
    path = changed_runs(tmp_path, "scale, 20 million", seconds=40.0, excluded="the machine slept")
    assert scale_model.main(["--runs", str(path), "--rows", "1e9"]) == 0
    told = capsys.readouterr()
    assert (
        "not held: the machine slept" in told.err
        and json.loads(told.out)["predicted"][0]["rows"] == 1e9
    )


def test_a_run_with_an_unknown_or_a_missing_field_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run 0: unknown fields \['minutes'\], missing \[\]"):
        load_runs(changed_runs(tmp_path, "tabular, product", minutes=1))
    path = tmp_path / "runs.json"
    path.write_text('[{"name": "a", "kind": "product"}]')
    with pytest.raises(
        ValueError, match=r"missing \['command', 'commit', 'date', 'rows', 'seconds', 'workers'\]"
    ):
        load_runs(path)


def test_costs_lie_on_a_line_through_both_ends() -> None:
    cost = line(
        [{"size": 10, "mib": 5.0}, {"size": 50, "mib": 99.0}, {"size": 110, "mib": 25.0}], "mib"
    )
    assert (cost.base, cost.each, cost.at(60)) == (
        pytest.approx(3),
        pytest.approx(0.2),
        pytest.approx(15),
    )
    assert line([{"size": 1, "mib": 0.0}, {"size": 2, "mib": 9.0}], "mib").at(0) == 0


def test_a_worker_is_as_fast_as_the_slower_of_gpu_and_cores() -> None:
    gpu = Shape("g", 1.0, cpu_s=0.01, gpu_rows_s=500.0, cores=4, hour=1.0, spot=0.5, source="s")
    assert gpu.row_s == 0.01 / 4 and replace(gpu, cores=8).row_s == 1 / 500
    assert replace(gpu, gpu_rows_s=0.0).row_s == 0.01 / 4
    assert workers_for(gpu, rows=14_400_000, hours=1.0) == 10
    load = Load(gpu, 1e6, 1, 1, 1, 1, 1.0, worker_hours=10.0, gets=1e6, puts=1e6)
    assert scale_limits.money(load) == {
        "worker_hours": 10.0,
        "usd": 10.0,
        "usd_spot": 5.0,
        "requests_usd": pytest.approx(5.4),
    }


def test_limits_by_hand_the_worst_first() -> None:
    def case(**each: float) -> list[dict[str, Any]]:
        return [
            {"size": size, **{name: value * size for name, value in each.items()}}
            for size in (1, 2)
        ]

    cases = {
        "take_results": case(seconds=0.01, json_bytes=2**20, mib=0.01),
        "make_tasks": case(seconds=0.02, json_bytes=2**10, mib=0.02),
        "report_tasks": case(seconds=0.03),
        "key_blocks": case(json_bytes=100, mib=0.001),
        "commit_adds": case(log_bytes=500, mib=0.03),
        "plan_large_files": case(seconds=0.0),
        "plan_small_files": case(seconds=0.0),
        "open_log": case(seconds=1e-6, mib=0.001, checkpoint_bytes=200),
        "commit_slice": case(with_checkpoint_s=0.001),
    }
    shape = Shape(
        "s", row_bytes=100.0, cpu_s=1e-6, gpu_rows_s=0.0, cores=1, hour=1.0, spot=1.0, source="s"
    )
    load = Load(
        shape,
        rows=65_536_000,
        workers=4,
        tasks=2048,
        files=4096,
        blocks=1000,
        seconds=1.0,
        worker_hours=1.0,
        gets=7200,
        puts=3600,
    )
    found = scale_limits.limits(load, cases, hours=1.0, driver_gib=1.0)
    told = {limit.name: limit for limit in found}
    assert [limit.share for limit in found] == sorted(
        (limit.share for limit in found), reverse=True
    )
    assert (
        found[0].name == "task results to the driver"
        and told[found[0].name].load == 4.0
        and found[0].share == 4.0
    )
    assert told["key blocks to the driver"].load == pytest.approx(100_000 / 2**30)
    assert told["memory of the driver's Python"].load == pytest.approx(
        (500 + 2048 * 0.02 + 4096 * 0.04) / 1024
    )
    assert told["driver's work on tasks"].load == pytest.approx(2048 * 0.06 / 3600)
    assert told["looking at staged files"].load == pytest.approx(4096 * 0.1 / 32 / 3600)
    assert told["reads of one prefix"].load == 2.0 and told["writes of one prefix"].load == 1.0
    assert told["starting tasks"].load == pytest.approx(4096 / 1500 / 3600)
    assert told["memory of a year's log"].load == pytest.approx(4096 * 365 / 1024 / 1000)


def test_larger_tasks_are_fewer_and_the_work_stays() -> None:
    table = shapes(RATES, options())[0]
    small, large = (load_of(RATES, table, 1e11, 8.0, mib * 2**20) for mib in (256, 1024))
    assert (
        large.tasks == pytest.approx(small.tasks / 4, rel=0.01)
        and large.worker_hours == small.worker_hours
    )
    assert large.files == pytest.approx(3 * small.files / 4, rel=0.02), (
        "files of two million rows: three for each of four million"
    )


def test_at_the_rows_where_a_limit_is_reached_it_is_just_passed() -> None:
    given, cases = options(), scale_limits.load_constants()
    table = shapes(RATES, given)[0]
    reached = scale_limits.breaks_at(RATES, table, cases, given)
    assert list(reached.values()) == sorted(reached.values())
    for name, rows in reached.items():
        share = {}
        for times in (0.97, 1.0):
            found = scale_limits.limits(
                load_of(RATES, table, rows * times, given.hours),
                cases,
                given.hours,
                given.driver_gib,
            )
            share[times] = next(limit.share for limit in found if limit.name == name)
        assert share[0.97] < 1 < share[1.0], name


def test_a_night_by_hand() -> None:
    cases = {
        "open_log": [
            {"size": size, "open_s": 1e-6 * size, "seconds": 3e-6 * size} for size in (1, 2)
        ],
        "earlier_runs": [{"size": 50, "append_s": 0.5, "seconds": 1.0, "runs": 50}],
        "resolve_model": [{"size": 1, "seconds": 0.25}, {"size": 20, "seconds": 0.5}],
    }
    night = night_of(3600, cases, nights=100)
    assert night.files == 360_000 and night.append_s == pytest.approx(0.5 + 0.36)
    assert night.earlier_s == pytest.approx(1.08 + 1.28)
    assert (
        night.appends_h == pytest.approx(0.86)
        and night.store_h == pytest.approx(0.95)
        and night.resolve_s == 1800
    )
    assert night_of(3600, cases, nights=100, joined=1000).append_s == pytest.approx(0.50036)


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    scale_model.predict(
        RATES, options("--rows", "1e9", "--plot", str(tmp_path / "images/scale.png"))
    )
    assert (tmp_path / "images/scale.png").read_bytes()[:4] == b"\x89PNG"
