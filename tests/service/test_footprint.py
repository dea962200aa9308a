"""What the processes of the service import, and how much memory they take."""

from __future__ import annotations

import re
from pathlib import Path

from service.served_project import get, post, serving

PATH = "/v1/predictions/churn"
HEAVY = ("torch", "pyspark", "pandas", "mlflow", "great_expectations", "sklearn", "matplotlib")
_IMPORT = re.compile(r"import time: *\d+ \| *\d+ \| *(\S+)")


def test_no_process_imports_what_answers_do_not_need(asked_project: Path) -> None:
    env = {"PYTHONPROFILEIMPORTTIME": "1"}
    with serving(asked_project, "--workers", "1", env=env) as served:
        assert get(served, f"{PATH}?customer=c5&order=5").status_code == 200
        get(served, f"{PATH}?customer=c5&order=x")
        post(served, f"{PATH}:batch", json={"keys": [{"customer": "c5", "order": 5}] * 100})
        for path in ("/metrics", "/docs", "/openapi.json", "/readyz", "/nope"):
            get(served, path)
        served.stop()
        imported = {found[1] for line in served.lines if (found := _IMPORT.match(line))}
    assert {"fastapi", "pyarrow", "batchinfer.service.service_app"} <= imported
    assert imported & set(HEAVY) == set()


def pss_mib(process: int) -> float:
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    return int(re.findall(r"^Pss: +(\d+)", text, re.MULTILINE)[0]) / 1024


def test_two_workers_and_their_watcher_take_less_than_300_mib(asked_project: Path) -> None:
    with serving(asked_project, "--workers", "2") as served:
        for number in range(200):
            get(served, f"{PATH}?customer=c{number}&order={number}")
        taken = [pss_mib(process) for process in (served.process.pid, *served.workers())]
        assert sum(taken) < 300, taken
        # And with reads of tables, which need more.
        for _ in range(8):
            query = "?customer=c5&order=5&as_of=2026-11-20"
            get(served, PATH + query, headers={"connection": "close"})
        taken = [pss_mib(process) for process in (served.process.pid, *served.workers())]
        # Arrow imports pandas where it is handed Python's values.
        assert sum(taken) < 350, taken
