"""A project whose environment names collectors that run in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from collector import Taken, collecting
from spark.projects import SmallProject

from batchinfer.observability.collector_post import forget_silence

VARIABLES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OPENLINEAGE_URL",
    "OPENLINEAGE_API_KEY",
    "OPENLINEAGE_NAMESPACE",
)


@pytest.fixture(autouse=True)
def own_variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No collector of whoever runs the tests is told, and none is remembered as silent."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    forget_silence()
    yield
    forget_silence()


@pytest.fixture
def taken() -> Iterator[Taken]:
    with collecting(Taken()) as served:
        yield served


@pytest.fixture
def watched(ready: SmallProject, taken: Taken) -> SmallProject:
    """Forty rows that have landed and a model, with all three collectors."""
    watch(ready, taken.url)
    return ready


def watch(project: SmallProject, url: str) -> Path:
    """Lets the project's environment name all three collectors; returns the folder of figures."""
    folder = project.root / "metrics"
    folder.mkdir(exist_ok=True)
    project.write(
        "conf/environments/local.yaml",
        f"""\
spark: {{master: "local[2]"}}
observability:
  prometheus: {{folder: {folder}}}
  otlp: {{endpoint: "{url}"}}
  openlineage: {{url: "{url}", namespace: tests}}
""",
    )
    return folder
