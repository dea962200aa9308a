"""Writes docs/expectations.md: what every expectation of the installed Great Expectations says of
rows that hold, rows that do not, nulls and NaN.

    make expectations

Each line was run as `score` runs a suite. `tests/spark/test_every_expectation.py` holds the results
to what is expected.
"""

from __future__ import annotations

import logging
import re
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import yaml
from spark.expectation_cases import CASES, ROWS, Case, frame_of

from batchinfer.checks.expectations import run_suite
from batchinfer.checks.known_expectations import expectation_names, refused_because
from batchinfer.checks.pandas_verdicts import JUDGED_BY_PANDAS, KIND_WORDS
from batchinfer.checks.suites import load_suite
from batchinfer.config.environment import SparkSettings
from batchinfer.spark.session import open_session

_NUMBERS = {"whole", "large", "real", "infinite"}
FRAME = Path(__file__).parent / "expectations_page.md"
PAGE = Path(__file__).parents[2] / "docs" / "expectations.md"


def main() -> int:
    """Writes the page."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    # The defaults are for many rows: 200 tasks for ten of them, and code compiled for each query.
    conf = {"spark.sql.shuffle.partitions": 2, "spark.sql.codegen.wholeStage": False}
    session = open_session(SparkSettings(master="local[2]", conf=conf), "expectations")
    answers: list[list[str]] = [[] for _ in CASES]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "suite.yaml"
        path.write_text(yaml.safe_dump([{f"expect_{case.name}": case.arguments} for case in CASES]))
        suite = load_suite(path)
        for kind in ROWS:
            print(kind, file=sys.stderr)
            report = run_suite(frame_of(session, kind), suite, kind)
            for column, result in zip(answers, report.results, strict=True):
                column.append("holds" if result["success"] else "**fails**")
    session.stop()
    lines = [f"| expectation | arguments | {' | '.join(ROWS)} | |", "|---|---|" + "---|" * 7]
    lines += [line(case, told) for case, told in zip(CASES, answers, strict=True)]
    refused = [f"| `{name}` | {refused_because(name)} |" for name in sorted(expectation_names())]
    text = FRAME.read_text(encoding="utf-8").replace("PANDAS", "\n".join(engine_lines()))
    text = text.replace("VERSION", version("great_expectations")).replace("TABLE", "\n".join(lines))
    kept = [each for each in refused if not each.endswith("| None |")]
    PAGE.write_text(text.replace("REFUSED", "\n".join(kept)), encoding="utf-8")
    return 0


def engine_lines() -> list[str]:
    """The table of what pandas may judge."""
    lines = ["| expectation | columns that pandas judges |", "|---|---|"]
    for name, kinds in JUDGED_BY_PANDAS.items():
        all_numbers = set(kinds) >= _NUMBERS
        words = ["all numbers"] if all_numbers else []
        words += [KIND_WORDS[kind] for kind in kinds if not (all_numbers and kind in _NUMBERS)]
        told = ", ".join(words) or "any: it is about the table"
        lines.append(f"| `{name.removeprefix('expect_')}` | {told} |")
    return lines


def line(case: Case, told: list[str]) -> str:
    """A line of the table."""
    flow = yaml.safe_dump(case.arguments, default_flow_style=True, width=10_000, sort_keys=False)
    plain = re.sub(r"!!timestamp '(.*?)'", r"\1", flow.strip()[1:-1])
    shown = plain.replace("|", "\\|")
    return f"| `{case.name}` | `{shown}` | {' | '.join(told)} | {case.note} |"


if __name__ == "__main__":
    raise SystemExit(main())
