"""Tables whose files are damaged: the log names the file, a caller is told that it is no fault of
his keys.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from service.scored_project import PATH, await_model, scored_project
from service.served_project import Served, get, post, problem, publish, rows, serving

ONE = "/v1/predictions/churn"


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Every file of both tables is damaged in its data; the store is whole."""
    project = scored_project(tmp_path_factory.mktemp("damaged"))
    publish(project, "churn", rows(10))
    for table in ("predictions", "landed"):
        for file in (project / "var/lake" / table / "churn").rglob("*.parquet"):
            content = file.read_bytes()
            file.write_bytes(content[:4] + bytes(200) + content[204:])
    with serving(project, "-p", "churn", "--workers", "1") as served:
        await_model(served)
        yield served


def said(served: Served, table: str) -> bool:
    """Whether the log names a file of the table, at last."""
    until = time.monotonic() + 5
    while not any(f"/lake/{table}/churn/" in one and "is damaged" in one for one in served.lines):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def test_a_damaged_table_is_no_fault_of_the_key(damaged: Served) -> None:
    told = get(damaged, f"{ONE}?customer=c5&order=5&as_of=2026-11-21")
    assert "/lake/" not in told.text
    assert told.headers["retry-after"]
    problem(told, 503, "table-unavailable")
    body = {"keys": [{"customer": "c5", "order": 5}], "as_of": "2026-11-21"}
    problem(post(damaged, f"{ONE}:batch", json=body), 503, "table-unavailable")
    assert said(damaged, "predictions")
    assert get(damaged, f"{ONE}?customer=c5&order=5").status_code == 200


def test_damaged_features_are_no_fault_of_the_key(damaged: Served) -> None:
    told = post(damaged, PATH, json={"keys": [{"customer": "c5", "order": 5}]})
    assert "/lake/" not in told.text
    problem(told, 503, "predictions-unavailable")
    assert said(damaged, "landed")


def test_no_error_went_unforeseen_where_tables_are_damaged(damaged: Served) -> None:
    assert not [line for line in damaged.lines if "Traceback" in line]
