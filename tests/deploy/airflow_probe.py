"""Run by Airflow's own Python: loads the DAGs as Airflow does, runs one in this process, and says
all of it as one JSON line.

airflow_probe.py [DAG]
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import time
from typing import Any

from airflow.dag_processing.dagbag import DagBag

started = time.perf_counter()
bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
said: dict[str, Any] = {
    "import_errors": bag.import_errors,
    "import_s": time.perf_counter() - started,
    "heavy": [name for name in ("pyspark", "torch", "mlflow", "pyarrow") if name in sys.modules],
    "dags": {},
}
for name, dag in bag.dags.items():
    said["dags"][name] = {
        "schedule": dag.timetable.expression,
        "timezone": str(dag.timetable.timezone),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "tasks": {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks},
        "retries": [task.retries for task in dag.tasks],
        "retry_delay_s": [task.retry_delay.total_seconds() for task in dag.tasks],
    }
if len(sys.argv) > 1:
    dag = bag.dags[sys.argv[1]]
    for task in dag.tasks:
        # One retry, at once: Airflow waits for real.
        task.retries, task.retry_delay, task.retry_exponential_backoff = 1, dt.timedelta(0), False
    run = dag.test(logical_date=dt.datetime(2026, 11, 21, 2, 15, tzinfo=dt.timezone.utc))
    said["state"] = str(run.state)
    said["tasks"] = {task.task_id: str(task.state) for task in run.get_task_instances()}
print(json.dumps(said))
