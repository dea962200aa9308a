"""New generations are taken up while requests come in; damaged ones are not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from service.asking import ROWS, asked_all_along, wait_for
from service.served_project import (
    KEY,
    Served,
    get,
    new_project,
    post,
    problem,
    rows,
    serving,
    store_of,
    write_generation,
)

from batchinfer.lookups.stores.embedded_store import POINTER_FILE
from batchinfer.lookups.stores.generation import Pointer
from batchinfer.lookups.stores.stored_rows import GONE, stored_keys, stored_values

PATH, BATCH = "/v1/predictions/churn", "/v1/predictions/churn:batch"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = new_project(tmp_path, "churn")
    write_generation(project, "churn", "g1", rows(ROWS, "g1"))
    return project


def label(served: Served, number: int = 5) -> str:
    return get(served, f"{PATH}?customer=c{number}&order={number}").json()["prediction"]["label"]


def test_a_switch_under_load_fails_no_answer_and_mixes_none(project: Path) -> None:
    with serving(project, "--workers", "2", "--no-access-log") as served:
        with asked_all_along(served, 4) as asking:
            for number in range(2, 9):
                write_generation(project, "churn", f"g{number}", rows(ROWS, f"g{number}"))
                time.sleep(0.4)
            wait_for(served, "g8")
            time.sleep(0.3)
        assert all(each.answers > 10 for each in asking)
        assert set().union(*(each.seen for each in asking)) >= {"g1", "g8"}
        assert label(served) == "g8"


def test_files_of_generations_that_nobody_reads_are_let_go(project: Path) -> None:
    with serving(project, "--workers", "1") as served:
        for number in range(2, 6):
            write_generation(project, "churn", f"g{number}", rows(ROWS, f"g{number}"))
            wait_for(served, f"g{number}")
        (worker,) = served.workers()
        until = time.monotonic() + 5
        while True:
            mapped = Path(f"/proc/{worker}/maps").read_text()
            files = {line.split()[5] for line in mapped.splitlines() if ".lmdb" in line}
            if all("/g5/" in file for file in files):
                break
            assert time.monotonic() < until, files
            time.sleep(0.05)
        assert len(files) == 2


def test_a_way_back_is_followed(project: Path) -> None:
    with serving(project, "--workers", "2") as served:
        write_generation(project, "churn", "g2", rows(ROWS, "g2"))
        wait_for(served, "g2")
        store = store_of(project, "churn")
        now = store.pointer()
        assert now is not None
        assert now.former is not None
        store.switch(Pointer(now.former, now.current), now)
        wait_for(served, "g1")
        assert label(served) == "g1"


def test_what_is_loaded_later_is_taken_up(tmp_path: Path) -> None:
    project = new_project(tmp_path, "churn")
    with serving(project, "--workers", "2") as served:
        problem(get(served, f"{PATH}?customer=c5&order=5"), 404, "nothing-published")
        assert get(served, "/readyz").json()["pipelines"]["churn"] == {"state": "nothing"}
        write_generation(project, "churn", "g1", rows(10, "g1"))
        wait_for(served, "g1")
        assert label(served) == "g1"


def damage(project: Path, generation: str) -> None:
    file = project / "var" / "online" / "churn" / "layers" / generation / "part-00000.lmdb"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    # A new file in its place: what is mapped already stays as it was.
    file.unlink()
    file.write_bytes(content)


def test_a_damaged_generation_is_not_taken_up(project: Path, tmp_path: Path) -> None:
    # Written elsewhere and damaged, then put into place before the pointer names it.
    other = new_project(tmp_path / "other", "churn")
    write_generation(other, "churn", "g2", rows(ROWS, "g2"))
    damage(other, "g2")
    store, layers = store_of(project, "churn"), "var/online/churn/layers"
    (other / layers / "g2").rename(project / layers / "g2")
    now, told = store.pointer(), store_of(other, "churn").pointer()
    assert now is not None
    assert told is not None
    with serving(project, "--workers", "2") as served:
        wait_for(served, "g1")
        store.switch(Pointer(told.current, now.current), now)
        until = time.monotonic() + 10
        while (answer := get(served, "/readyz")).json()["status"] != "degraded":
            assert time.monotonic() < until
            time.sleep(0.05)
        assert answer.status_code == 200
        state = answer.json()["pipelines"]["churn"]
        assert (state["state"], state["generation"]) == ("degraded", "g1")
        assert "damaged: its checksum is" in state["fault"]
        assert label(served) == "g1"
        assert any("pipeline churn: store: " in line for line in served.lines)
        write_generation(project, "churn", "g3", rows(ROWS, "g3"))
        wait_for(served, "g3")
        assert get(served, "/readyz").json()["status"] == "ready"
    # And at the start of a service.
    damage(project, "g3")
    with serving(project, "--workers", "1") as served:
        answer = problem(get(served, f"{PATH}?customer=c5&order=5"), 503, "store-unavailable")
        assert answer["hint"].startswith("batchinfer load -p churn --full")
        assert get(served, "/readyz").status_code == 503


def test_the_former_generation_is_read_where_the_newest_is_damaged_at_the_start(
    project: Path,
) -> None:
    write_generation(project, "churn", "g2", rows(ROWS, "g2"))
    damage(project, "g2")
    with serving(project, "--workers", "1") as served:
        assert label(served) == "g1"
        assert get(served, "/readyz").json()["pipelines"]["churn"]["state"] == "degraded"


def zero_rows(project: Path, generation: str) -> None:
    """Takes all rows out of files that are mapped; their meta pages stay."""
    for file in (project / "var/online/churn/layers" / generation).glob("*.lmdb"):
        with file.open("r+b") as opened:
            opened.seek(8_192)
            opened.write(bytes(file.stat().st_size - 8_192))


def state_of(served: Served, wanted: str) -> dict[str, Any]:
    """How the pipeline stands, once it stands so."""
    until = time.monotonic() + 10
    while (told := get(served, "/readyz").json()["pipelines"]["churn"])["state"] != wanted:
        assert time.monotonic() < until, told
        time.sleep(0.05)
    return told


@pytest.mark.parametrize("count", [1, 100])
def test_files_that_are_damaged_while_they_are_mapped_are_told_until_a_load_mends_them(
    project: Path, count: int
) -> None:
    keys = [{"customer": f"c{number}", "order": number} for number in range(count)]
    with serving(project, "--workers", "1") as served:
        assert label(served) == "g1"
        zero_rows(project, "g1")
        told = problem(post(served, BATCH, json={"keys": keys}), 503, "store-unavailable")
        assert told["hint"].startswith("batchinfer load -p churn --full")
        assert "lmdb" not in told["detail"]
        state = state_of(served, "unavailable")
        assert "/layers/g1/part-0000" in state["fault"]
        assert "damaged" in state["fault"] and "load -p churn --full" in state["fault"]
        assert get(served, "/readyz").status_code == 503
        problem(get(served, f"{PATH}?customer=c5&order=5"), 503, "store-unavailable")
        write_generation(project, "churn", "g2", rows(ROWS, "g2"))
        wait_for(served, "g2")
        assert not any("Traceback" in line for line in served.lines)
        assert any("load -p churn --full" in line for line in served.lines)
        assert label(served) == "g2"
        # The former generation is whole only now.
        write_generation(project, "churn", "g3", rows(ROWS, "g3"))
        wait_for(served, "g3")
        zero_rows(project, "g3")
        problem(post(served, BATCH, json={"keys": keys}), 503, "store-unavailable")
        assert state_of(served, "degraded")["generation"] == "g2"
        assert label(served) == "g2"


def test_a_damaged_pointer_takes_no_answer_away(project: Path) -> None:
    pointer = project / "var" / "online" / "churn" / POINTER_FILE
    whole = pointer.read_text()
    with serving(project, "--workers", "1") as served:
        assert label(served) == "g1"
        pointer.write_text(whole[:100])
        until = time.monotonic() + 10
        while get(served, "/readyz").json()["status"] != "degraded":
            assert time.monotonic() < until
            time.sleep(0.05)
        assert label(served) == "g1"
        told = post(served, BATCH, json={"keys": [{"customer": "c5", "order": 5}]}).json()
        assert told["generation"] == "g1"
        pointer.write_text(whole)
        wait_for(served, "g1")
        until = time.monotonic() + 10
        while get(served, "/readyz").json()["status"] != "ready":
            assert time.monotonic() < until
            time.sleep(0.05)


def streamed(project: Path, commit: int, gone: bool = False) -> None:
    """Customers 4 to 6, as a stream writes them."""
    batch, store = rows(3, f"s{commit}", start=4), store_of(project, "churn")
    keys = stored_keys([batch[name] for name in KEY]).to_pylist()
    values = [GONE] * 3 if gone else stored_values(batch).to_pylist()
    assert store.upsert(commit, [(keys, values)]) == 3
    store.close()


def test_streamed_rows_are_answered_within_a_second(project: Path) -> None:
    with serving(project, "--workers", "2") as served:
        assert label(served) == "g1"
        for commit in range(2, 10):
            streamed(project, commit)
            until, same = time.monotonic() + 2, 0
            while same < 10:
                same = same + 1 if label(served) == f"s{commit}" else 0
                assert time.monotonic() < until, label(served)
        assert [label(served, number) for number in (3, 4, 6, 7)] == ["g1", "s9", "s9", "g1"]
        streamed(project, 10, gone=True)
        time.sleep(1)
        assert get(served, f"{PATH}?customer=c5&order=5").status_code == 404
        ready = get(served, "/readyz").json()["pipelines"]["churn"]
        assert (ready["state"], ready["generation"]) == ("store", "g1")
