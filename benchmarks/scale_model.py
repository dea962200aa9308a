"""A model of a run of `score`: how long it takes on so many rows and workers, from few constants,
each with its source.

    make bench-scale-model   # or: python -m benchmarks.scale_model --rows 1e9 1e11 1e13 --hours 8

It first reproduces the runs that were measured (`scale_runs.json`), and predicts nothing where one
of them is off by more than 20%. Three runs calibrate it: the stages of ten million rows, the total
of one million (what does not grow), and the exchange of equal rows; the others are predicted. A run
with `excluded` is shown with its reason and not held to the 20%.

A run is: the search for repeated keys, tasks of workers (list scheduling of the shares that
`inference.splits` makes, with workers that are not equally fast), checks, and what does not grow.
The arithmetic of a run is `scale_run_time`; what breaks first at scale is `scale_limits`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks.revision import commit
from benchmarks.scale_limits import (
    CONSTANTS,
    MIB,
    Limit,
    Load,
    breaks_at,
    limits,
    load_constants,
    load_of,
    money,
    shapes,
    year,
)
from benchmarks.scale_nightly import add_night_options, print_nights
from benchmarks.scale_plot import draw
from benchmarks.scale_run_time import (
    RUNS,
    MeasuredRun,
    NotReproducedError,
    Rates,
    calibrate,
    compare,
    load_runs,
    reproduce,
)


def print_runs(found: Sequence[tuple[MeasuredRun, float, float]]) -> None:
    """The table of measured runs."""
    print(f"{'run':34} {'measured':>9} {'model':>8} {'ratio':>6}", file=sys.stderr)
    for run, model, ratio in found:
        mark = (
            "calibrates" if run.calibrates else f"not held: {run.excluded}" if run.excluded else ""
        )
        print(
            f"{run.name:34} {run.seconds:7.1f} s {model:6.1f} s {ratio:6.2f}  {mark}",
            file=sys.stderr,
        )


def add_options(options: argparse.ArgumentParser) -> None:
    """What the reader may set."""
    options.add_argument("--rows", type=float, nargs="+", default=[1e9, 1e11, 1e13])
    options.add_argument(
        "--hours", type=float, default=8.0, help="in which a run is to be done (8)"
    )
    options.add_argument(
        "--driver-gib",
        type=float,
        default=16.0,
        help="memory that the driver's Python may take (16)",
    )
    options.add_argument(
        "--task-mib",
        type=float,
        default=256.0,
        help="most MiB of a task (256, inference/splits.py)",
    )
    options.add_argument("--constants", type=Path, default=CONSTANTS)
    # c5.2xlarge, 8 cores: 0.34 on demand, about 0.18 spot, the example of AWS's page on weights of
    # spot prices (not dated).
    options.add_argument(
        "--core-hour", type=float, default=0.0425, help="USD of a core's hour on demand"
    )
    options.add_argument(
        "--core-spot", type=float, default=0.0225, help="USD of a core's hour on spot"
    )
    # g4dn.xlarge, us-east-1, as lists of 2025 give it; spot changes by the hour.
    options.add_argument(
        "--gpu-hour",
        type=float,
        default=0.526,
        help="USD of an hour of a machine with a T4 on demand",
    )
    options.add_argument("--gpu-spot", type=float, default=0.16, help="the same on spot")
    options.add_argument("--plot", type=Path, help="writes the picture of docs/scale.md")


def predict(rates: Rates, options: argparse.Namespace) -> dict[str, Any]:
    """Prints the tables of docs/scale.md to stderr; the numbers as JSON."""
    cases = load_constants(options.constants)
    found: list[dict[str, Any]] = []
    reached = {
        shape.name: breaks_at(rates, shape, cases, options) for shape in shapes(rates, options)
    }
    for shape in shapes(rates, options):
        for rows in options.rows:
            load = load_of(rates, shape, rows, options.hours, options.task_mib * MIB)
            held = limits(load, cases, options.hours, options.driver_gib)
            told = {
                "shape": shape.name,
                "rows": rows,
                "workers": load.workers,
                "tasks": load.tasks,
                "files": load.files,
            }
            told |= {"hours": load.seconds / 3600, **money(load), "year": year(load, cases)}
            found.append(
                told | {"limits": {limit.name: [limit.load, limit.allowed] for limit in held}}
            )
            _print_load(load, held, told)
    print("\nrows of a slice at which each limit is reached", file=sys.stderr)
    for name, at in reached.items():
        print(
            f"{name}: " + "; ".join(f"{limit} {rows:.1e}" for limit, rows in at.items()),
            file=sys.stderr,
        )
    if options.plot:
        draw(options.plot, rates, shapes(rates, options), cases, options.hours, options.driver_gib)
    return {"predicted": found, "breaks_at": reached}


def _print_load(load: Load, held: Sequence[Limit], told: Mapping[str, Any]) -> None:
    print(
        f"\n{load.shape.name}, {load.rows:.0e} rows ({load.shape.source}): {load.workers:,} "
        f"workers, {load.tasks:,} tasks, "
        f"{told['hours']:.1f} h, {told['worker_hours']:,.0f} worker hours, "
        f"{told['usd']:,.0f} USD ({told['usd_spot']:,.0f} spot), "
        f"requests {told['requests_usd']:,.2f} USD; a year of it: {told['year']['files']:,.0f} "
        "files, opened in "
        f"{told['year']['open_s']:,.1f} s with {told['year']['open_gib']:.1f} GiB",
        file=sys.stderr,
    )
    for limit in held:
        mark = "breaks" if limit.share > 1 else ""
        print(
            f"  {limit.name:30} {limit.load:12,.3f} of {limit.allowed:8,.2f} {limit.unit:4} "
            f"{limit.share:10.3f} {mark:7} "
            f"{limit.moved_by}",
            file=sys.stderr,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Reproduces what was measured, then predicts; one JSON line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--runs", type=Path, default=RUNS, help="measured runs, as JSON")
    add_options(options)
    add_night_options(options)
    arguments = options.parse_args(argv)
    runs = load_runs(arguments.runs)
    rates = calibrate(runs)
    print_runs(compare(runs, rates))
    try:
        found = reproduce(runs, rates)
    except NotReproducedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    body: dict[str, Any] = {
        "benchmark": "scale_model",
        "reproduced": {run.name: round(ratio, 3) for run, _, ratio in found},
    }
    body |= {"rates": {each.name: getattr(rates, each.name) for each in fields(Rates)}}
    body |= predict(rates, arguments)
    body |= {"nights": print_nights(arguments.night_runs, load_constants(arguments.constants))}
    print(json.dumps(body | {"commit": commit()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
