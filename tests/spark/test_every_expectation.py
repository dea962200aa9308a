"""Every expectation that the installed Great Expectations exports works as docs/expectations.md
says, or is refused with a sentence.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from spark.expectation_cases import CASES, FAILS, HOLDS, ROWS, frame_of

from batchinfer.checks.expectations import run_suite
from batchinfer.checks.known_expectations import expectation_names, refused_because
from batchinfer.checks.suites import Suite, load_suite


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    lines = [{f"expect_{case.name}": case.arguments} for case in CASES]
    path = tmp_path_factory.mktemp("suite") / "suite.yaml"
    path.write_text(yaml.safe_dump(lines))
    return load_suite(path)


@pytest.mark.parametrize("kind", ROWS)
def test_each_says_what_is_expected(spark: Any, suite: Suite, kind: str) -> None:
    frame = frame_of(spark, kind)
    report = run_suite(frame, suite, kind)
    wrong = [
        result["message"]
        for case, result in zip(CASES, report.results, strict=True)
        if case.expected[kind] != (HOLDS if result["success"] else FAILS)
    ]
    assert wrong == []


def test_none_is_left_out() -> None:
    tried = {f"expect_{case.name}" for case in CASES}
    refused = {name for name in expectation_names() if refused_because(name)}
    assert tried | refused == expectation_names()
    assert not tried & refused


def test_each_that_is_tried_can_fail_and_hold() -> None:
    for name in {case.name for case in CASES}:
        said = {answer for case in CASES if case.name == name for answer in case.expected.values()}
        assert said == {HOLDS, FAILS}, name
