"""What many small runs a night are for the tables and the registry that all of them share; a part
of `scale_model`.

Every run appends one row, and so one file, to the runs table of its lake, under that table's lock;
nothing joins these files up.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.scale_limits import LATENCY_S, line

# Of a commit on a store: the log's names, the last checkpoint's name, the checkpoint, half of nine
# commits behind it, a look at the staged file, the commit itself. Counted by Delta's protocol, not
# measured.
COMMIT_REQUESTS = 9.5
# Runs of a bundle that a run reads (`_NEWEST` in pipeline/scoring/earlier_runs.py).
EARLIER_RUNS = 64


@dataclass(frozen=True)
class Night:
    """One night after a year of such nights.

    Attributes:
        files: of the runs table.
        append_s: of one run's row, on a local disk; they wait for each other.
        earlier_s: what a run reads of earlier ones.
        appends_h, store_h: of all rows of a night, one after another, on a local disk and at least
            on a store.
        resolve_s: of the registry, SQLite, for all runs of a night.
    """

    runs: float
    files: float
    append_s: float
    earlier_s: float
    appends_h: float
    store_h: float
    resolve_s: float


def night_of(
    runs: float,
    cases: Mapping[str, Sequence[Mapping[str, Any]]],
    nights: int = 365,
    joined: int = 1,
) -> Night:
    """A night of so many runs.

    Args:
        joined: runs that stand in one file: more than 1 if files were joined up.
    """
    files = runs * nights / joined
    opening = line(cases["open_log"], "open_s").at(files)
    append_s = cases["earlier_runs"][0]["append_s"] + opening
    reading = cases["earlier_runs"][0]["seconds"] / cases["earlier_runs"][0]["runs"] * EARLIER_RUNS
    earlier_s = line(cases["open_log"]).at(files) + reading
    store_h = runs * max(append_s, COMMIT_REQUESTS * LATENCY_S) / 3600
    resolve_s = runs * max(case["seconds"] for case in cases["resolve_model"])
    return Night(runs, files, append_s, earlier_s, runs * append_s / 3600, store_h, resolve_s)


def add_night_options(options: argparse.ArgumentParser) -> None:
    """What the reader may set."""
    options.add_argument("--night-runs", type=float, nargs="+", default=[1e2, 1e3, 1e4])


def print_nights(
    runs: Sequence[float], cases: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """A line for each size, as it is and with a thousand runs a file."""
    print(
        "\nruns a night, after a year          files  a row's append  earlier runs   all appends  "
        "on a store  registry",
        file=sys.stderr,
    )
    found: list[dict[str, Any]] = []
    for count in runs:
        for joined in (1, 1000):
            night = night_of(count, cases, joined=joined)
            found.append(vars(night) | {"joined": joined})
            said = "" if joined == 1 else f", {joined:,} a file"
            print(
                f"{count:12,.0f}{said:14} {night.files:14,.0f} {night.append_s:13.2f} s "
                f"{night.earlier_s:11.2f} s "
                f"{night.appends_h:11.3f} h {night.store_h:9.3f} h {night.resolve_s:7.1f} s",
                file=sys.stderr,
            )
    return found
