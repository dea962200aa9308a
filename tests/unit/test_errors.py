"""Errors: what each exit code means to schedulers, to `status` and to the pages for people."""

from __future__ import annotations

import re
from pathlib import Path

from batchinfer import errors
from batchinfer.errors import NO_FAULT_OF_SLICE, POINTLESS, WORTH_A_RETRY

ROOT = Path(__file__).parents[2]


def test_every_exit_code_of_the_contract_is_either_worth_a_retry_or_pointless() -> None:
    codes = {
        class_.exit_code
        for class_ in vars(errors).values()
        if isinstance(class_, type) and issubclass(class_, errors.BatchInferError)
    }
    assert (WORTH_A_RETRY, POINTLESS) == ((6, 8), (2, 3, 4, 5, 7, 9))
    assert codes - {1} == {*WORTH_A_RETRY, *POINTLESS}


def test_of_what_is_wrong_elsewhere_no_slice_is_blamed() -> None:
    assert NO_FAULT_OF_SLICE == (0, 2, 6, 9, 130, 143)
    signals = {errors.Interrupted("stop").exit_code, errors.Interrupted("stop", 143).exit_code}
    assert signals <= {*NO_FAULT_OF_SLICE}


def test_kinds_that_share_a_code_mean_the_same_by_it() -> None:
    meant: dict[int, set[tuple[bool, bool]]] = {}
    for kind in errors.BatchInferError.__subclasses__():
        meant.setdefault(kind.exit_code, set()).add((kind.worth_a_retry, kind.says_of_slice))
    assert all(len(each) == 1 for each in meant.values()), meant


def test_a_damaged_log_is_no_storage_that_comes_back() -> None:
    assert errors.StorageError.worth_a_retry and not errors.DamagedLog.worth_a_retry
    assert errors.DamagedLog.exit_code in POINTLESS


def test_the_page_for_whoever_is_on_call_says_what_schedulers_do() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    [retried, ends] = re.findall(r"^\| scheduler \| (.*?) \| (.*?) \|", page, re.MULTILINE)[0]
    assert retried == ", ".join(map(str, WORTH_A_RETRY))
    assert ends == ", ".join(map(str, POINTLESS))
