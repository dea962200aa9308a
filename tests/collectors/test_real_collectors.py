"""The real programs on the other side: OpenTelemetry's collector, built from its own modules, and
Prometheus' node exporter and promtool, where they are installed.
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e.commands import Project, new_project

COLLECTOR = Path(sys.prefix) / "share" / "batchinfer" / "otelcol" / "collector"
NODE_EXPORTER = shutil.which("prometheus-node-exporter") or shutil.which("node_exporter")
PROMTOOL = shutil.which("promtool")
PIPELINE = """\
name: colors
source:
  kind: csv
  path: in/*.csv
  schema: {id: int, color: string}
  key: id
  slice: ingest_date
checks: {max_quarantine_rate: 0.5}
"""
DAY = "2026-11-21"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command: list[str], log: Path, port: int) -> Iterator[None]:
    """A server while the block runs, from when it listens on."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            pytest.fail(f"it does not listen: {log.read_text()}")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Path, str]:
    """A project that has landed three records of four and told both; the folder of figures, and
    what the collector printed.
    """
    project = new_project(tmp_path_factory.mktemp("told"))
    port, log = free_port(), project.root / "collector.log"
    project.write(
        "collector.yaml",
        f"receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\n"
        "exporters: {debug: {verbosity: detailed}}\n"
        "service:\n"
        "  telemetry: {metrics: {level: none}}\n"
        "  pipelines: {metrics: {receivers: [otlp], exporters: [debug]}}\n",
    )
    metrics = project.root / "metrics"
    metrics.mkdir()
    project.write(
        "conf/environments/local.yaml",
        'spark: {master: "local[1]", conf: {spark.ui.enabled: false}}\n'
        "observability:\n"
        f"  prometheus: {{folder: {metrics}}}\n"
        f"  otlp: {{endpoint: 'http://127.0.0.1:{port}'}}\n",
    )
    project.write("conf/pipelines/colors.yaml", PIPELINE)
    project.write("in/a.csv", "id,color\n1,red\n2,blue\nx,green\n4,green\n")
    with running([str(COLLECTOR), "--config", str(project.root / "collector.yaml")], log, port):
        done = project.run("extract", "-p", "colors", "--slice", DAY)
        assert done.code == 0, done.stderr
        assert done.json["warnings"] == []
        time.sleep(1)
    return project, metrics, log.read_text()


def test_opentelemetrys_collector_reads_the_figures(told: tuple[Project, Path, str]) -> None:
    _, _, printed = told
    assert "service.name: Str(batchinfer)" in printed
    names = set(re.findall(r"-> Name: (batchinfer_\w+)", printed))
    assert {"batchinfer_last_run_exit_code", "batchinfer_last_run_rows"} <= names
    points = re.findall(
        r"NumberDataPoints #\d+\nData point attributes:\n((?:\s+->.*\n)+).*\n.*\nValue: (\S+)",
        printed,
    )
    rows = {
        re.search(r"kind: Str\((\w+)\)", labels)[1]: float(value)  # type: ignore[index]
        for labels, value in points
        if "kind: Str" in labels
    }
    assert rows == {"in": 4, "landed": 3, "quarantined": 1}


@pytest.mark.skipif(NODE_EXPORTER is None, reason="apt-get install prometheus-node-exporter")
def test_the_node_exporter_serves_the_file(told: tuple[Project, Path, str]) -> None:
    project, metrics, _ = told
    port = free_port()
    command = [
        str(NODE_EXPORTER),
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={metrics}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    address = f"http://127.0.0.1:{port}/metrics"
    with (
        running(command, project.root / "exporter.log", port),
        urllib.request.urlopen(address, timeout=30) as answer,
    ):
        served = answer.read().decode()
    assert "\nnode_textfile_scrape_error 0\n" in served
    # It writes labels by name, where the file has the pipeline first.
    line = 'batchinfer_last_run_rows{command="extract",kind="landed",pipeline="colors"} 3'
    assert line in served.splitlines()


@pytest.mark.skipif(PROMTOOL is None, reason="apt-get install prometheus")
def test_promtool_finds_nothing_wrong_with_the_file(told: tuple[Project, Path, str]) -> None:
    _, metrics, _ = told
    text = (metrics / "batchinfer_colors.prom").read_bytes()
    done = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
